"""Read and write model.safetensors. Names, shapes and types are checked before a tensor is read."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.constants import CONFIG_NAME
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from kronos.errors import CheckpointError, first_line
from kronos.names import Message

FLOATING = {"F64", "F32", "F16", "BF16"}
INTEGER = "I64"
LENGTH_BYTES = 8  # of the header's length, in front of it


@dataclass(frozen=True)
class Header:
    """The names, shapes and types of the stored tensors, and the metadata."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read what a file contains, without its tensors.

    Raises:
        CheckpointError: it is no complete safetensors file.
    """
    with _translate(path), safe_open(path, "pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
        return Header(
            shapes={name: tuple(each.get_shape()) for name, each in slices.items()},
            types={name: str(each.get_dtype()) for name, each in slices.items()},
            metadata=opened.metadata() or {},
        )


def read_weights(path: Path, expected: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Read tensors with the names and shapes of the expected ones, in their types, as copies.

    Copies, because what is loaded may be a map of the file, which training may replace.

    Args:
        what: the name of the model, for errors.

    Raises:
        CheckpointError: names, shapes or types differ, or a number is not finite.
    """
    differences = _compare(read_header(path), expected)
    if differences:
        listed = Message.join(differences[:3], "; ")
        if len(differences) > 3:
            listed = Message("{listed}; and {n} more", listed=listed, n=len(differences) - 3)
        template = "{path}: does not fit its {config} as a {model}: {listed}."
        raise CheckpointError(template, path=path, config=CONFIG_NAME, model=what, listed=listed)
    with _translate(path):
        stored = load_file(path)
    own = {name: stored[name].to(tensor.dtype, copy=True) for name, tensor in expected.items()}
    for name, tensor in own.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                "{path}: {name} has a number that is not finite. The model is damaged: train it again, or copy it again from "
                "where it came.",
                path=path,
                name=name,
            )
    return own


def _compare(header: Header, expected: Mapping[str, Tensor]) -> list[Message]:
    """Describe each stored tensor that differs from the expected one in name, shape or kind of number."""
    missing = [Message("{name} missing", name=name) for name in expected if name not in header.shapes]
    unknown = [Message("{name} unknown", name=name) for name in header.shapes if name not in expected]
    both = [(name, tensor) for name, tensor in expected.items() if name in header.shapes]
    misshapen = [
        Message(
            "{name} is {own}, should be {expected}", name=name, own=header.shapes[name], expected=tuple(tensor.shape)
        )
        for name, tensor in both
        if header.shapes[name] != tuple(tensor.shape)
    ]
    mistyped = [
        Message("{name} is {own}, should be floating point (F32, F16 or BF16)", name=name, own=header.types[name])
        if tensor.is_floating_point()
        else Message("{name} is {own}, should be {expected}", name=name, own=header.types[name], expected=INTEGER)
        for name, tensor in both
        if header.types[name] not in (FLOATING if tensor.is_floating_point() else {INTEGER})
    ]
    return misshapen + mistyped + missing + unknown


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors; the same tensors and metadata always give the same bytes."""
    save_file(dict(tensors), path, dict(metadata))
    with path.open("r+b") as file:  # safetensors writes its metadata in random order
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
        if len(text) == length:
            file.seek(LENGTH_BYTES)
            file.write(text)


@contextmanager
def _translate(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise CheckpointError("{path}: not a readable safetensors file: {reason}.", path=path, reason=reason) from error
