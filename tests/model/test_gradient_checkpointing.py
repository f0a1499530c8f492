"""Activations computed twice: the same gradients, from less memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kronos import Kronos, KronosTokenizer
from kronos.model import PRESETS
from kronos.model.pretrained import PretrainedModel

DROPOUT = {"ffn_dropout_p": 0.2, "attn_dropout_p": 0.1, "resid_dropout_p": 0.3}


def build_tokenizer() -> tuple[PretrainedModel, dict[str, Tensor]]:
    model = KronosTokenizer(**PRESETS["demo"].tokenizer | DROPOUT)
    return model, {"candles": torch.randn(4, 12, 6)}


def build_base_model() -> tuple[PretrainedModel, dict[str, Tensor]]:
    model = Kronos(**PRESETS["demo"].base_model | DROPOUT)
    ids = torch.randint(64, (2, 4, 12))
    stamp = torch.randint(7, (4, 12, 5)).float()
    return model, {"s1_ids": ids[0], "s2_ids": ids[1], "stamp": stamp, "s1_uniforms": torch.rand(4, 11)}


BUILDERS = pytest.mark.parametrize("build", [build_tokenizer, build_base_model])
Build = Callable[[], tuple[PretrainedModel, dict[str, Tensor]]]


def count_passes(model: nn.Module) -> list[str]:
    """Names of the blocks, each time one starts."""
    passes: list[str] = []
    for name, module in model.named_modules():
        if name.rpartition(".")[0] in ("encoder", "decoder", "transformer"):
            module.register_forward_pre_hook(lambda *_, name=name: passes.append(name))
    return passes


def compute_gradients(
    build: Build, enable: bool, precision: torch.dtype
) -> tuple[float, dict[str, Tensor], Tensor, int]:
    torch.manual_seed(0)
    model, inputs = build()
    if enable:
        model.gradient_checkpointing_enable()
    passes = count_passes(model.train())
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = model(**inputs).loss
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return loss.item(), gradients, torch.rand(1), len(passes)


@BUILDERS
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_gradients_are_the_same_bit_for_bit_with_dropout(build: Build, precision: torch.dtype) -> None:
    loss, gradients, noise, n_passes = compute_gradients(build, False, precision)
    loss_again, gradients_again, noise_again, n_passes_again = compute_gradients(build, True, precision)
    assert n_passes_again == 2 * n_passes > 0
    assert loss == loss_again and torch.equal(noise, noise_again)  # what is drawn afterwards is the same, too
    assert gradients.keys() == gradients_again.keys() and len(gradients) > 20
    for name, gradient in gradients.items():
        assert torch.equal(gradient, gradients_again[name]), name


@BUILDERS
def test_nothing_is_computed_twice_outside_training(build: Build) -> None:
    model, inputs = build()
    model.gradient_checkpointing_enable()
    assert not model.eval().recomputes
    with torch.no_grad():
        assert not model.train().recomputes
        model(**inputs)


def test_early_layers_may_be_frozen() -> None:
    """A block's input then needs no gradient, which the older, re-entrant way takes for the end of the graph."""
    model, inputs = build_base_model()
    model.gradient_checkpointing_enable()
    for part in (model.embedding, model.time_emb):
        part.requires_grad_(False)
    model.train()(**inputs).loss.backward()
    assert all(parameter.grad is not None for parameter in model.transformer.parameters())
    assert model.embedding.emb_s1.weight.grad is None


@BUILDERS
def test_less_is_kept_for_the_backward_pass(build: Build) -> None:
    kept = []
    for enable in (False, True):
        model, inputs = build()
        if enable:
            model.gradient_checkpointing_enable()
        sizes: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.setdefault(tensor.untyped_storage().data_ptr(), tensor.nbytes) and tensor,
            lambda tensor: tensor,
        ):
            model.train()(**inputs)
        kept.append(sum(sizes.values()))
    assert kept[1] < 0.6 * kept[0]
