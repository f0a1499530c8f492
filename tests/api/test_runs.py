"""`kronos.Run` and `kronos.load_run`."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kronos
from kronos import KronosPredictor, Run
from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import describe_conditions, write_calibration
from kronos.forecast import Sampling
from tests.api.test_candles import OPTION
from tests.conftest import GOLDEN, FinishedRun, invoke

QUIET: dict[str, Any] = {"n_paths": 20, "verbose": False}


@pytest.fixture
def run(golden_run: Path) -> Run:
    return kronos.load_run(golden_run)


@pytest.fixture
def candles(tmp_path: Path, golden_run: Path) -> pd.DataFrame:
    """The candles of the run."""
    return pd.read_csv(tmp_path / "candles.csv", parse_dates=["timestamps"]).set_index("timestamps")


def test_a_finished_run(finished_run: FinishedRun) -> None:
    run = kronos.load_run(finished_run.path)
    assert run == kronos.load_run(str(finished_run.path)) and Path(run) == finished_run.path and os.fspath(run)
    verdict = run.verdict
    assert verdict and run.report == verdict.page == finished_run.path / "report" / "index.html"
    assert verdict.headline in finished_run.output.stdout and verdict.write().startswith(f"{verdict.headline}\n")
    assert verdict.fine_tuning == "too little data to tell" and verdict.has_skill is False
    frame = verdict.to_frame()
    assert frame.index.names == ["baseline", "metric"] and {"pretrained", "drift"} <= set(frame.index.levels[0])
    assert list(frame)[:3] == ["skill", "low", "high"] and frame["n_origins"].gt(0).all()
    for text in (repr(run), repr(verdict), run._repr_html_(), verdict._repr_html_()):
        assert "pretrained" in text and "index.html" in text and "last_close" in text
    assert "<table" in run._repr_html_() and repr(run).startswith(f"Run('{finished_run.path}')\n")


def test_a_run_that_is_not_evaluated(run: Run, golden_run: Path, tmp_path: Path) -> None:
    assert run.verdict is None and run.report is None and repr(run) == f"Run('{golden_run}'), not evaluated"
    odd = Run(Path(shutil.copytree(golden_run, tmp_path / "<b>&")))
    assert "<b>" not in odd._repr_html_() and "&lt;b&gt;&amp;" in odd._repr_html_()


def test_a_run_has_its_own_tokenizer(golden_run: Path) -> None:
    with pytest.raises(ConfigError, match="A run has its own tokenizer"):
        KronosPredictor.from_pretrained(golden_run, str(GOLDEN / "tokenizer"))


def test_fewer_candles_than_the_lookback_are_noted(run: Run, candles: pd.DataFrame) -> None:
    forecast = run.forecast(candles[:12], **QUIET)
    assert "12 candles up to the origin, fewer than the lookback of 16" in forecast.notes
    assert not [note for note in run.forecast(candles[:16], **QUIET).notes if "lookback" in note]


def test_a_board_is_an_option(run: Run, candles: pd.DataFrame) -> None:
    notes = run.forecast(candles, board="star", **QUIET).notes
    assert "Forecast prices keep to the daily price limit of 20% (data.board=unlimited turns this off)." in notes
    with pytest.raises(ConfigError, match="board is 'nasdaq'"):
        run.forecast(candles, board="nasdaq", **QUIET)


def test_no_run(tmp_path: Path, golden_run: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run here"):
        kronos.load_run(tmp_path)
    shutil.rmtree(golden_run / "basemodel")
    with pytest.raises(CheckpointError, match=r"no base model yet\. Train it; resume=True resumes an interrupted"):
        kronos.load_run(golden_run)


@pytest.mark.parametrize("kind", ["file", "frame", "dict", "own"])
def test_a_forecast_is_that_of_the_command(run: Run, candles: pd.DataFrame, tmp_path: Path, kind: str) -> None:
    given = {"file": tmp_path / "candles.csv", "frame": candles, "dict": {"candles": candles}, "own": None}[kind]
    before = candles.copy(deep=True)
    forecast = run.forecast(given, **QUIET)
    words = ("--run", run.path, "--paths", 20, "--no-pictures", "--out", tmp_path / "out")
    assert invoke("predict", *words).exit_code == 0
    written = pd.read_csv(tmp_path / "out" / "candles_forecast.csv", parse_dates=["timestamps"], index_col="timestamps")
    np.testing.assert_allclose(forecast.to_frame()[list(written)], written, rtol=1e-4)
    assert forecast.timestamps.equals(pd.DatetimeIndex(written.index)) and forecast.name == "candles"
    assert forecast.history is not None and len(forecast.history) == 120 and forecast.actual is None
    pd.testing.assert_frame_equal(candles, before)


def test_an_earlier_origin_and_one_of_several_symbols(run: Run, candles: pd.DataFrame, tmp_path: Path) -> None:
    origin = candles.index[99]
    forecast = run.forecast(candles, horizon=4, origin=origin, **QUIET)
    assert forecast.origin == origin and forecast.actual is not None and forecast.history is not None
    np.testing.assert_allclose(forecast.actual["close"], candles["close"][100:104], rtol=1e-6)
    assert forecast.history.index[-1] == origin and len(forecast.mean) == 4
    both = {"A": candles, "B": candles * 2}
    second = run.forecast(both, symbol="B", horizon=4, origin=str(origin), **QUIET)
    assert second.name == "B" and second.last_close == pytest.approx(2 * forecast.last_close)
    for name, frame in both.items():
        frame.to_csv(tmp_path / f"{name}.csv")
    several = run.forecast([tmp_path / "A.csv", tmp_path / "B.csv"], symbol="B", horizon=4, origin=origin, **QUIET)
    np.testing.assert_array_equal(several.paths, second.paths)


def test_the_bands_are_calibrated_if_there_is_a_calibration(run: Run, candles: pd.DataFrame) -> None:
    sampled = run.forecast(candles, **QUIET)
    assert not sampled.calibrated
    conditions = describe_conditions(run.predictor(), Sampling(1.0, 0, 1.0), 16, 8)
    calibration = Calibration(20, tuple((each,) * 8 for each in (0.1, 0.2, 0.3)), (1, 1, 1))
    write_calibration(run.folder.calibration, calibration, conditions)
    calibrated = run.forecast(candles, **QUIET)
    assert calibrated.calibrated and (calibrated.mean == sampled.mean).all(axis=None)
    width = (calibrated.quantile(0.95) - calibrated.quantile(0.05))["close"]
    assert (width != (sampled.quantile(0.95) - sampled.quantile(0.05))["close"]).all()
    as_sampled = run.forecast(candles, calibrated=False, **QUIET)
    pd.testing.assert_frame_equal(as_sampled.to_frame(), sampled.to_frame())
    greedy = run.forecast(candles, sampling=Sampling(temperature=0), **QUIET)
    assert len(greedy.paths) == 1 and not greedy.calibrated


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"horizon": 24}, ConfigError, "beyond max_context = 24"),
        ({"horizon": 0}, ConfigError, "at least 1"),
        ({"origin": "tomorrow"}, DataError, "the origin 'tomorrow' is not a local time"),
        ({"symbol": "X"}, ConfigError, "there is no symbol X. There are candles."),
        ({"lookback_window": 5}, ConfigError, "data.lookback_window: a forecast does not depend on this key"),
        ({"timezone": "Mars"}, ConfigError, "forecast: timezone 'Mars' is unknown"),
        ({"candles": "nowhere.csv"}, DataError, "nowhere.csv: no such file"),
        ({"candles": pd.DataFrame({"close": [1.0]})}, DataError, "open"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments(run: Run, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        run.forecast(**QUIET | options)
    assert message in str(error.value) and not OPTION.search(str(error.value))


def test_several_symbols_and_none_is_named(run: Run, candles: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"there are 2 symbols \(A, B\)\. Name one: symbol='A'"):
        run.forecast({"A": candles, "B": candles}, **QUIET)


def test_predictors_by_name(run: Run, golden_run: Path, finished_run: FinishedRun) -> None:
    model = finished_run.path / "basemodel" / "best_model"
    for given in (run, golden_run, str(golden_run), model):
        assert KronosPredictor.from_pretrained(given).max_context == 24
    assert run.predictor(max_context=20).max_context == 20 and run.predictor(device=None).max_context == 24
    assert KronosPredictor.from_pretrained("nano").max_context == 144
    assert KronosPredictor.from_pretrained("nano", max_context=20, device="cpu").max_context == 20
    with pytest.raises(ConfigError, match="Give its tokenizer too"):
        KronosPredictor.from_pretrained(GOLDEN / "predictor")
