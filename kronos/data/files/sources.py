"""Find the files that `data_path` names."""

from __future__ import annotations

import glob
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.columns import recognise_columns
from kronos.data.files.opening import check_regular
from kronos.data.files.tables import open_table
from kronos.data.files.text.encodings import OTHERS
from kronos.disk.reading import find_irregularity
from kronos.errors import DataError
from kronos.names import Message, name_symbol

TABLES = (".csv", ".tsv", ".parquet", ".pq", ".feather", ".ftr", ".arrow")
HEAD_BYTES = 4096
NUMBER = re.compile(r"\d")
PUBLISHED = {  # candles that shipped or upstream configurations name, and where they are published
    "HK_ali_09988_kline_5min_all.csv": "https://github.com/shiyu-coder/Kronos/raw/master/finetune_csv/data/HK_ali_09988_kline_5min_all.csv",
}
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".zip")


def find_files(data_path: Sequence[Path], passed_over: list[Path] | None = None) -> list[Path]:
    """Return the files of candles that paths name, each once; globs and folders in order of name.

    Of a folder these are the files that hold candles, whatever their names.

    Args:
        passed_over: takes the files of folders that hold none.

    Raises:
        DataError: there is nothing at a path.
    """
    files: dict[Path, Path] = {}
    for path in data_path:
        with explain_search(path):
            for file in _expand(path, [] if passed_over is None else passed_over):
                check_regular(file)
                files.setdefault(file.resolve(), file)
    return list(files.values())


@contextmanager
def explain_search(path: Path) -> Iterator[None]:
    """Explain errors in looking for the files of a path: its name is too long, or a folder is closed or just being removed."""
    try:
        yield
    except OSError as error:
        template = (
            "{path}: cannot be searched: {reason}{place}. Check data.data_path and the rights, or name the files."
        )
        place = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
        raise DataError(template, path=path, reason=error.strerror or error, place=place) from None


def symbol_of(path: Path) -> str:
    """Return the symbol of a file without a symbol column: its name without the endings."""
    return name_symbol(_cut_endings(path.name))


def _cut_endings(name: str) -> str:
    for suffix in (*COMPRESSIONS, *TABLES, ".txt", ".xlsx", ".xls"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def name_files(files: Sequence[Path]) -> list[str]:
    """Return the symbols of files without a symbol column; the folders distinguish files of one name."""
    names = [_cut_endings(file.name) for file in files]
    for depth in range(1, max((len(file.parts) for file in files), default=0)):
        counts = Counter(names)
        names = [
            "/".join((*file.relative_to(file.anchor).parent.parts[-depth:], _cut_endings(file.name)))
            if counts[name] > 1
            else name
            for file, name in zip(files, names)
        ]
    counts = Counter(names)  # in one folder the endings differ
    return [name_symbol(file.name if counts[name] > 1 else name) for file, name in zip(files, names)]


def _expand(path: Path, passed_over: list[Path]) -> list[Path]:
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if _is_regular(file) and not file.name.startswith("."))
        # If none does, the tables are reported.
        files = [file for file in inside if _holds_candles(file)] or [file for file in inside if _is_named_table(file)]
        others = [file for file in inside if file not in set(files)]
        if not files:
            shown: list[Message] = []
            if others:
                shown.append(Message(" It holds {names}.", names=", ".join(file.name for file in others[:5])))
            if any(each.is_dir() for each in path.iterdir()):
                template = " Its folders are not searched: name them, or write {glob}."
                shown.append(Message(template, glob=path / "**" / "*.csv"))
            shown += _explain_first(others)
            template = "{path}: no file of candles in this folder.{shown} Put CSV, Parquet or Feather files there ({endings}, …)."
            raise DataError(template, path=path, shown=Message.join(shown, ""), endings=", ".join(TABLES[:3]))
        passed_over += others
        return files
    if path.is_file():
        return [path]
    if path.exists():
        check_regular(path)
    if glob.has_magic(str(path)):
        anchor = Path(path.anchor)
        try:
            files = sorted(anchor.glob(str(path.relative_to(anchor)) if path.anchor else str(path)))
        except ValueError as error:  # data/**.csv, for example
            template = "{path}: {reason}. To find files at any depth, write data/**/*.csv."
            raise DataError(template, path=path, reason=str(error).lower()) from None
        hidden = path.name.startswith(".")
        if files := [file for file in files if _is_regular(file) and file.name.startswith(".") == hidden]:
            return files
        raise DataError("{path}: no file matches (looked in {folder}).", path=path, folder=Path.cwd())
    raise _explain_missing(path)


def _explain_missing(path: Path) -> DataError:
    if url := PUBLISHED.get(path.name):
        template = (
            "{path}: no such file (looked in {folder}). These candles are an example of the Kronos authors. Download them "
            "with: {command}"
        )
        command = shlex.join(["curl", "--fail", "--location", "--create-dirs", "--output", str(path), url])
        return DataError(template, path=path, folder=Path.cwd(), command=command)
    return DataError(
        "{path}: no such file (looked in {folder}). Name a file, a folder or a glob of candles (data.data_path), for example "
        "a CSV with the columns {columns}. Candles can be downloaded, too: docs/data.md",
        path=path,
        folder=Path.cwd(),
        columns=", ".join((TIMESTAMP_COLUMN, *CANDLE_COLUMNS)),
    )


def _explain_first(files: Sequence[Path]) -> list[Message]:
    """Return why the first of the files cannot be read, if that is known."""
    for file in files[:1]:
        try:
            open_table(file)
        except DataError as error:
            return [Message(" {error}", error=error)]
    return []


def _holds_candles(path: Path) -> bool:
    """Whether a file holds candles, by its content.

    A table that cannot be read well enough to tell counts as candles, to be reported: only one that shows other columns
    does not.
    """
    if _is_named_table(path):
        return not _holds_other_things(path)
    try:
        table = open_table(path)
    except DataError:
        return False
    return len(recognise_columns(table.names)) > len(PRICE_COLUMNS)


def _is_regular(path: Path) -> bool:
    try:
        return not find_irregularity(path)
    except OSError:  # a link to nothing, or to itself
        return False


def _is_named_table(path: Path) -> bool:
    name = path.name.lower()
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return name.endswith(TABLES)


def _holds_other_things(path: Path) -> bool:
    """Whether a plain text shows a table without candles, such as a list of symbols: no name of a price, few numbers."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if b"\0" in head or not head.strip() or path.name.lower().endswith(COMPRESSIONS):
        return False
    for encoding in ("utf-8", *OTHERS):
        names, *rows = [re.split(r"[,;\t|]", line) for line in head.decode(encoding, errors="ignore").splitlines()[:40]]
        filled = rows[:-1] or rows
        if not filled or any(sum(bool(NUMBER.search(cell)) for cell in row) >= len(PRICE_COLUMNS) for row in filled):
            return False
        if any(set(PRICE_COLUMNS) & recognise_columns(map(_strip, line)).keys() for line in (names, *rows)):
            return False
    return True


def _strip(cell: str) -> str:
    return cell.strip(" \"'")
