"""Whatever a baseline does wrong, it is left out with a line, and the evaluation goes on."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kronos.candles import Array
from kronos.errors import KronosError, WriteError
from kronos.evaluation import baselines
from kronos.evaluation.forecasters.base import ForecastInput, KronosForecaster
from kronos.evaluation.results import Evaluation
from tests.conftest import invoke
from tests.evaluation.test_baselines import build, on_cpu  # noqa: F401
from tests.training.test_distributed import TORCHRUN, launch

FAILURES = {
    "a library's error": np.linalg.LinAlgError("Singular matrix"),
    "an error of ours": KronosError("training has diverged at step 5"),
    "no message": ZeroDivisionError(),
    "no file": FileNotFoundError(2, "No such file"),
    "no memory": MemoryError("Unable to allocate 9.9 TiB"),
}
SHAPES = {"": 8, "nan": 8, "negative": 8, "too few steps": 7}
HOWS = [*list(FAILURES)[1:], *list(SHAPES)[1:]]


@dataclass
class Failing:
    """Fails in sample. key: with one, its forecasts are stored."""

    how: str
    key: str | None
    name: str = "drift"
    label: str = "drift"
    moves: bool = True

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        if self.how in FAILURES:
            raise FAILURES[self.how]
        value = {"nan": np.nan, "": 1.0}.get(self.how, -1.0)
        return np.full((len(known), n_paths, SHAPES[self.how]), value)


@pytest.mark.parametrize("key", [None, "key"], ids=["computed", "stored"])
@pytest.mark.parametrize("how", ["a library's error", *(pytest.param(how, marks=pytest.mark.slow) for how in HOWS)])
def test_the_evaluation_goes_on(copied_run: Path, monkeypatch: pytest.MonkeyPatch, how: str, key: str | None) -> None:
    monkeypatch.setitem(baselines.NAIVE_FORECASTERS, "drift", Failing(how, key))
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.write_report", lambda *given: None)
    done = invoke("evaluate", "--run", copied_run)
    assert done.exit_code == 0 and "Traceback" not in done.output, done.output
    assert done.stderr.count("(drift): ") == 1
    found = next(Evaluation.read(path) for path in copied_run.glob("report*/metrics.json"))
    assert [each.baseline for each in found.left_out] == ["drift"]
    assert {each.baseline for each in found.comparisons} == {"pretrained", "last_close"}


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("name", ["pretrained", "lstm", "majority", "ewma", "garch", "time_of_day", "chronos"])
def test_a_baseline_that_cannot_be_built(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    def fail(*given: object) -> None:
        raise FAILURES[how]

    monkeypatch.setattr(baselines, "build_lstm", fail)
    monkeypatch.setattr(baselines, "_build_pretrained", fail)
    for registry in (baselines.FITTED_BASELINES, baselines.FOUNDATION_MODELS):
        if name in registry:
            monkeypatch.setitem(registry, name, fail)
    found, left_out = build(tiny_config, f"evaluation.rivals=[{name}, last_close]")
    assert [each.name for each in found] == ["last_close"] and [each.baseline for each in left_out] == [name]
    assert left_out[0].reason.code == "failed"


@pytest.mark.slow
def test_without_any_baseline(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_close", "drift"):
        monkeypatch.setitem(baselines.NAIVE_FORECASTERS, name, Failing("no message", None, name, name))
    monkeypatch.setattr(baselines, "_build_pretrained", lambda config: Failing("no message", None, "pretrained"))
    done = invoke("evaluate", "--run", copied_run)
    assert done.exit_code == 0 and "it was compared with no simple forecast" in done.stdout, done.output
    page = next(copied_run.glob("report*/index.html")).read_text()
    assert "it failed: ZeroDivisionError" in page and "运行失败：ZeroDivisionError" in page


def test_a_full_disk_is_no_fault_of_a_baseline(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(baselines, "build_lstm", fail)
    with pytest.raises(OSError, match="No space left"):
        build(tiny_config, "evaluation.rivals=[lstm]")
    assert issubclass(WriteError, KronosError)


@pytest.mark.parametrize("failing", ["finetuned", "pretrained"])
def test_a_model_that_fails_on_random_walks_costs_no_verdict(
    copied_run: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def sample(forecaster: KronosForecaster, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        if forecaster.name == failing:
            raise RuntimeError("no such walk")
        return forecast(forecaster, known, n_paths, seed)

    forecast = KronosForecaster.sample
    monkeypatch.setattr(KronosForecaster, "sample", sample)  # all other forecasts are stored
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.write_report", lambda *given: None)
    monkeypatch.setattr("kronos.report.verdict.evaluation_report._forecast_examples", lambda *given: [])
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.draw_held_out_forecasts", lambda *given: None)
    shutil.rmtree(copied_run / "evaluation" / "random_walks")
    done = invoke("evaluate", "--run", copied_run)
    assert done.exit_code == 0 and done.stderr.count("invented drift: not measured") == 1, done.output
    assert f"invented drift: not measured for {failing} (RuntimeError: no such walk)" in done.stderr
    found = Evaluation.read(copied_run / "report/metrics.json")
    assert [each.name for each in found.invented_drift] == ([] if failing == "finetuned" else ["finetuned"])
    assert {each.baseline for each in found.comparisons} == {"pretrained", "last_close", "drift"}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("when", ["build", "sample"])
def test_on_one_of_two_ranks(copied_run: Path, tmp_path: Path, when: str) -> None:
    """The others do not wait for it, and one line tells."""
    script = tmp_path / "failing.py"
    script.write_text(f"""
import os, sys
from kronos.cli.start import main
from kronos.evaluation import baselines
from tests.evaluation.test_failing_baselines import Failing
def build(past):
    if os.environ["RANK"] == "1" and "{when}" == "build":
        raise ValueError("on one rank")
    return Failing("no message" if os.environ["RANK"] == "1" else "", "key", "garch", "garch")
baselines.FITTED_BASELINES["garch"] = build
sys.argv = ["kronos", "evaluate", "--run", "{copied_run}", "evaluation.rivals=[garch, last_close]", "evaluation.stride=1"]
main()
""")
    done = launch(*TORCHRUN, script)
    assert done.returncode == 0 and done.stderr.count("(garch): ") == 1, done.stderr
    assert "Traceback" not in done.stderr and ("on one rank" if when == "build" else "ZeroDivision") in done.stderr
