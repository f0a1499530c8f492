"""Check that processes on several machines have the same command, the same files and the same output folder."""

import platform
import time
import uuid
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from kronos.errors import ConfigError, WriteError
from kronos.stage_record import StageRecord
from kronos.training.saved.stage_settings import describe_differences

APPEARS_WITHIN_SECONDS = 10.0  # network file systems show a new file late


def check_shared_folder(folder: Path) -> None:
    """Check that all ranks see what rank 0 writes into a folder. All ranks must call this.

    Raises:
        ConfigError: a rank does not.
    """
    state = PartialState()
    if state.num_processes == 1:
        return
    [name] = broadcast_object_list([f".seen-by-all-{uuid.uuid4().hex}"])
    probe = folder / name
    if state.is_main_process:
        _touch(probe)
    state.wait_for_everyone()
    blind = gather_object([] if _appears(probe) else [f"rank {state.process_index} on {platform.node()}"])
    if state.is_main_process:
        probe.unlink(missing_ok=True)
    if blind:
        raise ConfigError(
            "{folder}: {ranks} cannot see what rank 0 writes there. All machines must share the disk of model_paths.base_path, "
            "under the same path (docs/scaling.md).",
            folder=folder.absolute(),
            ranks=", ".join(blind),
        )


def _touch(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise WriteError.about(path.parent, error, "model_paths.base_path") from None


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + APPEARS_WITHIN_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def check_same_record(record: StageRecord) -> None:
    """Check that all ranks have the same settings, candles and tokenizer. All ranks must call this.

    Raises:
        ConfigError: they have not.
    """
    own = record.settings | {"tokenizer": record.tokenizer_hash}
    first, *others = gather_object([own])
    for rank, other in enumerate(others, start=1):
        if differences := describe_differences(first, other):
            raise ConfigError(
                "rank {rank} has other settings than rank 0 for the {stage} ({differences}). Launch every machine with the same "
                "command and the same files (docs/scaling.md).",
                rank=rank,
                stage=record.stage,
                differences=differences,
            )
