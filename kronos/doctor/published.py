"""Compare forecasts of the published weights with those of the reference implementation (tests/golden/published)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS
from kronos.disk.shipped import ROOT
from kronos.forecast import KronosPredictor
from kronos.model import Kronos, KronosTokenizer

FOLDER = ROOT / "tests" / "golden" / "published"  # in a wheel, too
TOKENIZER = "NeoQuasar/Kronos-Tokenizer-base@0e0117387f39004a9016484a186a908917e22426"
MODEL = "NeoQuasar/Kronos-small@901c26c1332695a2a8f243eb2f37243a37bea320"
MAX_CONTEXT = 512
N_KNOWN = (512, 256)
TOLERANCE = 1e-5  # of the reference implementation's own test


@dataclass(frozen=True)
class Match:
    """How far a forecast is from the one that is stated.

    n_known: from how many candles it is made. error: the largest relative one; not finite if a number is missing.
    """

    n_known: int
    error: float
    tolerance: float = TOLERANCE

    @property
    def matches(self) -> bool:
        return self.error <= self.tolerance


def compare_published(tokenizer: KronosTokenizer, model: Kronos) -> list[Match]:
    """Compare the two forecasts that the reference implementation states."""
    return [compare_forecast(tokenizer, model, read_candles()[:n], read_forecast(n)) for n in N_KNOWN]


def compare_forecast(
    tokenizer: KronosTokenizer,
    model: Kronos,
    candles: pd.DataFrame,
    stated: pd.DataFrame,
    max_context: int = MAX_CONTEXT,
    tolerance: float = TOLERANCE,
) -> Match:
    """Forecast as the reference implementation decodes, greedily and on the CPU, and compare with what it states.

    Args:
        candles: the known ones, with the column timestamps.
        stated: the forecast, with the same columns. Its timestamps are the future ones.
    """
    predictor = KronosPredictor(model, tokenizer, device="cpu", max_context=max_context, reference_decode=True)
    columns = list(CANDLE_COLUMNS)
    found = predictor.predict(
        candles[columns],
        candles["timestamps"],
        stated["timestamps"],
        pred_len=len(stated),
        top_k=1,
        top_p=1.0,
        verbose=False,
        seed=0,
    )
    expected = stated[columns].to_numpy(np.float64)
    errors = np.abs(found[columns].to_numpy(np.float64) - expected) / np.abs(expected)
    return Match(len(candles), float(errors.max()), tolerance)


@cache
def read_candles() -> pd.DataFrame:
    """Return the 520 candles that the forecasts are made from, and that came after them."""
    return _read(FOLDER / "candles.csv")


def read_forecast(n_known: int) -> pd.DataFrame:
    """Return the stated forecast of the eight candles after the first n_known."""
    return _read(FOLDER / f"regression_output_{n_known}.csv")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, parse_dates=["timestamps"])


def list_pairs_to_compare() -> Iterator[tuple[str, str]]:
    """Return what to compare: the tokenizer and the model at the commits of the reference, then at any."""
    yield TOKENIZER, MODEL
    yield TOKENIZER.partition("@")[0], MODEL.partition("@")[0]
