"""The parts of the networks on a GPU, against the same in float64 on the CPU."""

import copy

import pytest
import torch
import torch.nn.functional as F

from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.attention import attend_causally
from kronos.model.layers import RMSNorm, TransformerBlock
from tests.conftest import GOLDEN, assert_close, load_vectors

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_norm(device: torch.device, dtype: torch.dtype) -> None:
    norm, x = RMSNorm(64), torch.randn(3, 5, 64)
    torch.nn.init.normal_(norm.weight)
    expected = F.rms_norm(x.double(), (64,), norm.weight.double(), eps=1e-5)
    actual = norm.to(device, dtype)(x.to(device, dtype))
    assert actual.dtype == dtype
    assert_close(actual.cpu().double(), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("width", [26, 52, 64])  # 52 is that of model base, no multiple of 8
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_attention_of_any_head_width(device: torch.device, width: int, dtype: torch.dtype) -> None:
    exact = torch.randn(3, 2, 4, 70, width, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*exact, is_causal=True)
    actual = attend_causally(*exact.to(device, dtype), dropout_p=0.0)
    assert_close(actual.cpu().double(), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("d_model", [64, 104])  # head widths 16 and 26
def test_gradients_of_a_block(device: torch.device, d_model: int) -> None:
    block = TransformerBlock(d_model, 4, 2 * d_model, 0.0, 0.0, 0.0)
    there, x = copy.deepcopy(block).to(device), torch.randn(2, 33, d_model)
    block(x).square().sum().backward()
    there(x.to(device)).square().sum().backward()
    for ours, theirs in zip(there.parameters(), block.parameters()):
        assert_close(ours.grad.cpu(), theirs.grad, 1e-4)


def test_golden_vectors(device: torch.device) -> None:
    vectors = {name: part.to(device) for name, part in load_vectors("predictor").items()}
    model = Kronos.from_pretrained(GOLDEN / "predictor").eval().to(device)
    with torch.inference_mode():
        s1_logits, context = model.decode_s1(vectors["s1_ids"], vectors["s2_ids"], vectors["stamp"])
    assert_close(context, vectors["context"], 1e-4)
    assert_close(s1_logits[:, -1], vectors["next_s1_logits"], 1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_networks_learn_in_autocast(device: torch.device, dtype: torch.dtype) -> None:
    """The losses of one window, with the gradients of every trained weight finite."""
    preset = PRESETS["demo"]
    tokenizer, model = KronosTokenizer(**preset.tokenizer).to(device), Kronos(**preset.base_model).to(device)
    candles, stamp = torch.randn(2, 40, 6, device=device), torch.ones(2, 40, 5, device=device)
    s1_ids, s2_ids = tokenizer.encode(candles, half=True)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        losses = tokenizer(candles).loss, model(s1_ids, s2_ids, stamp).loss
    for network, loss in zip((tokenizer, model), losses):
        loss.backward()
        assert loss.isfinite()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        assert all(parameter.grad.isfinite().all() for parameter in trained)
