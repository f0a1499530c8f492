"""The sections `data` and `repairs`: which candles, how defects are repaired, how the candles are split."""

import difflib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from kronos.config.affects import BASE_MODEL_VALIDATION, NAMING, REPORT, SPLIT, STAGE_WEIGHTS, WEIGHTS, WINDOWS
from kronos.config.section import (
    MAX_CANDLES,
    MAX_ITEMS,
    MAX_WINDOWS,
    Integer,
    Moment,
    Names,
    Number,
    Section,
    UserPath,
    UserSources,
    cross_field_error,
)
from kronos.urls import CandleSource

# Keys of `data` that tell how a file is read; `predict` and `evaluate` take them for --data.
READING_KEYS = (
    *("columns", "timezone", "time_format", "decimal", "series", "max_gap"),
    *("since", "until", "query", "refetch", "external_access", "board"),
)
# Those that belong to one set of candles; other candles do not take them over from a run.
OF_ONE_SOURCE = ("since", "until", "query")
CandleColumn = Literal["timestamps", "time", "symbol", "open", "high", "low", "close", "volume", "amount"]

# What a time that is written as a number may be.
TIME_UNITS = ("s", "ms", "us", "ns", "days", "ticks", "filetime", "excel")


class DataConfig(Section):
    """`data`: which candles, how long a window is, how the rows are split."""

    data_path: Annotated[UserSources, WINDOWS] = Field(
        min_length=1, max_length=MAX_ITEMS
    )  # files, folders, globs or URLs
    query: Annotated[str | None, WINDOWS] = None  # SQL, for duckdb:///file.db
    since: Annotated[Moment | None, WINDOWS] = None  # the first day, or time, to use
    until: Annotated[Moment | None, WINDOWS] = None  # the last day, or time, to use
    columns: Annotated[dict[str, str], WINDOWS] = Field(
        default_factory=dict, max_length=len(get_args(CandleColumn))
    )  # the known name of a column: the file's name
    timezone: Annotated[str | None, WINDOWS] = None  # the market's; UTC:Asia/Shanghai if times are written in UTC
    time_format: Annotated[str | None, WINDOWS] = None  # how times are written, as in strptime: %d/%m/%Y %H:%M
    series: Annotated[Literal["join", "separate"] | None, WINDOWS] = (
        None  # parts in time of one series; None: by content
    )
    decimal: Annotated[Literal[".", ","] | None, WINDOWS] = None  # the decimal sign; the other separates thousands
    board: Annotated[Literal["main", "chinext", "star", "beijing", "unlimited"] | None, REPORT] = (
        None  # of A-shares, whose price limits hold; None: the board that the symbol names, if it does
    )
    lookback_window: Annotated[Integer, WINDOWS] = Field(512, ge=2, le=MAX_CANDLES)
    predict_window: Annotated[Integer, WINDOWS] = Field(48, ge=1, le=MAX_CANDLES)
    max_context: Annotated[Integer, BASE_MODEL_VALIDATION] = Field(
        512, ge=2, le=MAX_CANDLES
    )  # tokens that a forecast attends to
    clip: Annotated[Number, WINDOWS] = Field(5.0, gt=0, le=1e6)  # standard deviations
    train_ratio: Annotated[Number, SPLIT] = Field(0.9, gt=0, le=1)
    val_ratio: Annotated[Number, SPLIT] = Field(0.1, gt=0, le=1)
    test_ratio: Annotated[Number, SPLIT] = Field(0.0, ge=0, le=1)
    train_end: Annotated[Moment | None, SPLIT] = None  # the last day, or time, of train; the ratios are then ignored
    val_end: Annotated[Moment | None, SPLIT] = None  # the same for validation; the test split begins after it
    embargo: Annotated[Integer, WINDOWS] = Field(0, ge=0, le=MAX_CANDLES)  # candles to skip after the end of a split
    val_symbols: Annotated[Names, SPLIT] = ()  # only for validation
    test_symbols: Annotated[Names, SPLIT] = ()  # only for the test split
    max_gap: Annotated[Integer | None, WINDOWS] = Field(
        None, ge=0, le=MAX_CANDLES
    )  # candles that may be missing in a row within a window
    train_stride: Annotated[Integer, WEIGHTS] = Field(
        1, ge=1, le=MAX_CANDLES
    )  # candles from one train window's start to the next's
    windows_per_epoch: Annotated[
        Annotated[Integer, Field(ge=1, le=MAX_WINDOWS)] | Literal["independent"] | None, WEIGHTS
    ] = None  # maximum of train windows; independent: as many as have horizons that do not overlap
    val_windows: Annotated[Integer | None, WINDOWS] = Field(
        None, ge=1, le=MAX_WINDOWS
    )  # maximum of validation windows, spread evenly
    balance_symbols: Annotated[bool, WEIGHTS] = False  # the same number of train windows from each symbol
    replay: Annotated[UserSources, STAGE_WEIGHTS] = Field(
        (), max_length=MAX_ITEMS
    )  # other candles to train on, against forgetting
    replay_share: Annotated[Number, STAGE_WEIGHTS] = Field(0.25, gt=0, lt=1)  # of the train windows of an epoch
    cache_dir: Annotated[UserPath, NAMING] = Path(
        "~/.cache/kronos"
    )  # folder for what is fetched, and for large candle sets
    refetch: Annotated[bool, NAMING] = False  # fetch again what was fetched before
    external_access: Annotated[bool, NAMING] = False  # for a query; on the command line only

    @field_validator("test_ratio")
    @classmethod
    def _ratios_add_up(cls, test_ratio: float, info: ValidationInfo) -> float:
        others = [info.data[key] for key in ("train_ratio", "val_ratio") if key in info.data]
        total = sum(others) + test_ratio
        if len(others) == 2 and abs(total - 1) > 1e-6:
            ratios = " + ".join(f"{ratio:g}" for ratio in (*others, test_ratio))
            raise cross_field_error(
                "data.train_ratio",
                "train_ratio + val_ratio + test_ratio must be 1, but {ratios} = {total:g}",
                ratios=ratios,
                total=total,
            )
        return test_ratio

    @field_validator("columns")
    @classmethod
    def _columns_are_ours(cls, columns: dict[str, str]) -> dict[str, str]:
        known = get_args(CandleColumn)
        if unknown := [name for name in columns if name not in known]:
            raise cross_field_error(
                "data.columns",
                "columns has unknown names: {unknown}. Known are {known}. Write the known name first, then the file's",
                unknown=", ".join(unknown),
                known=", ".join(known),
            )
        return columns

    @field_validator("timezone")
    @classmethod
    def _zones_are_known(cls, timezone: str | None) -> str | None:
        for name in (timezone or "UTC").split(":", 1):
            if not _is_zone(name):
                close = difflib.get_close_matches(name, available_timezones(), n=1)
                template = "timezone {name!r} is unknown. Write a name like Asia/Shanghai or UTC"
                if close:
                    template = "timezone {name!r} is unknown. Did you mean {close}?"
                raise cross_field_error("data.timezone", template, name=name, close=(*close, "")[0])
        return timezone

    @field_validator("time_format")
    @classmethod
    def _format_has_a_date(cls, time_format: str | None) -> str | None:
        if time_format is not None and "%" not in time_format and time_format not in TIME_UNITS:
            template = (
                "time_format {form!r} has no date. Write it with %Y, %m and %d, for example %d/%m/%Y %H:%M, or name what "
                "numbers are: {units}"
            )
            raise cross_field_error("data.time_format", template, form=time_format, units=", ".join(TIME_UNITS))
        return time_format

    @field_validator("data_path", "replay")
    @classmethod
    def _paths_are_named(cls, paths: tuple[CandleSource, ...], info: ValidationInfo) -> tuple[CandleSource, ...]:
        if Path() in paths:
            template = "{name} is empty: name a file of candles, a folder or a glob"
            raise cross_field_error(f"data.{info.field_name}", template, name=info.field_name)
        return paths

    @field_serializer("data_path", when_used="json")
    def _one_path_is_a_text(self, data_path: tuple[CandleSource, ...]) -> str | list[str]:
        texts = [str(path) for path in data_path]
        return texts if len(texts) > 1 else texts[0]

    @field_serializer("refetch", "external_access", when_used="json")
    def _holds_once(self, value: bool) -> bool:
        """Save neither: they hold for one command."""
        return False

    @field_validator("until")
    @classmethod
    def _until_follows_since(cls, until: date | datetime | None, info: ValidationInfo) -> date | datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and end_of(until) <= start_of(since):
            template = "until ({until}) must not be earlier than since ({since})"
            raise cross_field_error("data.until", template, until=until, since=since)
        return until

    @field_validator("val_end")
    @classmethod
    def _ends_in_order(cls, val_end: date | datetime | None, info: ValidationInfo) -> date | datetime | None:
        train_end = info.data.get("train_end")
        if val_end is not None and "train_end" in info.data:
            if train_end is None:
                raise cross_field_error(
                    "data.val_end", "val_end is given without train_end; give both, or use the ratios"
                )
            if end_of(val_end) <= end_of(train_end):
                raise cross_field_error(
                    "data.val_end",
                    "val_end ({val_end}) must be later than train_end ({train_end})",
                    val_end=val_end,
                    train_end=train_end,
                )
        return val_end

    @field_validator("test_symbols")
    @classmethod
    def _held_out_once(cls, test_symbols: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if twice := sorted(set(test_symbols) & set(info.data.get("val_symbols", ()))):
            raise cross_field_error(
                "data.test_symbols",
                "{symbols} in both val_symbols and test_symbols; choose one",
                symbols=", ".join(twice),
            )
        return test_symbols

    @field_validator("max_context")
    @classmethod
    def _context_exceeds_horizon(cls, max_context: int, info: ValidationInfo) -> int:
        predict_window = info.data.get("predict_window", 0)
        if predict_window >= max_context:
            raise cross_field_error(
                "data.predict_window",
                "predict_window ({predict_window}) must be shorter than max_context ({max_context}): a forecast needs "
                "history in its context",
                predict_window=predict_window,
                max_context=max_context,
            )
        return max_context

    @property
    def window(self) -> int:
        """Candles in a training window: lookback and horizon."""
        return self.lookback_window + self.predict_window


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def start_of(moment: date | datetime) -> datetime:
    """Return the first moment that belongs: the midnight of a day, or the time itself."""
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=None)
    return datetime.combine(moment, datetime.min.time())


def end_of(moment: date | datetime) -> datetime:
    """Return the first moment that no longer belongs: the midnight after a day, or just after a time."""
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=None) + timedelta(microseconds=1)
    return datetime.combine(moment, datetime.min.time()) + timedelta(days=1)


class RepairsConfig(Section):
    """`repairs`: how each kind of defect is repaired; repairs are counted and logged."""

    unsorted: Annotated[Literal["sort", "error"], WINDOWS] = "sort"  # rows out of order
    duplicates: Annotated[Literal["drop", "error"], WINDOWS] = "drop"  # identical rows
    conflicting: Annotated[Literal["error", "first", "last"], WINDOWS] = (
        "error"  # two candles at one time: which to keep
    )
    not_finite: Annotated[Literal["error", "drop", "fill"], WINDOWS] = (
        "error"  # blank, NaN or infinite; fill: as the close before
    )
    non_positive: Annotated[Literal["error", "drop", "keep"], WINDOWS] = "error"  # prices of 0 or less
    impossible: Annotated[Literal["error", "drop", "widen", "keep"], WINDOWS] = (
        "error"  # open or close outside low to high
    )
    blank_volume: Annotated[Literal["zero", "error"], WINDOWS] = "zero"  # volume or amount left blank
    unfinished: Annotated[Literal["drop", "keep", "error"], WINDOWS] = "drop"  # a last candle that is not complete yet
    gaps: Annotated[Literal["keep", "fill"], WINDOWS] = "keep"  # fill: short ones, with the close before and no volume
    fill_limit: Annotated[Integer, WINDOWS] = Field(5, ge=1, le=MAX_CANDLES)  # maximum of filled candles in a row
    intervals: Annotated[Literal["error", "keep"], WINDOWS] = (
        "error"  # a stretch of 5-minute candles, then one of 1-minute candles
    )
    jumps: Annotated[Literal["break", "keep", "error"], WINDOWS] = (
        "break"  # as at a split; break: no window crosses one
    )
