"""What --skip-existing refuses to continue from."""

import pickle
from pathlib import Path

import pytest

from kronos.errors import CheckpointError
from kronos.files import seal_folder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from tests.training.runs import run


class CreatesAFile:
    """Creates a file when it is unpickled, as a malicious checkpoint could run any command."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model_fsdp_0/.metadata",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("optimizer_0/__0_0.distcp", "pytorch_model_fsdp.bin")),
    ],
)
def test_a_sharded_checkpoint_is_refused_and_never_opened(
    tiny_config: Path, run_dir: Path, tmp_path: Path, name: str
) -> None:
    folder, created = run_dir / "basemodel", tmp_path / "created"
    shard = folder / "checkpoints" / "checkpoint-3" / name
    shard.parent.mkdir(parents=True)
    shard.write_bytes(pickle.dumps(CreatesAFile(created)))
    seal_folder(folder / "checkpoints" / "checkpoint-3")
    StageRecord(stage="basemodel", settings={GLOBAL_BATCH: 16}).write(folder)
    with pytest.raises(CheckpointError, match=r"checkpoint-3: this checkpoint is sharded .* without --skip-existing"):
        run(tiny_config, stages=["basemodel"], skip_existing=True)
    assert not created.exists() and shard.is_file()
    run(tiny_config, "training.max_steps=1", stages=["basemodel"])  # as the message advises
    assert not created.exists()
    moved = run_dir / "basemodel.previous" / shard.relative_to(folder)
    pickle.loads(moved.read_bytes())
    assert created.exists()  # the planted file does what it is said to do
