"""`kronos refresh` on a tiny run: the old run stays, or the new one replaces it and the old one is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kronos.errors import KronosError
from kronos.files import hash_file, swap_folders
from kronos.refresh import refreshing
from kronos.refresh.decision import decide_replacement
from kronos.refresh.folders import name_new, name_previous
from kronos.saved_run import load_run_config
from tests.conftest import ROOT, invoke
from tests.training.runs import Killed

pytestmark = pytest.mark.slow


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The run's 120 candles, and as many after them."""
    path = tmp_path / "later.csv"
    pd.read_csv(ROOT / "data" / "synthetic_5min.csv", nrows=240).to_csv(path, index=False)
    return path


@pytest.fixture
def run(copied_run: Path) -> Path:
    return copied_run


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report's page and pictures, which take most of the time."""
    for name in ("write_report", "draw_held_out_forecasts"):
        monkeypatch.setattr(f"kronos.report.verdict.evaluation_report.{name}", lambda *given: None)


def weigh(run: Path) -> str:
    return hash_file(run / "basemodel" / "best_model" / "model.safetensors")


def refresh(run: Path, *words: object):
    return invoke("refresh", "--run", run, *words, "evaluation.invented_drift=false")


def accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the new run replace the old one, whatever the few candles tell."""
    monkeypatch.setattr(
        refreshing, "decide_replacement", lambda *given: replace(decide_replacement(*given), reason="not_worse")
    )


def test_too_few_candles_keep_the_old_run(run: Path, later: Path) -> None:
    before = weigh(run)
    done = refresh(run, "--data", later, "--json")
    assert done.exit_code == 0, done.output
    decision = json.loads(done.stdout)
    assert decision["reason"] in ("too_few", "unchanged") and not decision["replaces"] and weigh(run) == before
    assert Path(decision["report"]).is_file() and not name_previous(run).exists()


@pytest.mark.usefixtures("without_page")
def test_the_new_run_replaces_the_old_one_and_gives_way_again(
    run: Path, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(monkeypatch)
    before = weigh(run)
    done = refresh(run, "--data", later, "training.max_steps=3")
    assert done.exit_code == 0 and "is in use" in done.output, done.output
    assert weigh(name_previous(run)) == before != weigh(run)
    config = load_run_config(run)
    assert config.model_paths.pretrained_predictor == str(name_previous(run) / "basemodel" / "best_model")
    assert config.training.max_steps == 3 and config.data.data_path == (later,)
    assert invoke("predict", "--run", run, "--out", run.parent / "f", "--no-pictures").exit_code == 0
    back = invoke("refresh", "--run", run, "--back")
    assert back.exit_code == 0 and weigh(run) == before


@pytest.mark.usefixtures("without_page")
def test_kills_before_and_after_the_exchange(run: Path, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it, all is resumed and the new run put in use; after it, --back finds the run that was in use before."""
    accept(monkeypatch)
    before, steps = weigh(run), ["evaluation.invented_drift=false", "training.max_steps=3"]

    def die(path: Path) -> None:
        raise Killed

    def swap_and_die(path: Path) -> None:
        swap_folders(name_new(path), path)
        raise Killed

    def refresh_until(end: Callable[[Path], None]) -> int:
        """Return when the new run's base model was written."""
        weights = [folder / "basemodel" / "best_model" / "model.safetensors" for folder in (run, name_new(run))]
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(refreshing, "put_in_use", end)
            refreshing.refresh(run, [later], overrides=steps)
        return max(each.stat().st_mtime_ns for each in weights)

    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(KronosError, match="Run the same command again"):
        patched.setattr("kronos.run.write_evaluation", fail)
        refreshing.refresh(run, [later], overrides=steps)
    trained = refresh_until(die)
    assert weigh(run) == before != weigh(name_new(run))
    assert refresh_until(swap_and_die) == trained  # not trained again
    assert weigh(run) != before == weigh(name_new(run))
    second = weigh(run)
    assert invoke("refresh", "--run", run, "--back").exit_code == 0
    assert weigh(run) == before and weigh(name_previous(run)) == second and not name_new(run).exists()


def test_only_the_same_refresh_is_resumed(run: Path, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that were finished on other candles or with other settings must not be taken for those asked for."""
    resumed = []

    def train(config: object, skip_existing: bool, command: str) -> None:
        resumed.append(skip_existing)
        raise Killed

    monkeypatch.setattr(refreshing, "run_training", train)
    lines = later.read_text().splitlines(keepends=True)
    for n_lines, steps in ((200, 3), (200, 3), (220, 3), (220, 5), (220, 5)):
        later.write_text("".join(lines[:n_lines]))
        with pytest.raises(Killed):
            refreshing.refresh(run, [later], overrides=[f"training.max_steps={steps}"])
    assert resumed == [False, True, False, False, True]


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize(
    "ends", [["data.train_end=2024-01-02", "data.val_end=2024-01-03"], ["data.train_end=2024-01-04"]]
)
def test_candles_that_a_run_has_seen(run: Path, later: Path, ends: list[str]) -> None:
    """The old run has seen the third day; without a test split, validation has chosen the new one."""
    done = refresh(run, "--data", later, *ends, "training.max_steps=1")
    assert done.exit_code == 1 and "neither has seen" in " ".join(done.stderr.split()), done.output


def test_mistakes(run: Path, later: Path, tmp_path: Path) -> None:
    pd.read_csv(later)[::3].to_csv(tmp_path / "quarters.csv", index=False)
    for words, text in (
        ((run,), "give either --data"),
        ((run, "--data", later, "--back"), "give either --data"),
        ((tmp_path, "--data", later), "there is no run here"),
        ((run, "--back"), "no earlier run"),
        ((run, "--data", later, "model_paths.pretrained_predictor=nano"), "a refresh sets this itself"),
        ((run, "--data", tmp_path / "gone.csv"), "gone.csv"),
        ((run, "--data", tmp_path / "quarters.csv"), "these are candles of 15 minutes"),
    ):
        done = invoke("refresh", "--run", *words)
        assert done.exit_code == 1 and text in " ".join(done.stderr.split()), done.output
