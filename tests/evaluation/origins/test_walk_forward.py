"""Which origins are forecast from, what is known there, and that no forecast is made twice or lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from accelerate import PartialState

from kronos import load_config
from kronos.data import load_candles, split_candles
from kronos.errors import DataError
from kronos.evaluation.origins import walk_forward
from kronos.evaluation.origins.held_out import choose_held_out, choose_new, find_instant, find_local, is_own
from kronos.evaluation.origins.walk_forward import Origins, WalkForward
from kronos.evaluation.records import Note
from kronos.files import append_digest
from kronos.forecast.chunks import GROUP
from kronos.run_folder import RunFolder
from kronos.stage_record import StageRecord
from kronos.training.saved.last_seen import SEEN_UNTIL, find_last_seen
from kronos.training.saved.stage_settings import collect_settings
from tests.conftest import ROOT
from tests.evaluation.synthetic import load_frames


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


def load(tiny_config: Path, *overrides: str):
    config = load_config(tiny_config, [*overrides])
    candles, _ = load_candles(config.data, config.repairs)
    return config, candles, split_candles(candles, config.data)


class Counting:
    """Forecasts numbers that tell origin, path and time apart, and notes which origins it was asked for."""

    name, label, key = "counting", "counting", "counting"

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._stop_after = stop_after

    def sample(self, known, n_paths: int, seed: int) -> np.ndarray:
        if self._stop_after is not None and len(self.asked) >= self._stop_after:
            raise KeyboardInterrupt
        self.asked += [each.name for each in known]
        last = np.array([each.closes[-1] for each in known])
        return last[:, None, None] + np.arange(n_paths)[:, None] + np.arange(len(known[0].future)) / 100


def test_origins_follow_each_other_by_the_horizon_or_the_stride(tiny_config: Path) -> None:
    config, candles, splits = load(tiny_config)
    held_out = choose_held_out(config, candles, splits)
    assert held_out.stride == 11  # the first from the horizon on without a common factor with 48 candles a day
    # 120 candles, of which the last 12 are the test split: one horizon of 8.
    assert held_out.split == "test" and held_out.notes == () and held_out.origins.rows.tolist() == [107]
    config, *_ = load(tiny_config, "evaluation.stride=2")
    assert choose_held_out(config, candles, splits).origins.rows.tolist() == [107, 109, 111]


def test_known_ends_at_the_origin_and_the_actual_candles_come_after(tiny_config: Path) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.array([50, 61]), lookback=16, horizon=8)
    for known, row, closes, actual in zip(origins.known(), (50, 61), origins.closes, origins.actual):
        frame = candles.frame()
        assert known.candles.equals(frame.iloc[row - 15 : row + 1]) and known.origin == frame.index[row]
        assert list(known.future) == list(frame.index[row + 1 : row + 9])
        np.testing.assert_array_equal(known.closes, closes)
        np.testing.assert_array_equal(actual, frame["close"].iloc[row + 1 : row + 9].to_numpy(np.float64))
    assert origins.ends[0] == candles.instants[58]


def test_without_a_test_split_the_later_half_of_validation_is_used_and_said(tiny_config: Path) -> None:
    config, candles, splits = load(tiny_config, "data.val_ratio=0.3", "data.test_ratio=0.0", "evaluation.stride=1")
    held_out = choose_held_out(config, candles, splits)
    assert held_out.split == "val" and held_out.notes == (Note(code="on_validation"),)
    rows = splits["val"].starts.take(np.arange(len(splits["val"]))) + 15
    assert held_out.origins.rows.tolist() == rows[len(rows) // 2 :].tolist()
    assert len(held_out.calibration) and held_out.calibration.ends.max() <= held_out.origins.starts.min()


def test_other_candles_count_only_after_all_that_was_seen(tiny_config: Path) -> None:
    config, candles, splits = load(tiny_config, "evaluation.stride=1")
    with pytest.raises(DataError, match="Give --since"):
        choose_new(config, candles, None)
    seen = find_last_seen(config, candles, splits)
    assert seen == candles.instants[107]  # the last of validation's 24 candles
    run_dir = config.model_paths.base_save_path
    run_dir.mkdir(parents=True)
    RunFolder(run_dir).audit.write_text(json.dumps({SEEN_UNTIL: seen}))
    new = choose_new(config, candles, None)
    assert new.origins.rows.tolist() == choose_held_out(config, candles, splits).origins.rows.tolist()
    assert new.notes == () and not len(new.calibration)
    moment = candles.timestamps(60, 61)[0].to_pydatetime()
    assert find_instant(candles, moment) == candles.instants[60]
    earlier = choose_new(config, candles, find_instant(candles, moment))
    assert earlier.origins.rows[0] == 60 and [(note.code, "until" in note.values) for note in earlier.notes] == [
        ("on_seen", True)
    ]
    with pytest.raises(DataError, match="the run was trained or validated on"):
        RunFolder(run_dir).audit.write_text(json.dumps({SEEN_UNTIL: int(candles.instants[-1])}))
        choose_new(config, candles, None)


def test_candles_that_grew_are_not_those_of_the_run(tiny_config: Path) -> None:
    config, candles, _ = load(tiny_config)
    folder = config.model_paths.run_folder.basemodel.path
    folder.mkdir(parents=True)
    StageRecord(stage="basemodel", settings=collect_settings(config, "basemodel", candles)).write(folder)
    assert is_own(config, candles)
    lines = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines(keepends=True)
    config.data.data_path[0].write_text("".join(lines[:131]))
    assert not is_own(config, load(tiny_config)[1])


def test_an_interrupted_walk_goes_on_where_it_was(tiny_config: Path, tmp_path: Path) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 20 + 3 * GROUP), lookback=16, horizon=8)
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    interrupted = Counting(stop_after=2 * GROUP)
    with pytest.raises(KeyboardInterrupt):
        walk.prepare(interrupted, origins)
    second = Counting()
    walk.prepare(second, origins)
    assert len(interrupted.asked) == 2 * GROUP and len(second.asked) == GROUP
    paths = walk.forecast(second, origins)
    np.testing.assert_allclose(paths, Counting().sample(origins.known(), 3, 0), rtol=1e-6)
    assert not list(tmp_path.rglob(".*"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replace(**arrays: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with np.load(path) as file:
            kept = dict(file)
        np.savez(path, **kept | arrays)
        append_digest(path)

    return write


def _zero(path: Path) -> None:
    with np.load(path) as file:
        kept = dict(file)
    np.savez(path, **kept | {"paths": np.zeros_like(kept["paths"])})  # as an earlier version would write it


def _cut_seconds(path: Path) -> None:
    _cut(path.with_suffix(".json"))


DAMAGES = {
    "cut": _cut,
    "seconds": _cut_seconds,
    "one bit": _flip,
    "other values": _zero,
    "other number of paths": _replace(paths=np.ones((GROUP, 2, 8), np.float32)),
    "other horizon": _replace(paths=np.ones((GROUP, 3, 7), np.float32)),
    "fewer origins": _replace(rows=np.arange(GROUP - 1)),
    "no numbers": _replace(paths=np.full((GROUP, 3, 8), "1.0")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(
    tiny_config: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 20 + 2 * GROUP), lookback=16, horizon=8)
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    walk.prepare(Counting(), origins)
    whole = walk.forecast(Counting(), origins)
    damaged = sorted(tmp_path.rglob("*.npz"))[0]
    DAMAGES[damage](damaged)
    again = Counting()
    walk.prepare(again, origins)
    assert len(again.asked) == GROUP and np.array_equal(walk.forecast(again, origins), whole)
    assert f"{damaged} is damaged, or of an earlier version, and is made anew" in caplog.text
    assert caplog.text.count("damaged, or") == len(caplog.records) == 1 and walk.measure_seconds(again, origins) > 0


def test_stored_forecasts_are_the_same_bytes_each_time(tiny_config: Path, tmp_path: Path) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 20 + GROUP), lookback=16, horizon=8)
    for name in ("first", "second"):
        WalkForward(tmp_path / name, n_paths=3, seed=0).prepare(Counting(), origins)
    first, second = sorted(tmp_path.rglob("*.npz"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("change", [{"n_paths": 4}, {"seed": 1}])
def test_forecasts_made_otherwise_are_not_mistaken(tiny_config: Path, tmp_path: Path, change: dict[str, int]) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 30), lookback=16, horizon=8)
    settings = {"n_paths": 3, "seed": 0}
    WalkForward(tmp_path, **settings).prepare(Counting(), origins)
    again = Counting()
    WalkForward(tmp_path, **settings | change).prepare(again, origins)
    assert len(again.asked) == 10


def test_within_a_budget_fewer_origins_are_chosen_and_kept(tiny_config: Path, tmp_path: Path) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 20 + 4 * GROUP), lookback=16, horizon=8)
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    first, again = Counting(), Counting()
    chosen = walk.choose(first, origins, seconds=0.0)
    assert len(chosen) == len(first.asked) == GROUP  # one group, however little time there is
    rows = chosen.rows
    assert (np.diff(rows) > 0).all() and rows.max() - rows.min() > 2 * GROUP  # from everywhere
    assert walk.choose(again, origins, seconds=0.0).rows.tolist() == rows.tolist() and not again.asked
    everything = walk.choose(again, origins, seconds=None)
    assert len(everything) == len(origins) and len(again.asked) == 3 * GROUP


def test_forecasts_kept_from_another_choice_do_not_choose_the_origins(tiny_config: Path, tmp_path: Path) -> None:
    """An earlier evaluation of the latest origins alone: within the budget they are no likelier than the others."""
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 20 + 4 * GROUP), lookback=16, horizon=8)
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    walk.prepare(Counting(), origins.take(np.arange(3 * GROUP, 4 * GROUP)))
    chosen = walk.choose(Counting(), origins, seconds=0.0).rows
    fresh = WalkForward(tmp_path / "fresh", n_paths=3, seed=0).choose(Counting(), origins, seconds=0.0).rows
    assert set(fresh) <= set(chosen) and len(chosen) < 2 * GROUP
    assert (chosen >= 20 + 3 * GROUP).mean() < 0.5
    assert walk.choose(Counting(), origins, seconds=0.0).rows.tolist() == chosen.tolist()


def test_forecasts_at_other_clock_times_are_not_mistaken(tiny_config: Path, tmp_path: Path) -> None:
    """The same instants told in another zone have another calendar, which the models read."""
    _, candles, _ = load(tiny_config)
    (symbol,) = candles.symbols
    moved = replace(candles, symbols=(replace(symbol, offset_rows=(0,), offsets=(3_600_000_000,)),))
    assert moved.content_hash() == candles.content_hash()
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    walk.prepare(Counting(), Origins(candles, np.arange(20, 30), lookback=16, horizon=8))
    again = Counting()
    walk.prepare(again, Origins(moved, np.arange(20, 30), lookback=16, horizon=8))
    assert len(again.asked) == 10


def test_forecasts_of_another_version_are_not_mistaken(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, candles, _ = load(tiny_config)
    origins = Origins(candles, np.arange(20, 30), lookback=16, horizon=8)
    walk = WalkForward(tmp_path, n_paths=3, seed=0)
    walk.prepare(Counting(), origins)
    monkeypatch.setattr(walk_forward, "__version__", "another")
    again = Counting()
    walk.prepare(again, origins)
    assert len(again.asked) == 10


def test_windows_left_out_for_a_jump_are_said(tiny_config: Path) -> None:
    config, candles, splits = load(tiny_config, "data.test_ratio=0.3", "data.train_ratio=0.5")
    assert choose_held_out(config, candles, splits).notes == ()
    values = np.array(candles.values)
    values[110:, :4] *= 2
    symbol = replace(candles.symbols[0], jump_rows=(110,))
    candles = replace(candles, values=values, symbols=(symbol,), known_hash="")
    held_out = choose_held_out(config, candles, split_candles(candles, config.data))
    (note,) = held_out.notes
    assert note.code == "jumps_left_out" and len(held_out.origins) < 4


def test_the_time_to_judge_from_is_local(tmp_path: Path) -> None:
    """A note names the last candle seen by the exchange's clock, as --since reads it, not in UTC."""
    times = pd.date_range("2024-01-02 09:35", periods=60, freq="5min", tz="Asia/Shanghai")
    close = 100 + np.sin(np.arange(60.0))
    frame = pd.DataFrame({"timestamps": times.map(str), "open": close, "high": close, "low": close, "close": close})
    candles = load_frames(tmp_path / "zoned", frame)
    assert find_local(candles, int(candles.instants[40])) == np.datetime64("2024-01-02 12:55", "us").astype(int)
    assert find_local(candles, int(candles.instants[0]) - 10**9) < np.datetime64("2024-01-02 09:35", "us").astype(int)
