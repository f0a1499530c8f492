"""Runs side by side, loaded anew when they change on disk."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from kronos.errors import ConfigError, KronosError
from kronos.serving.runs import ServedRuns
from kronos.serving.schemas import EXAMPLE
from kronos.stage_record import StageRecord
from tests.serving.conftest import open_client

CPU = {"device": "cpu"}


def change_weights(run: Path) -> None:
    """Put another best model into a run, as a training does."""
    stage = run / "basemodel"
    weights = stage / "best_model" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: 1.01 * tensor for name, tensor in tensors.items()}, weights.with_suffix(".new"))
    weights.with_suffix(".new").replace(weights)
    StageRecord.read(stage).seal(stage)


def test_a_run_that_changes_is_loaded_anew(copied_run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copied_run, tmp_path / "other"))
    runs = ServedRuns([copied_run, other], CPU)
    assert list(runs) == ["tiny", "other"] and not runs.reload()
    with open_client(runs) as client:
        before = client.post("/v1/forecast", json=EXAMPLE).json()
        change_weights(copied_run)
        assert runs.reload() == ["tiny"] and not runs.reload()
        after, untouched = (client.post("/v1/forecast", json=EXAMPLE | {"model": each}).json() for each in runs)
    assert after["run"]["weights"] != before["run"]["weights"] == untouched["run"]["weights"]
    assert after["outputs"][0]["mean"] != before["outputs"][0]["mean"] == untouched["outputs"][0]["mean"]
    assert (before["verdict"]["state"], after["verdict"]["state"]) == ("other_settings", "other_models")


def test_a_broken_run_stays_as_it_was(copied_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = ServedRuns([copied_run], CPU)
    kept, weights = runs["tiny"], copied_run / "basemodel" / "best_model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    assert not runs.reload() and not runs.reload() and runs["tiny"] is kept
    assert sum("cannot be loaded" in each.message for each in caplog.records) == 1
    (copied_run / "config.yaml").rename(copied_run / "gone.yaml")
    assert not runs.reload() and runs["tiny"] is kept
    (copied_run / "gone.yaml").rename(copied_run / "config.yaml")
    weights.write_bytes(whole)
    assert runs.reload() == ["tiny"] and runs["tiny"].hashes == kept.hashes


def test_folders_that_are_no_runs(copied_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run here"):
        ServedRuns([tmp_path], CPU)
    with pytest.raises(ConfigError, match="is given twice"):
        ServedRuns([copied_run, copied_run / "." / "basemodel" / ".."], CPU)
    shutil.rmtree(copied_run / "basemodel" / "best_model")
    with pytest.raises(KronosError, match="no base model yet"):
        ServedRuns([copied_run], CPU)
