"""The comparison with published forecasts: with the golden models, which are here, it must be able to fail."""

import numpy as np
import pandas as pd
import pytest

from kronos.doctor.published import (
    MODEL,
    N_KNOWN,
    TOKENIZER,
    Match,
    compare_forecast,
    compare_published,
    read_candles,
    read_forecast,
)
from kronos.model import Kronos, KronosTokenizer
from tests.conftest import GOLDEN, REAL_CANDLES, load_vectors

COLUMNS = ["open", "high", "low", "close", "volume", "amount"]
GOLDEN_TOLERANCE = 2e-3  # of the golden forecasts


def compare_golden(factor: float = 1.0, name: str = "predictor", changed: str = "close") -> Match:
    """Compare a golden model's forecast with the vectors of `predictor`, one column of them multiplied."""
    candles = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])
    forecast = load_vectors("predictor")["forecast_inside"].double().numpy()
    stated = candles[40:48].reset_index(drop=True)
    stated[COLUMNS] = forecast
    stated[changed] *= factor
    models = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), Kronos.from_pretrained(GOLDEN / name)
    return compare_forecast(*models, candles[:40], stated, max_context=64, tolerance=GOLDEN_TOLERANCE)


def test_the_golden_forecast_matches() -> None:
    match = compare_golden()
    assert match.matches and match.n_known == 40 and match.error < GOLDEN_TOLERANCE


@pytest.mark.parametrize(
    "difference",
    [{"factor": 1.01}, {"factor": 0.99, "changed": "amount"}, {"factor": np.nan}, {"name": "predictor_fixed_time"}],
    ids=str,
)
def test_another_forecast_does_not(difference: dict) -> None:
    assert not compare_golden(**difference).matches


def test_other_weights_do_not_match_the_published_forecasts() -> None:
    matches = compare_published(KronosTokenizer.from_pretrained("nano"), Kronos.from_pretrained("nano"))
    assert [match.n_known for match in matches] == [512, 256]
    assert not any(match.matches for match in matches)
    assert all(1e-3 < match.error < 10 for match in matches)  # prices and volumes, of the right candles at least


@pytest.mark.parametrize("n", N_KNOWN)
def test_the_stated_times_are_those_after_the_known_candles(n: int) -> None:
    """The files' names are right: each begins with the row after as many candles."""
    candles, stated = read_candles(), read_forecast(n)
    assert len(candles) == 520 and len(stated) == 8
    assert stated["timestamps"].tolist() == candles["timestamps"][n : n + 8].tolist()
    assert list(stated) == list(candles) == ["timestamps", *COLUMNS]
    last = candles["close"][n - 1]
    assert (stated["close"] / last - 1).abs().max() < 0.01


def test_the_candles_are_the_first_of_the_sample() -> None:
    if not REAL_CANDLES.exists():
        pytest.skip("the real candles are not at hand")
    whole = pd.read_csv(REAL_CANDLES, parse_dates=["timestamps"])
    pd.testing.assert_frame_equal(read_candles(), whole[:520])


@pytest.mark.network
def test_the_published_weights() -> None:
    models = KronosTokenizer.from_pretrained(TOKENIZER), Kronos.from_pretrained(MODEL)
    assert all(match.matches for match in compare_published(*models)), compare_published(*models)
