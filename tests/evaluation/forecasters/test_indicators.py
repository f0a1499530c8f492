"""Indicators of closes: what they are, and that they know neither the future nor the price level."""

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.evaluation.forecasters.indicators import INPUTS, WARM_UP, compute_indicators

pytest.importorskip("talib")
NAMES = tuple(INPUTS)
N_CANDLES = 80


def walk(n: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.3, (n, N_CANDLES)).cumsum(1)).float()


def measure_unit(closes: torch.Tensor) -> torch.Tensor:
    return closes.diff().square().mean(1, keepdim=True).sqrt()


def compute(closes: torch.Tensor, *names: str) -> np.ndarray:
    return compute_indicators(closes, measure_unit(closes), names or NAMES).numpy()


def test_they_are_what_their_names_say() -> None:
    """Against pandas; exponential averages once their starting values no longer matter."""
    closes = walk(1)
    series, unit = pd.Series(closes[0].double().numpy()), measure_unit(closes).item()

    def average(series: pd.Series, span: int) -> pd.Series:
        return series.ewm(span=span, adjust=False).mean()

    rises, falls = (
        (sign * series.diff()).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean().to_numpy() for sign in (1, -1)
    )
    line = average(series, 12) - average(series, 26)
    expected = {
        "sma": [(series - series.rolling(span).mean()) / unit for span in (5, 20)],
        "ema": [(series - average(series, span)) / unit for span in (5, 20)],
        "rsi": [2 * rises / (rises + falls) - 1],
        "macd": [line / unit, (line - average(line, 9)) / unit],
    }
    for name, columns in expected.items():
        tolerance = 1e-4 if name == "sma" else 0.06
        assert compute(closes, name)[0, -5:] == pytest.approx(np.stack(columns, axis=-1)[-5:], abs=tolerance), name


def test_no_value_depends_on_a_later_close() -> None:
    closes, unit = walk(), torch.ones(2, 1)
    before = compute_indicators(closes, unit, NAMES)
    for row in (10, 40, 79):
        changed = closes.clone()
        changed[:, row:] += 5.0
        after = compute_indicators(changed, unit, NAMES)
        assert torch.equal(before[:, :row], after[:, :row]) and not torch.equal(before[:, row], after[:, row])


def test_no_price_level_and_no_scale() -> None:
    closes = walk()
    assert compute(3 + 7 * closes) == pytest.approx(compute(closes), abs=1e-3)


def test_a_lookback_alone_decides() -> None:
    both = compute(walk(2))
    assert np.array_equal(compute(walk(2)[1:])[0], both[1])


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_value_there_is_0(name: str) -> None:
    values = compute(walk(), name)
    assert values.shape == (2, N_CANDLES, INPUTS[name]) and np.isfinite(values).all()
    first = WARM_UP[name] - 1
    assert (values[:, first - 1, -1] == 0).all() and (values[:, first] != 0).all()


def test_closes_that_stand_still_are_at_their_average() -> None:
    closes = torch.zeros(1, N_CANDLES)
    assert (compute_indicators(closes, torch.full((1, 1), 1e-3), NAMES) == 0).all()
