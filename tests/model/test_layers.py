"""The small layers, against the formulas they stand for."""

import pytest
import torch
import torch.nn.functional as F

from kronos.model import PRESETS, KronosTokenizer
from kronos.model.base_model import _average, _measure_losses
from kronos.model.dropout import Dropout
from kronos.model.layers import RMSNorm
from tests.conftest import assert_close


def test_norm_is_the_formula_and_keeps_the_type() -> None:
    norm, x = RMSNorm(16), torch.randn(2, 5, 16)
    torch.nn.init.normal_(norm.weight)
    assert_close(norm(x), F.rms_norm(x, (16,), norm.weight, eps=1e-5), tolerance=1e-6)
    assert norm.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_norm_under_autocast_gives_what_linear_layers_multiply() -> None:
    norm, x = RMSNorm(16), 100 + torch.randn(2, 5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        normed = norm(x)
    assert torch.equal(normed, norm(x).bfloat16()), "only the result may be rounded"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(dtype: torch.dtype) -> None:
    x = torch.ones(200, 1000, dtype=dtype, requires_grad=True)
    dropped = Dropout(0.2)(x)
    dropped.sum().backward()
    assert dropped.dtype == dtype
    assert dropped.unique().tolist() == [0, 1.25]
    assert (dropped == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert torch.equal(x.grad, dropped.detach())


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_all(p: float, expected: float) -> None:
    x = torch.ones(7)
    assert torch.equal(Dropout(p)(x), expected * x)
    assert torch.equal(Dropout(0.5).eval()(x), x)


def test_both_reconstructions_are_those_made_one_by_one() -> None:
    tokenizer, candles = KronosTokenizer(**PRESETS["demo"].tokenizer), torch.randn(3, 12, 6)
    output = tokenizer(candles)
    coarse_bits = output.codes[..., : tokenizer.s1_bits]
    assert_close(output.coarse, tokenizer._reconstruct(tokenizer.post_quant_embed_pre(coarse_bits)), tolerance=1e-5)
    assert_close(output.fine, tokenizer._reconstruct(tokenizer.post_quant_embed(output.codes)), tolerance=1e-5)
    assert not torch.allclose(output.coarse, output.fine)


def test_the_loss_of_a_window_is_the_mean_of_its_positions() -> None:
    (s1, s2), ids = torch.randn(2, 3, 5, 8), torch.randint(8, (2, 3, 6))
    losses = _measure_losses(s1, s2, *ids)
    expected = torch.stack(
        [(F.cross_entropy(a, i[1:]) + F.cross_entropy(b, j[1:])) / 2 for a, b, i, j in zip(s1, s2, *ids)]
    )
    assert_close(_average(losses, None, 1.0), expected, tolerance=1e-6)
    assert_close(_average(losses, 2, 0.0), losses[:, -2:].mean(1), tolerance=1e-6)
    weights = torch.tensor([0.25, 0.25, 0.25, 1.0, 1.0])
    assert_close(_average(losses, 2, 0.25), (losses * weights).sum(1) / weights.sum(), tolerance=1e-6)
