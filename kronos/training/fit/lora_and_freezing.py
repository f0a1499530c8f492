"""Choose which weights are trained: LoRA instead of full layers, or all parts except the frozen ones."""

import difflib
import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kronos.config.training import LoraConfig, StageName, TrainingConfig
from kronos.errors import ConfigError
from kronos.model.pretrained import PretrainedModel
from kronos.names import Message
from kronos.training.device_use import fork_random_state

ADAPTER = "default"  # peft's name for our only adapter

Model = TypeVar("Model", bound=PretrainedModel)


def adapt_model(model: Model, stage: StageName, training: TrainingConfig) -> Model:
    """Apply `training`'s LoRA, freezing and gradient checkpointing to a stage's model, in place.

    Raises:
        ConfigError: a name matches no part of the model, nothing would be left to train, or peft is missing.
    """
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    key = f"freeze_{stage}"
    freeze(model, {"tokenizer": training.freeze_tokenizer, "basemodel": training.freeze_basemodel}[stage], key)
    if stage == "basemodel" and training.lora is not None:
        add_lora(model, training.lora, training.seed)
    return model


def freeze(model: nn.Module, parts: Sequence[str], key: str) -> None:
    """Freeze the parameters whose dotted names begin with one of parts ("transformer.1" does not mean "transformer.10").

    Args:
        key: the setting that parts come from, for the message.

    Raises:
        ConfigError: a part matches no parameter, or nothing would be left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for part in parts:
        if not any(_begins(name, part) for name in names):
            raise _describe_unknown_part(part, key, names)
    for name, parameter in model.named_parameters():
        if any(_begins(name, part) for part in parts):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            "training.{key} freezes every parameter; nothing is left to train. Name fewer parts.", key=key
        )


def add_lora(model: nn.Module, lora: LoraConfig, seed: int) -> nn.Module:
    """Add trainable B A alpha / r to the targeted layers' weights W, and freeze all else (arXiv 2106.09685, section 4.1).

    `lora_A` and `lora_B` join the model's tensors, so checkpoints contain them. B starts at zero: before the first step the
    model computes the same as without LoRA. Frozen layers get no additions.

    Args:
        model: adapted in place.
        seed: for drawing A, the same on every rank.

    Returns:
        The model.

    Raises:
        ConfigError: peft is missing, or a target matches no trainable layer.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(
            "training.lora needs the package peft, which is not installed. Run pip install peft, or set training.lora=null."
        )
    import peft  # an extra, and slow to import

    strength: dict[str, Any] = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    settings = peft.LoraConfig(target_modules=_find_targets(model, lora.targets), **strength)
    with fork_random_state():
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, model, ADAPTER)
    return model


def merge(model: PretrainedModel) -> PretrainedModel:
    """Return a plain model with the LoRA additions merged in, or the model itself if it has none.

    The given model is not changed. Tensors without additions are shared with it: save the result, do not train it.
    """
    adapters: Any = getattr(model, "peft_config", None)  # set by peft
    if adapters is None:
        return model
    config: Any = model._hub_mixin_config
    with torch.device("meta"):  # no random initialisation: the tensors come from the model
        plain = type(model).from_config(config, "the trained model")
    plain.load_state_dict(
        merge_weights(model.state_dict(), adapters[ADAPTER].lora_alpha / adapters[ADAPTER].r), assign=True
    )
    return plain.eval()


def merge_weights(state: dict[str, Tensor], scaling: float) -> dict[str, Tensor]:
    """Merge the additions of a state dict with LoRA into its weights, W + scaling B A (arXiv 2106.09685, eq. 3).

    Args:
        state: tensors by name, with peft's names in targeted layers.
        scaling: alpha / r.

    Returns:
        The plain model's tensors by name. Weights whose B is still zero do not change by a single bit.
    """
    merged = {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}
    for name, b in state.items():
        layer, is_b, _ = name.partition(".lora_B.")
        if is_b and b.any():
            a = state[f"{layer}.lora_A.{ADAPTER}.weight"]
            merged[f"{layer}.weight"] = merged[f"{layer}.weight"] + scaling * (b @ a)
    return merged


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the number of parameters, and the number of trained ones."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained)


def describe_parameters(model: nn.Module) -> Message:
    """Format the number of parameters and, if some are frozen, the number of trained ones."""
    n_parameters, n_trainable = count_parameters(model)
    if n_trainable == n_parameters:
        return Message("{n:,} parameters", n=n_parameters)
    return Message("{n_trainable:,} trainable of {n:,} parameters", n_trainable=n_trainable, n=n_parameters)


def _find_targets(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Return the full names of the trainable linear layers whose dotted names end with a target."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for target in targets:
        if not any(_ends(layer, target) for layer in linear):
            kinds = _unique(layer.rpartition(".")[2] for layer in linear)
            raise ConfigError(
                "training.lora.targets: no linear layer has a name that ends with {target!r}{suggestion}. Valid: {kinds}.",
                target=target,
                suggestion=_suggest(target, kinds),
                kinds=", ".join(kinds),
            )
    if not targets:
        raise ConfigError("training.lora.targets is empty. Name layers, or remove the key to use the default.")
    targeted = [layer for layer in linear if any(_ends(layer, target) for target in targets)]
    trainable = [layer for layer in targeted if linear[layer].weight.requires_grad]
    if not trainable:
        raise ConfigError(
            "training.freeze_basemodel freezes all layers that training.lora.targets names; nothing is left to train. Freeze fewer "
            "parts, or name other targets."
        )
    return trainable


def _describe_unknown_part(part: str, key: str, names: Iterable[str]) -> ConfigError:
    parts = _unique(name.partition(".")[0] for name in names)
    modules = _unique(name.rpartition(".")[0] for name in names)
    known = _unique(module for name in modules for module in _prefixes(name))
    return ConfigError(
        "training.{key}: no parameter's name begins with {part!r}{suggestion}. The parts are: {parts}.",
        key=key,
        part=part,
        suggestion=_suggest(part, known),
        parts=", ".join(parts),
    )


def _prefixes(name: str) -> list[str]:
    """Split a.b.c into a, a.b and a.b.c."""
    words = name.split(".")
    return [".".join(words[: n + 1]) for n in range(len(words))]


def _suggest(name: str, known: Sequence[str]) -> Message:
    close = difflib.get_close_matches(name, known, n=1)
    return Message(" (did you mean {close!r}?)", close=close[0]) if close else Message("")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def _begins(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
