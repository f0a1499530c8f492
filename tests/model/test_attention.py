"""Attention's ways of computing agree with the formulas."""

import pytest
import torch
import torch.nn.functional as F

from kronos.model import attention
from kronos.model.attention import Attention, attend_causally
from kronos.model.rotary import RotaryEmbedding, rotate_halves
from tests.conftest import assert_close


@pytest.mark.parametrize("n_positions", [1, 7, 16, 37])
def test_bfloat16_on_a_cpu_is_the_fused_kernel_but_for_rounding(
    n_positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "N_QUERIES", 16)
    shape = (2, n_positions, 3, 8)
    exact = [torch.randn(shape).bfloat16().float().transpose(1, 2).requires_grad_() for _ in range(3)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    expected = F.scaled_dot_product_attention(*exact, is_causal=True)
    actual = attend_causally(*rounded, dropout_p=0.0)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    actual.backward(gradient.bfloat16())
    assert actual.dtype == torch.bfloat16
    assert_close(actual.float(), expected, tolerance=1e-2)
    for ours, theirs in zip(rounded, exact):
        assert (ours.grad.float() - theirs.grad).norm() <= 2e-2 * theirs.grad.norm() + 1e-5


def test_bfloat16_attention_does_not_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "N_QUERIES", 4)
    q, k, v = torch.randn(3, 1, 2, 11, 8).bfloat16()
    before = attend_causally(q, k, v, dropout_p=0.0)
    k[..., 6:, :] += 1
    v[..., 6:, :] += 1
    after = attend_causally(q, k, v, dropout_p=0.0)
    assert torch.equal(before[..., :6, :], after[..., :6, :])
    assert not torch.equal(before[..., 6:, :], after[..., 6:, :])


@pytest.mark.parametrize("first_position", [0, 5, torch.tensor([3, 0])])
def test_rotation_is_that_of_complex_numbers(first_position: int | torch.Tensor) -> None:
    rotary, x = RotaryEmbedding(8), torch.randn(2, 3, 9, 8)
    positions = torch.arange(9) + torch.as_tensor(first_position).reshape(-1, 1, 1)
    angles = positions.unsqueeze(-1) * rotary.inv_freq
    turned = torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    rotated = rotate_halves(x, *rotary.compute_table(9, x, first_position))
    assert_close(rotated, torch.cat([turned.real, turned.imag], dim=-1), tolerance=1e-6)


@pytest.mark.parametrize("rotate", [True, False])
def test_last_query_alone_is_the_last_of_all(rotate: bool) -> None:
    layer, x = Attention(16, 2, 0.0, 0.0), torch.randn(2, 9, 16)
    assert_close(layer(x[:, -1:], x, rotate), layer(x, x, rotate)[:, -1:], tolerance=1e-5)
