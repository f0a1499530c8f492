"""Find the files that `data_path` names."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kronos.candles import CANDLE_COLUMNS, TIMESTAMP_COLUMN
from kronos.errors import DataError

TABLES = (".csv", ".tsv", ".parquet", ".pq", ".feather", ".ftr", ".arrow")
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".zip")


def find_files(data_path: Sequence[Path]) -> list[Path]:
    """Return the files of candles that paths name, each once; globs and folders in order of name.

    Raises:
        DataError: there is nothing at a path.
    """
    files: dict[Path, Path] = {}
    for path in data_path:
        for file in _expand(path):
            files.setdefault(file.resolve(), file)
    return list(files.values())


def symbol_of(path: Path) -> str:
    """Return the symbol of a file without a symbol column: its name without the endings."""
    name = path.name
    for suffix in (*COMPRESSIONS, *TABLES, ".txt"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def name_files(files: Sequence[Path]) -> list[str]:
    """Return the symbols of files without a symbol column; the folders distinguish files of one name."""
    names = [symbol_of(file) for file in files]
    for depth in range(1, max((len(file.parts) for file in files), default=0)):
        counts = Counter(names)
        names = [
            "/".join((*file.relative_to(file.anchor).parent.parts[-depth:], symbol_of(file)))
            if counts[name] > 1
            else name
            for file, name in zip(files, names)
        ]
    counts = Counter(names)  # in one folder the endings differ
    return [file.name if counts[name] > 1 else name for file, name in zip(files, names)]


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if _holds_a_table(file))
        if not files:
            template = (
                "{path}: no file of candles in this folder. Put CSV, Parquet or Feather files there ({endings}, …)."
            )
            raise DataError(template, path=path, endings=", ".join(TABLES[:3]))
        return files
    if path.is_file():
        return [path]
    if path.exists():
        raise DataError("{path}: not a regular file. Save the candles to a file and name that.", path=path)
    if glob.has_magic(str(path)):
        anchor = Path(path.anchor)
        try:
            files = sorted(anchor.glob(str(path.relative_to(anchor)) if path.anchor else str(path)))
        except ValueError as error:  # data/**.csv, for example
            template = "{path}: {reason}. To find files at any depth, write data/**/*.csv."
            raise DataError(template, path=path, reason=str(error).lower()) from None
        hidden = path.name.startswith(".")
        if files := [file for file in files if file.is_file() and file.name.startswith(".") == hidden]:
            return files
        raise DataError("{path}: no file matches (looked in {folder}).", path=path, folder=Path.cwd())
    columns = ", ".join((TIMESTAMP_COLUMN, *CANDLE_COLUMNS))
    raise DataError(
        "{path}: no such file (looked in {folder}). Name a file, a folder or a glob of candles (data.data_path), for example "
        "a CSV with the columns {columns}.",
        path=path,
        folder=Path.cwd(),
        columns=columns,
    )


def _holds_a_table(path: Path) -> bool:
    name = path.name.lower()
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return name.endswith(TABLES) and not name.startswith(".") and path.is_file()
