"""What of a model is trained: low-rank additions instead of its layers, or all but the parts that are frozen."""

import difflib
import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kronos.config.training import LoraConfig, StageName, TrainingConfig
from kronos.errors import ConfigError
from kronos.model.pretrained import PretrainedModel

ADAPTER = "default"  # peft's name for the one set of additions that there is

Model = TypeVar("Model", bound=PretrainedModel)


def adapt_model(model: Model, stage: StageName, training: TrainingConfig) -> Model:
    """Prepare a stage's model, in place, for what `training` says of LoRA, freezing and gradient checkpointing.

    Raises:
        ConfigError: a name fits no part of the model, nothing would be left to train, or peft is absent.
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
        key: the setting that parts come from, for the error.

    Raises:
        ConfigError: a part fits no parameter, or nothing would be left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for part in parts:
        if not any(_begins(name, part) for name in names):
            raise ConfigError(_describe_unknown_part(part, key, names))
    for name, parameter in model.named_parameters():
        if any(_begins(name, part) for part in parts):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            f"training.{key} freezes every parameter, so that nothing is left to train: name fewer parts."
        )


def add_lora(model: nn.Module, lora: LoraConfig, seed: int) -> nn.Module:
    """Add trainable B A alpha / r to the targeted layers' weights W, and freeze all else (arXiv 2106.09685, section 4.1).

    The model stays what it is, with `lora_A` and `lora_B` among its tensors, so that checkpoints for resuming hold all of
    it. B starts at zero: before the first step the model computes what it computed without. Frozen layers get none.

    Args:
        model: adapted in place.
        seed: what A is drawn with, on every rank the same.

    Returns:
        The model.

    Raises:
        ConfigError: peft is absent, or a target fits no layer that is not frozen.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(
            "training.lora needs peft, which is not installed: pip install peft, or leave training.lora out."
        )
    import peft  # an extra, and slow to import

    strength: dict[str, Any] = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    settings = peft.LoraConfig(target_modules=_find_targets(model, lora.targets), **strength)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, model, ADAPTER)
    return model


def merge(model: PretrainedModel) -> PretrainedModel:
    """Return the plain model that computes what a model with LoRA computes, or the model itself where it has none.

    The model given is not changed. What has no addition is shared with it, not copied: save the result, do not train it.
    """
    adapters: Any = getattr(model, "peft_config", None)  # peft leaves it on what it adapts
    if adapters is None:
        return model
    config: Any = model._hub_mixin_config
    with torch.device("meta"):  # the tensors come from the model, and nothing is drawn
        plain = type(model).from_config(config, "the trained model")
    plain.load_state_dict(
        merge_weights(model.state_dict(), adapters[ADAPTER].lora_alpha / adapters[ADAPTER].r), assign=True
    )
    return plain.eval()


def merge_weights(state: dict[str, Tensor], scaling: float) -> dict[str, Tensor]:
    """Merge the additions of a state dict with LoRA into its weights, W + scaling B A (arXiv 2106.09685, eq. 3).

    Args:
        state: tensors by name, a targeted layer's as peft names them.
        scaling: alpha / r.

    Returns:
        The plain model's tensors by name. Weights whose B is still zero are what they were, bit for bit.
    """
    merged = {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}
    for name, b in state.items():
        layer, found, _ = name.partition(".lora_B.")
        if found and b.any():
            a = state[f"{layer}.lora_A.{ADAPTER}.weight"]
            merged[f"{layer}.weight"] = merged[f"{layer}.weight"] + scaling * (b @ a)
    return merged


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters a model has, and how many of them are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained)


def describe_parameters(model: nn.Module) -> str:
    """Say how many parameters are trained, and of how many where the others are frozen."""
    n_parameters, n_trainable = count_parameters(model)
    frozen = n_trainable < n_parameters
    return f"{n_trainable:,} trainable of {n_parameters:,} parameters" if frozen else f"{n_parameters:,} parameters"


def _find_targets(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """The full names of the linear layers that are not frozen and whose dotted names end with a target."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for target in targets:
        if not any(_ends(layer, target) for layer in linear):
            kinds = _unique(layer.rpartition(".")[2] for layer in linear)
            raise ConfigError(
                f"training.lora.targets: no linear layer has a name that ends with {target!r}"
                f"{_suggest(target, kinds)}; there are: {', '.join(kinds)}."
            )
    if not targets:
        raise ConfigError("training.lora.targets is empty: name layers, or leave it out for the default.")
    targeted = [layer for layer in linear if any(_ends(layer, target) for target in targets)]
    found = [layer for layer in targeted if linear[layer].weight.requires_grad]
    if not found:
        raise ConfigError(
            "training.freeze_basemodel freezes all that training.lora.targets names: nothing is left to train."
        )
    return found


def _describe_unknown_part(part: str, key: str, names: Iterable[str]) -> str:
    parts = _unique(name.partition(".")[0] for name in names)
    modules = _unique(name.rpartition(".")[0] for name in names)
    known = _unique(module for name in modules for module in _prefixes(name))
    return (
        f"training.{key}: no parameter's name begins with {part!r}{_suggest(part, known)}; the parts are: "
        f"{', '.join(parts)}."
    )


def _prefixes(name: str) -> list[str]:
    """Split a.b.c into a, a.b and a.b.c."""
    words = name.split(".")
    return [".".join(words[: n + 1]) for n in range(len(words))]


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def _begins(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
