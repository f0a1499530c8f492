"""Identify the weights of a stored model."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelIdentity:
    """Which weights a model was loaded with.

    name: the folder, hub name or "nano" that was given. commit: of the hub, whatever branch or tag the name has; None for
    local folders and nano. sha256: of model.safetensors, as the hub and sha256sum show it.
    """

    name: str
    commit: str | None
    sha256: str


def identify(name: str | Path, weights_file: Path, from_hub: bool) -> ModelIdentity:
    """Identify a weights file."""
    with weights_file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelIdentity(str(name), find_commit(weights_file) if from_hub else None, digest)


def find_commit(file: Path) -> str | None:
    """Return the commit that a file of the hub is of: its client stores it in …/snapshots/{commit}/."""
    return file.parent.name if COMMIT.fullmatch(file.parent.name) else None
