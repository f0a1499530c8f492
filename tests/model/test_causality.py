"""Nothing at position t depends on what comes after t, in training and in evaluation."""

import pytest
import torch

from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.base_model import sample_categorical

NO_DROPOUT = {"ffn_dropout_p": 0.0, "resid_dropout_p": 0.0}
CUT = 9


@pytest.mark.parametrize("training", [True, False])
def test_tokenizer(training: bool) -> None:
    tokenizer = KronosTokenizer(**PRESETS["demo"].tokenizer).train(training)
    candles = torch.randn(2, 16, 6)
    perturbed = candles.clone()
    perturbed[:, CUT:] += 1
    before, after = tokenizer(candles), tokenizer(perturbed)
    for name in ("coarse", "fine", "codes"):
        assert torch.equal(before[name][:, :CUT], after[name][:, :CUT]), name
    assert not torch.equal(before.fine, after.fine)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sampled", [True, False])
def test_base_model(training: bool, sampled: bool) -> None:
    model = Kronos(**PRESETS["demo"].base_model | NO_DROPOUT).train(training)
    s1_ids, s2_ids = torch.randint(0, 64, (2, 2, 16))
    stamp = torch.ones(2, 16, 5)
    uniforms = torch.rand(2, 15) if sampled else None
    before = model(s1_ids, s2_ids, stamp, uniforms)
    changed = [ids.clone() for ids in (s1_ids, s2_ids)]
    for ids in changed:
        ids[:, CUT + 1 :] = (ids[:, CUT + 1 :] + 1) % 64
    after = model(*changed, stamp, uniforms)
    # Position t reads candles 0..t and, for s2 under teacher forcing, the coarse half of candle t + 1.
    assert torch.equal(before.s1_logits[:, :CUT], after.s1_logits[:, :CUT])
    assert torch.equal(before.s2_logits[:, :CUT], after.s2_logits[:, :CUT])
    assert not torch.equal(before.s2_logits, after.s2_logits)


def test_sampling_follows_the_probabilities() -> None:
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3, 0.0])
    uniforms = (torch.arange(10000) + 0.5) / 10000
    drawn = sample_categorical(probabilities.log().expand(10000, -1), uniforms)
    torch.testing.assert_close(drawn.bincount(minlength=5) / 10000, probabilities, atol=2e-4, rtol=0)


def test_sampling_never_draws_what_has_no_probability() -> None:
    logits = torch.randn(2000, 1024)
    logits[:, :10] = logits[:, 500:] = -torch.inf
    for edge in (0.0, 1 - 2**-24):
        drawn = sample_categorical(logits, torch.full((2000,), edge))
        assert drawn.min() >= 10 and drawn.max() < 500


def test_training_conditions_s2_on_its_own_sampled_s1() -> None:
    model = Kronos(**PRESETS["demo"].base_model).eval()
    s1_ids, s2_ids = torch.randint(0, 64, (2, 3, 12))
    stamp, uniforms = torch.ones(3, 12, 5), torch.rand(3, 11)
    sampled, forced = model(s1_ids, s2_ids, stamp, uniforms), model(s1_ids, s2_ids, stamp)
    own = sample_categorical(sampled.s1_logits, uniforms)
    assert torch.equal(sampled.s1_logits, forced.s1_logits)
    _, hidden = model.decode_s1(s1_ids[:, :-1], s2_ids[:, :-1], stamp[:, :-1])
    torch.testing.assert_close(sampled.s2_logits, model.decode_s2(hidden, own))
