"""A bit of a finished model that flipped is found by every command that reads the model."""

from pathlib import Path

import pytest

from kronos.run_folder import RunFolder
from kronos.stage_record import StageRecord
from tests.conftest import FAST, FinishedRun, invoke

PARTS = [(stage, name) for stage in ("tokenizer", "basemodel") for name in ("model.safetensors", "config.json")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.rindex(b"0.0") + 2 if path.suffix == ".json" else len(content) - 3  # 0.1, or a weight
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("stage", "name"), PARTS)
def test_a_flipped_bit_is_found(copied_run: Path, finished_run: FinishedRun, stage: str, name: str) -> None:
    model = copied_run / stage / "best_model"
    flip(model / name)
    candles, out = finished_run.candles, copied_run / "out"
    by_name = [
        f"--{key}={copied_run / each / 'best_model'}"
        for key, each in (("tokenizer", "tokenizer"), ("model", "basemodel"))
    ]
    commands = [
        ("predict", "--run", copied_run, "--data", candles, "--out", out),
        ("predict", *by_name, "--data", candles, "--out", out, "--lookback", 16, "--horizon", 8),
        ("evaluate", "--run", copied_run),
    ]
    for command in commands:
        done = invoke(*command)
        assert done.exit_code == 1 and f"{model}: the model is damaged, or was replaced" in done.stderr, done.output
        assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), PARTS)
def test_a_damaged_stage_is_trained_again(tiny_config: Path, copied_run: Path, stage: str, name: str) -> None:
    folder = RunFolder(copied_run).stage(stage)
    before = StageRecord.read(folder.path)
    whole = (folder.best_model / name).read_bytes()
    flip(folder.best_model / name)
    damaged = (folder.best_model / name).read_bytes()
    done = invoke("train", "--config", tiny_config, "--skip-existing", *FAST)
    assert done.exit_code == 0 and f"{stage}  finished before, but its best model is missing or damaged" in done.stderr
    assert (folder.best_model / name).read_bytes() == whole
    assert (copied_run / f"{stage}.previous" / "best_model" / name).read_bytes() == damaged
    after = StageRecord.read(folder.path)
    assert after and before and after.model_dump(exclude={"tokenizer"}) == before.model_dump(exclude={"tokenizer"})
    assert stage == "tokenizer" or after.tokenizer.sha256 == before.tokenizer.sha256  # its folder is another one


def test_a_stage_of_an_earlier_version_has_no_hashes(copied_run: Path, finished_run: FinishedRun) -> None:
    stage = RunFolder(copied_run).basemodel
    record = StageRecord.read(stage.path)
    assert set(record.best_model_sha256) == {"config.json", "model.safetensors"}
    record.model_copy(update={"best_model_sha256": None}).write(stage.path)
    done = invoke("predict", "--run", copied_run, "--data", finished_run.candles, "--out", copied_run / "out")
    assert done.exit_code == 0, done.output
