"""What baselines are fitted on: the run's train rows, or what is before the first origin."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kronos.config.data import DataConfig
from kronos.data import CandleSet, split_candles
from kronos.evaluation.origins import past as module
from kronos.evaluation.origins.past import collect_past
from kronos.evaluation.origins.walk_forward import Origins
from tests.evaluation.synthetic import load_frames, random_walk

LOOKBACK, HORIZON, N = 20, 4, 240
CONFIG = DataConfig(data_path=Path("any"), lookback_window=LOOKBACK, predict_window=HORIZON, max_context=24)


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> CandleSet:
    frames = [random_walk(0.01).make_frame(seed, 5) for seed in range(2)]
    return load_frames(tmp_path_factory.mktemp("two") / "candles", *frames)


def take(candles: CandleSet, *rows: int) -> Origins:
    return Origins(candles, np.array(rows), LOOKBACK, HORIZON)


def test_train_rows_are_those_of_the_train_split(candles: CandleSet) -> None:
    splits = split_candles(candles, CONFIG)
    past = collect_past(CONFIG, take(candles, 220, 460), candles, splits)
    assert list(past.stretches) == ["s0", "s1"] and (past.lookback, past.horizon) == (LOOKBACK, HORIZON)
    assert past.interval.total_seconds() == 300
    n_train = round(N * CONFIG.train_ratio)
    for first, (closes,) in zip((0, N), past.stretches.values()):
        assert np.array_equal(closes.to_numpy(), candles.values[first : first + n_train, 3].astype(np.float64))
        assert (closes.index == candles.timestamps(first, first + n_train)).all()


def test_an_origin_within_the_train_rows_ends_them(candles: CandleSet) -> None:
    splits = split_candles(candles, CONFIG)
    past = collect_past(CONFIG, take(candles, 50, 460), candles, splits)
    assert [sum(map(len, each)) for each in past.stretches.values()] == [50, round(N * CONFIG.train_ratio)]


def test_without_a_train_split_all_rows_are_before_the_first_origin_of_any_symbol(candles: CandleSet) -> None:
    past = collect_past(CONFIG, take(candles, 100, 330, 400), None, {})
    assert [sum(map(len, each)) for each in past.stretches.values()] == [90, 90]  # row 330 is row 90 of its symbol
    assert all(each[-1].index[-1] < candles.timestamps(90, 91)[0] for each in past.stretches.values())


def test_one_symbol_has_no_name(tmp_path: Path) -> None:
    single = load_frames(tmp_path / "one", random_walk(0.01).make_frame(0, 5))
    assert list(collect_past(CONFIG, take(single, 100), None, {}).stretches) == [""]


def test_stretches_end_at_gaps_jumps_and_closes_at_0(candles: CandleSet) -> None:
    values = np.array(candles.values)
    values[30, 3] = 0.0
    symbols = (replace(candles.symbols[0], jump_rows=(60,)), candles.symbols[1])
    broken = replace(candles, values=values, symbols=symbols)
    past = collect_past(CONFIG, take(broken, 100), None, {})
    assert [len(each) for each in past.stretches["s0"]] == [30, 29, 40]
    assert all((each > 0).all() for each in past.stretches["s0"])


def test_of_many_rows_the_last_are_taken(candles: CandleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 30)
    past = collect_past(CONFIG, take(candles, 100), None, {})
    assert [each.index[-1] for each in past.stretches["s0"]] == [candles.timestamps(99, 100)[0]]
    assert [len(each) for each in past.stretches["s0"]] == [30]
