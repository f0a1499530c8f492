"""Only whole checkpoints count."""

from pathlib import Path

import pytest
import torch

from kronos.errors import KronosError, WriteError
from kronos.files import is_whole, seal_folder
from kronos.training.saved.checkpoints import (
    newest_checkpoint,
    remove_after,
    remove_checkpoints,
    remove_incomplete,
    writing,
)


def make(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(bytes(range(200)))
    (checkpoint / "trainer_state.json").write_text("{}")
    seal_folder(checkpoint)
    return checkpoint


def truncate(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(bytes(range(100)))


def flip(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(bytes([9, *range(1, 200)]))


def remove(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").unlink()


def unseal(checkpoint: Path) -> None:
    (checkpoint / "complete.json").unlink()


def half_a_manifest(checkpoint: Path) -> None:
    manifest = checkpoint / "complete.json"
    manifest.write_text(manifest.read_text()[:40])


def another_json(checkpoint: Path) -> None:
    (checkpoint / "complete.json").write_text('["model.safetensors"]')


@pytest.mark.parametrize("damage", [truncate, flip, remove, unseal, half_a_manifest, another_json])
def test_the_newest_whole_one(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = make(tmp_path, 90), make(tmp_path, 100)  # as text 100 comes first
    assert newest_checkpoint(tmp_path) == newer
    damage(newer)
    assert not is_whole(newer) and newest_checkpoint(tmp_path) == older
    assert f"{newer} is damaged or incomplete and is skipped" in caplog.text
    damage(older)
    assert newest_checkpoint(tmp_path) is None


def test_the_oldest_go_first(tmp_path: Path) -> None:
    for step in (100, 5, 30):
        make(tmp_path, step)
    (tmp_path / "checkpoint-notes").mkdir()  # not ours
    remove_checkpoints(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-30", "checkpoint-notes"]
    remove_after(tmp_path, 30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-30", "checkpoint-notes"]


def test_what_a_killed_process_was_writing_is_removed_and_what_is_damaged_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, damaged, incomplete, sharded = (make(tmp_path, step) for step in (10, 20, 30, 40))
    flip(damaged)
    unseal(incomplete)
    unseal(sharded)
    (sharded / "optimizer_0").mkdir()  # of an earlier version, whose stage is moved aside
    with caplog.at_level("INFO", logger="kronos"):
        remove_incomplete(tmp_path)
    assert set(tmp_path.iterdir()) == {whole, damaged, sharded}
    assert [record.getMessage() for record in caplog.records] == [f"{incomplete} was incomplete and is removed"]


def test_only_a_failed_write_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(
            KronosError,
            match=r"checkpoint-5: cannot be written: No space left on device\. Free some space\.$",
        ),
        writing(tmp_path / "checkpoint-5"),
    ):
        raise OSError(28, "No space left on device")
    with pytest.raises(RuntimeError, match="a bug"), writing(tmp_path):
        raise RuntimeError("a bug")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 256 kB."""
    import subprocess

    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_what_pytorch_raises_on_a_full_disk(small_disk: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"weight": torch.zeros(100_000)}
    with pytest.raises(KronosError, match="cannot be written"), writing(small_disk):
        torch.save(tensors, small_disk / "optimizer.pt")
    (small_disk / "optimizer.pt").unlink(missing_ok=True)
    with pytest.raises(KronosError, match="cannot be written"), writing(small_disk):
        save_file(tensors, small_disk / "model.safetensors")


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0",
        "PytorchStreamWriter failed writing file data/0: file write failed",
        "basic_ios::clear: iostream error",
    ],
)
def test_pytorch_s_words_for_a_full_disk_are_translated(tmp_path: Path, message: str) -> None:
    words = r"cannot be written: the disk is probably full\. Free some space\."
    with pytest.raises(WriteError, match=words) as refused, writing(tmp_path / "checkpoint-1"):
        raise RuntimeError(message)
    assert refused.value.is_full
    with pytest.raises(RuntimeError, match="other"), writing(tmp_path / "checkpoint-1"):
        raise RuntimeError("an other error")
