"""An evaluation of untrained models: of many symbols, odd prices and odd baselines; and whether the examples are what they say."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from accelerate import PartialState

from kronos import Kronos, KronosTokenizer, load_config
from kronos.data import load_candles, split_candles
from kronos.errors import DataError
from kronos.evaluation import evaluation as evaluation_module
from kronos.evaluation.baselines import build_own
from kronos.evaluation.describe import SEED
from kronos.evaluation.evaluation import evaluate_run
from kronos.evaluation.forecasters.base import ForecastInput, NotApplicable
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.origins.walk_forward import WalkForward
from kronos.evaluation.records import Note
from kronos.evaluation.results import Evaluation
from kronos.evaluation.scoring import score
from tests.conftest import GOLDEN

FAST = ["evaluation.n_paths=3", "evaluation.rivals=[last_close, seasonal_naive]", "evaluation.stride=2"]


@pytest.fixture(autouse=True)
def on_cpu() -> Iterator[None]:
    PartialState(cpu=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's
        yield


def load(tiny_config: Path, *overrides: str):
    config = load_config(tiny_config, [*FAST, *overrides])
    candles, _ = load_candles(config.data, config.repairs)
    splits = split_candles(candles, config.data)
    return config, candles, splits, choose_held_out(config, candles, splits)


def models() -> tuple[KronosTokenizer, Kronos]:
    return KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), Kronos.from_pretrained(GOLDEN / "predictor")


def evaluate(tiny_config: Path, *overrides: str) -> Evaluation:
    config, candles, splits, held_out = load(tiny_config, *overrides)
    found = evaluate_run(config, build_own(config, *models()), held_out, candles, splits, "kronos evaluate")
    assert found
    return found


def write_symbols(tiny_config: Path, n: int) -> str:
    """Files of 60 candles for symbols s0, s1, …"""
    folder = tiny_config.parent / "many"
    folder.mkdir()
    rows = (tiny_config.parent / "candles.csv").read_text().splitlines()[:61]
    for i in range(n):
        (folder / f"s{i}.csv").write_text("\n".join(rows) + "\n")
    return f"data.data_path={folder}"


def test_many_symbols(tiny_config: Path) -> None:
    shorter = [
        "evaluation.rivals=[last_close, drift]",
        "data.train_ratio=0.5",
        "data.val_ratio=0.25",
        "data.test_ratio=0.25",
    ]
    found = evaluate(tiny_config, write_symbols(tiny_config, 3), *shorter)
    assert found.n_symbols == 3 and {each.symbol for each in found.examples} <= {"s0", "s1", "s2"}
    assert [each.baseline for each in found.comparisons if each.metric == "crps"] == ["last_close", "drift"]
    # The three are one series: a time at which each was forecast tells once, not three times.
    assert found.comparisons[0].n_independent <= found.n_origins / 3 + 1


def test_symbols_held_out(tiny_config: Path) -> None:
    held_out = ["data.test_ratio=0.0", "data.val_ratio=0.3", "data.test_symbols=[s1]"]
    found = evaluate(tiny_config, write_symbols(tiny_config, 3), *held_out)
    assert found.n_symbols == 1 and found.split == "test" and {each.symbol for each in found.examples} == {"s1"}
    # What moved all symbols at a time, the run may have learnt from the others.
    assert "held_out_symbols" in [note.code for note in found.notes]


def test_symbols_of_a_test_split_that_comes_later_need_no_caveat(tiny_config: Path) -> None:
    ratios = ["data.train_ratio=0.5", "data.val_ratio=0.25", "data.test_ratio=0.25"]
    found = evaluate(tiny_config, write_symbols(tiny_config, 3), *ratios)
    assert {each.code for each in found.notes} <= {"few_clock_times"}


@pytest.mark.parametrize("metric", ["crps", "mae", "direction"])
def test_examples_are_what_they_say(tiny_config: Path, metric: str) -> None:
    config, _, _, held_out = load(tiny_config, "evaluation.stride=1", f"evaluation.metric={metric}")
    found = evaluate(tiny_config, "evaluation.stride=1", f"evaluation.metric={metric}")
    own = build_own(config, *models())
    walk = WalkForward(config.model_paths.run_folder.evaluation, 3, SEED)
    losses = score(own, walk.forecast(own, held_out.origins), held_out.origins).losses
    by_row = dict(zip(held_out.origins.rows.tolist(), losses["mae" if metric == "mae" else "crps"].mean(axis=1)))
    assert len(by_row) == 5 and [each.kind for each in found.examples] == ["best", "median", "worst"]
    for each, expected in zip(found.examples, np.sort(list(by_row.values()))[[0, 2, 4]]):
        assert each.figure == pytest.approx(expected) and by_row[each.row] == pytest.approx(expected)
        assert each.origin == f"{held_out.origins.candles.timestamps(each.row, each.row + 1)[0]:%Y-%m-%d %H:%M}"


def spoil(tiny_config: Path, rows: slice, column: str = "close", price: float = 0.0) -> list[str]:
    path = tiny_config.parent / "candles.csv"
    frame = pd.read_csv(path)
    frame.loc[frame.index[rows], [column, "low"]] = price
    frame.to_csv(path, index=False)
    return ["repairs.non_positive=keep", "repairs.impossible=keep", "repairs.jumps=keep", "evaluation.stride=1"]


@pytest.mark.parametrize(("column", "price"), [("close", 0.0), ("close", -5.0)])
def test_prices_without_a_return_are_left_out_and_said(tiny_config: Path, column: str, price: float) -> None:
    words = spoil(tiny_config, slice(118, 119), column, price)  # 107 … 111 with a horizon of 8: the last two hold it
    found = evaluate(tiny_config, *words)
    assert found.n_origins == 3 and found.notes[0] == Note(code="not_positive", values={"n": 2})
    assert all(np.isfinite(each.log_return["crps"].overall) for each in found.forecasters)


def test_no_price_with_a_return(tiny_config: Path) -> None:
    words = spoil(tiny_config, slice(112, 113))
    with pytest.raises(
        DataError, match=r"no evaluation, because around each of the 5 origins a price is at or below 0"
    ):
        evaluate(tiny_config, *words)


@pytest.mark.slow
def test_nobody_trades_on_a_locked_candle(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trading rules leave such origins out, and nothing else does."""
    free = evaluate(tiny_config, "evaluation.costs_bp=5")
    for locked in (1, free.n_origins):
        monkeypatch.setattr(
            evaluation_module, "find_locked_origins", lambda origins, _, n=locked: np.arange(len(origins)) < n
        )
        found = evaluate(tiny_config, "evaluation.costs_bp=5")
        (note,) = [each for each in found.notes if each.code == "locked"]
        assert note.values == {"n": locked, "n_all": free.n_origins}
        assert (found.money is None) == (locked == free.n_origins)
        assert [each.model_dump_json() for each in found.comparisons] == [
            each.model_dump_json() for each in free.comparisons
        ]


def test_daily_candles(tiny_config: Path) -> None:
    path = tiny_config.parent / "candles.csv"
    frame = pd.read_csv(path)
    times = next(name for name in frame.columns if name.startswith("time"))
    frame[times] = pd.bdate_range("2020-01-01", periods=len(frame)).strftime("%Y-%m-%d")
    frame.to_csv(path, index=False)
    found = evaluate(tiny_config)
    said = [each.baseline for each in found.left_out] + [each.name for each in found.forecasters]
    assert "seasonal_naive" in said and found.interval == "1 day"


class Unable:
    """A baseline that finds out late that it cannot."""

    name, label = "unable", "unable"

    def __init__(self, key: str | None) -> None:
        self.key = key

    def sample(self, known: object, n_paths: int, seed: int) -> np.ndarray:
        raise NotApplicable("short_for_day", n=5)


@pytest.mark.parametrize("key", [None, "kept"])
def test_a_baseline_that_cannot_does_not_end_the_evaluation(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    monkeypatch.setattr(evaluation_module, "build_baselines", lambda *given: ([Unable(key)], []))
    found = evaluate(tiny_config)
    assert [(each.baseline, each.reason) for each in found.left_out] == [
        ("unable", Note(code="short_for_day", values={"n": 5}))
    ]
    assert not found.comparisons


class Broken:
    """A forecaster whose last path ends in a number that is no price."""

    name, label, key, moves = "broken", "broken", None, True

    def __init__(self, value: float) -> None:
        self.value = value

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> np.ndarray:
        closes = np.stack([np.full((n_paths, len(each.future)), each.closes[-1]) for each in known])
        closes[-1, -1, -1] = self.value
        return closes


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_forecasts_that_are_no_prices_are_not_scored(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(evaluation_module, "build_baselines", lambda *given: ([Broken(value)], []))
    found = evaluate(tiny_config)
    assert [(each.baseline, each.reason) for each in found.left_out] == [
        ("broken", Note(code="no_price", values={"n": 1, "n_all": found.n_origins}))
    ]
    config, candles, splits, held_out = load(tiny_config)
    with pytest.raises(DataError, match="closes that broken forecasts are not finite or not above 0"):
        evaluate_run(config, Broken(value), held_out, candles, splits, "kronos evaluate")


def test_lines_of_the_lstms_training_are_said_to_be_its_own(
    tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="kronos")
    found = evaluate(tiny_config, "evaluation.rivals=[lstm]", "evaluation.lstm.max_steps=2")
    assert [each.name for each in found.forecasters] == ["finetuned", "lstm"] and found.forecasters[1].seconds > 0
    lines = [record.getMessage() for record in caplog.records]
    first = next(i for i, line in enumerate(lines) if "step" in line)
    assert any("the LSTM baseline" in line for line in lines[:first])
    assert all(line.startswith(("lstm  ", "evaluation: ")) for line in lines[first:]), lines


def test_what_is_odd_about_single_forecasts_is_not_said_of_hundreds(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kronos.forecast.forecast.MANY_REPAIRS", -1.0)
    evaluate(tiny_config)
    assert "had to be repaired" not in caplog.text


def test_a_pretrained_model_for_any_time_series_names_its_licence(tiny_config: Path) -> None:
    pytest.importorskip("fracast")
    found = evaluate(tiny_config, "evaluation.rivals=[fracast, last_close]", "evaluation.stride=8")
    assert [each.name for each in found.forecasters] == ["finetuned", "fracast", "last_close"] and not found.left_out
    assert found.forecasters[1].seconds > 0 and [note.code for note in found.notes][-1] == "fracast"
    stored = list((tiny_config.parent / "runs/tiny/evaluation/forecasts").glob("fracast-*/*.npz"))
    assert stored
