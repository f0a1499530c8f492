"""`kronos.evaluate`."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kronos
from kronos.api.evaluating import _read_since
from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.evaluation.results import Evaluation
from tests.api.test_candles import OPTION, SAMPLE
from tests.conftest import GOLDEN, invoke

CANDLES = pd.read_csv(SAMPLE, nrows=400, parse_dates=["timestamps"])
FEW = {"evaluation.n_paths": 3, "rivals": ["last_close", "drift"], "invented_drift": False}


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Draw nothing, which takes most of the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.write_report", lambda *given: None)


def test_a_run_on_later_candles(copied_run: Path, tmp_path: Path) -> None:
    """The run was trained on the first 120 of them."""
    frame, before = CANDLES[120:], CANDLES.copy(deep=True)
    verdict = kronos.load_run(copied_run).evaluate(frame, stride=60, cache_dir=tmp_path, **FEW)
    pd.testing.assert_frame_equal(CANDLES, before)
    assert verdict.page.parent.parent == copied_run and verdict.fine_tuning is None
    assert verdict.evaluation.n_origins == 5 and list(verdict.to_frame().index.levels[0]) == ["drift", "last_close"]


@pytest.mark.slow
def test_a_run_on_files_is_evaluated_as_the_command_does(copied_run: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.csv"
    CANDLES[120:].to_csv(later, index=False)
    verdict = kronos.evaluate(copied_run, CANDLES[120:], stride=60, cache_dir=tmp_path, **FEW)
    words = ["evaluation.stride=60", "evaluation.n_paths=3", "evaluation.rivals=[last_close, drift]"]
    done = invoke("evaluate", "--run", copied_run, "--data", later, *words, "evaluation.invented_drift=false")
    assert done.exit_code == 0, done.output
    by_command = Evaluation.read(copied_run / "report-later" / "metrics.json")
    assert repr(verdict.evaluation.comparisons) == repr(by_command.comparisons)  # NaN is not NaN
    others = kronos.evaluate(copied_run, [later, SAMPLE], since="2024-01-08", stride=60, **FEW)
    assert others.page.parent.name.startswith("report-later-") and others.evaluation.n_origins > 5


def test_a_model(tmp_path: Path) -> None:
    options = {"lookback": 16, "predict_window": 8, "stride": 60, **FEW}
    verdict = kronos.evaluate("nano", {"600977": CANDLES}, cache_dir=tmp_path, base_path=tmp_path / "e", **options)
    assert verdict.fine_tuning is None and {each.baseline for each in verdict.evaluation.comparisons} == {
        "last_close",
        "drift",
    }
    assert verdict.page.parents[2] == tmp_path / "e" and "nano" in verdict.page.parents[1].name
    assert verdict.evaluation.forecasters[0].label == "nano" and "last_close" in repr(verdict)


def test_without_baselines(copied_run: Path) -> None:
    verdict = kronos.evaluate(copied_run, rivals=[], stride=2, **{"evaluation.n_paths": 3, "invented_drift": False})
    assert verdict.to_frame().empty and verdict.fine_tuning is None and verdict.headline in repr(verdict)
    assert "<table" not in verdict._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"run": "nowhere"},
            ConfigError,
            "nowhere: there is no run here. Give the folder of a run; or, to evaluate a model",
        ),
        ({"run": "nowhere", "data": SAMPLE}, CheckpointError, "nowhere: no such model folder"),
        ({"run": GOLDEN / "predictor", "data": SAMPLE}, ConfigError, "Give its tokenizer too"),
        ({"run": "nano", "data": "nowhere.csv"}, DataError, "nowhere.csv: no such file"),
        (
            {"run": "nano", "data": SAMPLE, "epochs": 3},
            ConfigError,
            "training.epochs: this setting has no effect on a model",
        ),
        (
            {"run": "nano", "data": SAMPLE, "stride": 0},
            ConfigError,
            "evaluate: evaluation.stride is 0; it must be at least 1.",
        ),
        ({"run": "nano", "data": SAMPLE, "since": "2030-01-01"}, DataError, "since"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        kronos.evaluate(**arguments)
    assert message in str(error.value) and not OPTION.search(str(error.value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 3}, "data.predict_window: this setting cannot change after training"),
        ({"epochs": 3}, "training.epochs: this setting cannot change after training"),
        ({"timezone": "Asia/Shanghai"}, "data.timezone: this setting cannot change after training"),
        ({"tokenizer": "nano"}, "tokenizer needs a model. A run has its own tokenizer."),
        ({"since": "2024-01-01"}, "since needs data."),
        ({"since": "02/04/2024", "data": SAMPLE}, "since is '02/04/2024'. Write it like"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_may_not_be_given_for_a_run(golden_run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        kronos.evaluate(golden_run, **options)
    assert message in str(error.value) and not OPTION.search(str(error.value))


def test_moments() -> None:
    noon = datetime(2024, 9, 2, 12)
    for given in ("2024-09-02 12:00", "2024-09-02T12:00:00", noon, pd.Timestamp(noon)):
        assert _read_since(given) == noon and type(_read_since(given)) is datetime
    assert _read_since("2024-09-02") == _read_since(date(2024, 9, 2)) == datetime(2024, 9, 2)
    for given in ("2024-09-02 12:00+08:00", pd.Timestamp(noon, tz="Asia/Shanghai")):
        with pytest.raises(ConfigError, match="Leave the time zone out"):
            _read_since(given)
    for given in (pd.NaT, 3, "", "yesterday"):
        with pytest.raises(ConfigError, match="Write it like"):
            _read_since(given)
