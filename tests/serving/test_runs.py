"""Runs side by side, loaded anew when they change on disk."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from kronos import load_run
from kronos.errors import ConfigError, KronosError
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import write_calibration
from kronos.run_folder import RunFolder
from kronos.serving.candles import saved_input
from kronos.serving.runs import ServedRun, ServedRuns, sign
from kronos.serving.schemas import EXAMPLE, ForecastRequest
from kronos.stage_record import StageRecord
from tests.conftest import FinishedRun, invoke
from tests.serving.conftest import open_client, read_frame, to_input

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


@pytest.mark.slow
def test_a_lora_run_beside_its_base_run(copied_run: Path, finished_run: FinishedRun) -> None:
    words = (
        "training.lora={r: 2}",
        "training.basemodel_epochs=1",
        "experiment.train_tokenizer=false",
        "report.n_origins=1",
    )
    place = (f"model_paths.base_path={copied_run.parent}", "model_paths.exp_name=lora")
    started = f"model_paths.pretrained_tokenizer={copied_run / 'tokenizer' / 'best_model'}"

    def train(seed: int) -> None:
        done = invoke("train", "--config", finished_run.config, *words, *place, started, f"training.seed={seed}")
        assert done.exit_code == 0, done.output

    train(1)
    lora = copied_run.parent / "lora"
    frame = read_frame(finished_run.candles)
    body = {"inputs": [to_input(frame)], "parameters": {"seed": 3, "n_paths": 3}}
    runs = ServedRuns([copied_run, lora], CPU)
    with open_client(runs) as client:
        base, first = (client.post("/v1/forecast", json=body | {"model": each}).json() for each in ("tiny", "lora"))
        expected = load_run(lora).forecast(frame, seed=3, n_paths=3, verbose=False)
        np.testing.assert_allclose(first["outputs"][0]["mean"], expected.mean["close"], rtol=2e-6)
        assert (
            first["run"]["weights"] != base["run"]["weights"] and first["run"]["tokenizer"] == base["run"]["tokenizer"]
        )
        train(2)
        assert runs.reload() == ["lora"]
        again, second = (client.post("/v1/forecast", json=body | {"model": each}).json() for each in ("tiny", "lora"))
    assert second["run"]["weights"] != first["run"]["weights"]
    assert again["outputs"] == base["outputs"] and second["outputs"] != first["outputs"]


def test_whatever_loading_raises_keeps_the_earlier_state(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = ServedRuns([copied_run], CPU)
    kept = runs["tiny"]
    change_weights(copied_run)

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr("kronos.serving.runs.ServedRun.load", fail)
        assert not runs.reload() and runs["tiny"] is kept


def test_a_run_that_is_replaced_while_it_is_loaded(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kronos refresh` exchanges two folders: half of the files may be read from one, half from the other."""
    runs = ServedRuns([copied_run], CPU)
    kept, load = runs["tiny"], ServedRun.load

    def load_and_replace(*given: object) -> ServedRun:
        loaded = load(*given)
        change_weights(copied_run)
        return loaded

    change_weights(copied_run)
    with monkeypatch.context() as patched:
        patched.setattr("kronos.serving.runs.ServedRun.load", load_and_replace)
        assert not runs.reload() and runs["tiny"] is kept
    assert runs.reload() == ["tiny"] and runs["tiny"].signature == sign(copied_run)


def test_inputs_of_killed_servers_are_removed(
    served_runs: ServedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (given,) = ForecastRequest.model_validate(EXAMPLE).inputs
    with saved_input(given, None) as path:
        live = path.parents[1]
        dead = live.with_name(live.name.replace(f"-{os.getpid()}.", f"-{2**22 + 1}."))  # no process has this number
        shutil.copytree(live, dead)
        (tmp_path / "of somebody else").touch()
        with open_client(served_runs):
            assert live.exists() and not dead.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["of somebody else"]


def test_a_calibration_widens_the_bands_once_it_is_there(copied_run: Path, finished_run: FinishedRun) -> None:
    frame = read_frame(finished_run.candles)
    body = {"inputs": [to_input(frame)], "parameters": {"quantile_levels": [0.05, 0.95], "seed": 3}}
    runs = ServedRuns([copied_run], CPU)
    with open_client(runs) as client:
        before = client.post("/v1/forecast", json=body).json()["outputs"][0]
        calibration = Calibration(20, tuple((each,) * 8 for each in (0.1, 0.2, 0.3)), (1, 1, 1))
        write_calibration(RunFolder(copied_run).calibration, calibration, dict(runs["tiny"].conditions))
        assert runs.reload() == ["tiny"]
        after = client.post("/v1/forecast", json=body).json()["outputs"][0]
        raw = client.post("/v1/forecast", json=body | {"parameters": {"calibrate": False, "seed": 3}}).json()[
            "outputs"
        ][0]
    assert before["calibration"] == raw["calibration"] == {"applied": False, "n_origins": None}
    assert after["calibration"] == {"applied": True, "n_origins": 20}
    assert after["mean"] == before["mean"] == raw["mean"]
    expected = load_run(copied_run).forecast(frame, seed=3, verbose=False)
    for each, level in zip(after["quantile_predictions"], (0.05, 0.95)):
        np.testing.assert_allclose(each["values"], expected.quantile(level)["close"], rtol=2e-6)
    low, high = (np.array(each["values"]) for each in after["quantile_predictions"])
    raw_low, raw_high = (np.array(each["values"]) for each in before["quantile_predictions"])
    assert (low < raw_low).all() and (high > raw_high).all()


def test_folders_that_are_no_runs(copied_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run here"):
        ServedRuns([tmp_path], CPU)
    with pytest.raises(ConfigError, match="is given twice"):
        ServedRuns([copied_run, copied_run / "." / "basemodel" / ".."], CPU)
    shutil.rmtree(copied_run / "basemodel" / "best_model")
    with pytest.raises(KronosError, match="no base model yet"):
        ServedRuns([copied_run], CPU)
