"""How many horizons of a split do not overlap in time."""

from dataclasses import replace
from pathlib import Path

import pytest

from kronos import load_config
from kronos.data import CandleSet, load_candles, split_candles
from kronos.planning.evidence import count_independent_origins
from tests.conftest import ROOT

OVERRIDES = [f"data.data_path={ROOT / 'data' / 'synthetic_5min.csv'}", "data.test_ratio=0.1"]


def count(tiny_config: Path, candles: CandleSet | None, *overrides: str) -> int:
    config = load_config(tiny_config, [*OVERRIDES, *overrides])
    candles = candles or load_candles(config.data, config.repairs)[0]
    return count_independent_origins(candles, split_candles(candles, config.data)["test"], config.data)


@pytest.mark.parametrize(("horizon", "n"), [(8, 42), (16, 21), (48, 7), (330, 1)])
def test_one_symbol(tiny_config: Path, horizon: int, n: int) -> None:
    """Of 336 test candles."""
    assert count(tiny_config, None, f"data.predict_window={horizon}", "data.max_context=512") == n


def test_symbols_count_once_at_a_time(tiny_config: Path) -> None:
    """Two symbols with the same times: horizons at one time are one."""
    config = load_config(tiny_config, OVERRIDES)
    candles, _ = load_candles(config.data, config.repairs)
    (symbol,) = candles.symbols
    half = len(candles) // 2
    instants = candles.instants.copy()
    instants[half:] = instants[:half]
    symbols = replace(symbol, stop=half), replace(symbol, symbol="other", start=half)
    both = replace(candles, instants=instants, symbols=symbols, known_hash="")
    split = split_candles(both, config.data)["test"]
    assert split.independent == 2 * 21 and count(tiny_config, both) == 21
