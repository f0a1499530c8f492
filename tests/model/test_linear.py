"""Several layers in one product, as on a GPU."""

import copy

import pytest
import torch
from torch import nn

from kronos.model import linear
from kronos.model.layers import TransformerBlock
from kronos.model.linear import Linear, project
from tests.conftest import assert_close


def compute_gradients(block: TransformerBlock, x: torch.Tensor) -> list[torch.Tensor]:
    output = block(x)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return [output, *(parameter.grad for parameter in block.parameters())]


def test_one_product_has_the_results_and_gradients_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = TransformerBlock(16, 2, 24, 0.0, 0.0, 0.0)
    together = copy.deepcopy(apart)
    x = torch.randn(2, 9, 16)
    expected = compute_gradients(apart, x)
    monkeypatch.setattr(linear, "multiplies_together", lambda device: True)
    calls: list[int] = []
    monkeypatch.setattr(linear.F, "linear", lambda *a, linear=linear.F.linear: calls.append(len(a[1])) or linear(*a))
    actual = compute_gradients(together, x)
    assert calls[:2] == [48, 16] and 48 in calls[2:], "three projections of 16, then two of 24, in one product each"
    for ours, theirs in zip(actual, expected):
        assert_close(ours, theirs, 1e-5)


def test_layers_of_another_kind_compute_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    monkeypatch.setattr(linear, "multiplies_together", lambda device: True)
    layer, x = Linear(4, 4), torch.randn(3, 4)
    first, second = project(x, layer, Doubled())
    assert torch.equal(first, layer(x)) and torch.equal(second, 2 * x)
