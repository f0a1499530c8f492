"""Candles of any kind as files: paths, URLs and frames."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from typing_extensions import TypeIs

from kronos.data.frames import Frame, is_frame, save_candles
from kronos.errors import DataError
from kronos.urls import CandleSource, Url, parse_source

Source = str | PathLike[str] | Url
Candles = Source | Iterable[Source] | Frame | Mapping[str, Frame]

FRAMES = "frames"  # a folder in data.cache_dir: runs keep their frames there


def name_sources(candles: Candles, folder: Path) -> list[CandleSource]:
    """Return the files, folders, globs and URLs of candles. Frames are saved in a folder; they do not change.

    Raises:
        DataError: something is neither a frame nor the name of a file.
    """
    if _is_source(candles):
        return [_parse(candles)]
    if is_frame(candles) or isinstance(candles, Mapping):
        return [save_candles(candles, folder)]
    if not isinstance(candles, Iterable):
        expected = "a path, several paths, a frame, or a dict with a frame for each symbol"
        raise DataError("data: expected {expected}, got {kind}.", expected=expected, kind=type(candles).__name__)
    sources: list[CandleSource] = []
    for each in candles:
        if is_frame(each):
            raise DataError("data: a list of frames has no symbols. Give a dict with a frame for each symbol.")
        if not _is_source(each):
            raise DataError("data: expected a path or a URL in the list, got {kind}.", kind=type(each).__name__)
        sources.append(_parse(each))
    if not sources:
        raise DataError("data: the list is empty. Give at least one file of candles.")
    return sources


def _is_source(value: object) -> TypeIs[Source]:
    return isinstance(value, str | PathLike | Url)


def _parse(source: Source) -> CandleSource:
    if isinstance(source, str) and not source.strip():
        raise DataError("data: the path is empty. Give a file of candles.")
    named = parse_source(source if isinstance(source, str | Url) else Path(source))
    if isinstance(named, Url):
        return named
    return named.expanduser() if named != Path() else Path.cwd()  # an empty path is no folder, but "." is
