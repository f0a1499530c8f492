"""The loss of the horizon: which positions count, and what they attend to."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.model import Kronos
from kronos.model.cache import CacheLayout
from tests.conftest import assert_close

N_WINDOWS, WINDOW, HORIZON = 3, 20, 5


@pytest.fixture(scope="module")
def model() -> Kronos:
    torch.manual_seed(0)
    sizes = {"s1_bits": 4, "s2_bits": 3, "n_layers": 2, "d_model": 16, "n_heads": 2, "ff_dim": 32}
    dropouts = dict.fromkeys(["ffn_dropout_p", "attn_dropout_p", "resid_dropout_p", "token_dropout_p"], 0.0)
    return Kronos(**sizes, **dropouts, learn_te=True).eval()


@pytest.fixture(scope="module")
def window() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "s1_ids": torch.randint(16, (N_WINDOWS, WINDOW)),
        "s2_ids": torch.randint(8, (N_WINDOWS, WINDOW)),
        "stamp": torch.randint(1, 7, (N_WINDOWS, WINDOW, 5)).float(),
    }


def test_only_the_positions_that_predict_the_horizon_count(model: Kronos, window: dict[str, Tensor]) -> None:
    whole = model(**window)
    part = model(**window, n_horizon=HORIZON, lookback_weight=0.0)
    assert_close(part.s1_logits, whole.s1_logits[:, -HORIZON:], tolerance=1e-5)
    assert_close(part.s2_logits, whole.s2_logits[:, -HORIZON:], tolerance=1e-5)
    assert_close(part.window_loss, part.horizon_loss, tolerance=1e-6)
    assert whole.horizon_loss is None
    changed = window | {"s1_ids": window["s1_ids"].clone()}
    changed["s1_ids"][:, -1] = (changed["s1_ids"][:, -1] + 1) % 16
    assert (model(**changed, n_horizon=HORIZON, lookback_weight=0.0).loss - part.loss).abs() > 1e-3
    assert_close(model(**window, n_horizon=HORIZON).window_loss, whole.window_loss, tolerance=1e-6)


def test_a_weight_counts_the_positions_of_the_lookback(model: Kronos, window: dict[str, Tensor]) -> None:
    whole, horizon = model(**window).window_loss, model(**window, n_horizon=HORIZON).horizon_loss
    n_before = WINDOW - 1 - HORIZON
    before = (whole * (WINDOW - 1) - horizon * HORIZON) / n_before
    expected = (0.3 * n_before * before + HORIZON * horizon) / (0.3 * n_before + HORIZON)
    assert_close(model(**window, n_horizon=HORIZON, lookback_weight=0.3).window_loss, expected, tolerance=1e-5)


def test_what_follows_each_window_s_origin_counts(model: Kronos, window: dict[str, Tensor]) -> None:
    output = model(**window, n_known=torch.tensor([10, 15, 12]))
    for i, n in enumerate((10, 15, 12)):
        one = {key: value[i : i + 1] for key, value in window.items()}
        expected = model(**one, n_horizon=WINDOW - n).horizon_loss[0]
        assert_close(output.window_loss[i], expected, tolerance=1e-5)


def test_gradients_of_the_horizon_are_those_of_its_positions(model: Kronos, window: dict[str, Tensor]) -> None:
    """Computing the horizon alone changes nothing of the gradients, with the noise of training too."""
    uniforms = torch.rand(N_WINDOWS, WINDOW - 1)
    gradients = []
    for weight in (0.0, 1e-9):  # the second computes all positions
        model.zero_grad()
        model(**window, s1_uniforms=uniforms, n_horizon=HORIZON, lookback_weight=weight).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert_close(*gradients, tolerance=1e-6)


@pytest.mark.parametrize("max_context", [WINDOW - 1, 16, 15, 11, 7])
def test_the_horizon_attends_to_what_decoding_attends_to(
    model: Kronos, window: dict[str, Tensor], max_context: int
) -> None:
    """Decode the actual tokens one by one, with the caches of a forecast; its losses are those of the validation."""
    loss = model(**window, n_horizon=HORIZON, max_context=max_context).horizon_loss
    s1, s2, stamp = window.values()
    lookback = slice(max(WINDOW - HORIZON - max_context, 0), WINDOW - HORIZON)
    n_known = lookback.stop - lookback.start
    caches = model.build_caches(CacheLayout((n_known,) * N_WINDOWS, 1, HORIZON, max_context))
    calendar = model.time_emb(stamp)
    with torch.no_grad():
        hidden = model.read(s1[:, lookback], s2[:, lookback], calendar[:, lookback], caches)[:, -1:]
        losses = []
        for t in range(WINDOW - HORIZON, WINDOW):
            s2_logits = model.predict_s2(hidden, s1[:, t : t + 1], caches)
            pairs = (model.predict_s1(hidden), s1[:, t]), (s2_logits, s2[:, t])
            losses.append(sum(F.cross_entropy(a[:, 0], b, reduction="none") for a, b in pairs) / 2)
            hidden = model.read(s1[:, t : t + 1], s2[:, t : t + 1], calendar[:, t : t + 1], caches)
    assert_close(loss, torch.stack(losses, 1).mean(1), tolerance=1e-5)
