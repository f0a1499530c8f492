"""`kronos score`: grade the forecasts of a ledger by the candles that have come."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.score import print_health
from kronos.cli.predict_log import LEDGER_NAME
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.config.load import build_reading_config
from kronos.errors import DataError
from kronos.names import Message

if TYPE_CHECKING:
    import pandas as pd

    from kronos.ledger.grading import Matched
    from kronos.ledger.store import Ledger

DEFAULT_LEDGER = Path("forecasts") / LEDGER_NAME
MOST_NAMED = 5  # symbols in a message

LedgerOption = Annotated[Path, typer.Option("--ledger", help="The ledger that kronos predict --log has written.")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Candles that have come: a file, a folder, a glob or a URL; again for more."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="How --data is read, e.g. data.timezone=Asia/Shanghai"),
]
Seal = Annotated[
    str | None, typer.Option("--seal", help="A newest seal that you kept: is it still there?", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]

logger = logging.getLogger(__name__)


def score_command(
    overrides: Overrides = None,
    data: Data = None,
    ledger: LedgerOption = DEFAULT_LEDGER,
    kept: Seal = None,
    as_json: AsJson = False,
    language: LanguageOption = None,
) -> None:
    """Grade logged forecasts: coverage, error against a baseline, direction, by symbol and week, and alarms.

    Without --data, show what has been graded already. The exit status is 3 while an alarm is on.
    """
    with start_session("the ledger keeps what was graded; run the same command again", language):
        spoken = settle_language(None)
        with loading_libraries():
            from kronos.ledger.health import measure_health
            from kronos.ledger.store import Ledger

        opened = Ledger(ledger)
        seal = opened.verify(kept)
        if data:
            grade_files(opened, data, overrides or [])
        health = measure_health(opened)
        if as_json:
            runs = [each.to_json() for each in health]
            typer.echo(json.dumps({"ledger": str(ledger), "seal": seal, "runs": runs}, allow_nan=False))
        else:
            print_health(health, ledger, seal, spoken)
        if any(each.alarms_on for each in health):
            raise typer.Exit(3)


def grade_files(ledger: Ledger, data: Sequence[str], overrides: Sequence[str], is_growing: bool = False) -> int:
    """Write the outcomes that candles tell to a ledger, and log what they do not tell. Return how many are new.

    Args:
        is_growing: whether the newest candle of a symbol may be unfinished, and is left out.

    Raises:
        DataError: no candles can be read, or none are of a symbol in the ledger.
    """
    from kronos.ledger.grading import match_candles

    symbols = ledger.read_symbols()
    if not symbols:
        raise DataError("{path}: it holds no forecasts to grade. Write some: kronos predict --log.", path=ledger.path)
    candles = _read_candles(data, overrides)
    if not symbols & candles.keys():
        candles = _take_as_the_same(symbols, candles)
    frames = {symbol: read.frame[:-1] if is_growing else read.frame for symbol, read in candles.items()}
    jumps = {symbol: read.jumps for symbol, read in candles.items()}
    matched = match_candles(ledger.read(), frames, jumps, ledger.read_outcomes())
    _report(matched)
    n_new = ledger.add_outcomes(matched.outcomes)
    logger.info("%d closes are new", n_new)
    return n_new


def _report(matched: Matched) -> None:
    """Log what was not graded, and why."""
    if matched.changed:
        logger.warning(
            "not graded: %d forecasts, whose last close is another one in these candles. They are another symbol's, or were adjusted for "
            "a split or a dividend. Give candles with the prices of that time.",
            len(matched.changed),
        )
    if matched.unanchored:
        logger.warning(
            "not graded: %d forecasts, because these candles lack the one that the forecast began with, whose close shows that prices are "
            "comparable. Give candles from there on, with the same data.timezone as for the forecasts.",
            len(matched.unanchored),
        )
    if matched.jumped:
        logger.warning(
            "not graded from a jump of the price on, as at a split: %d forecasts. If it is a real move: repairs.jumps=keep",
            len(matched.jumped),
        )
    if matched.revised:
        logger.warning(
            "%d forecasts have grades by other closes than those in these candles. The first grade stays. Find out which closes are right: "
            "the candles were revised, or the ledger was changed.",
            len(matched.revised),
        )
    if matched.unknown:
        logger.info("no candles of: %s", _list(matched.unknown))


class _Candles(NamedTuple):
    """Candles of a symbol, and the times of those after a jump."""

    frame: pd.DataFrame
    jumps: pd.DatetimeIndex


def _read_candles(data: Sequence[str], overrides: Sequence[str]) -> dict[str, _Candles]:
    import pandas as pd

    from kronos.data import ReadingOptions, read_frames
    from kronos.data.elsewhere.gather import gather_files
    from kronos.data.elsewhere.options import FetchOptions

    config = build_reading_config(list(data), overrides)
    files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files
    frames, unreadable = read_frames(files, ReadingOptions.of(config.data), config.repairs, config.data.max_gap)
    if not frames:
        raise DataError("{errors}", errors=Message.join(finding.message for finding in unreadable))
    for finding in unreadable:
        logger.warning("%s", finding.message)
    breaks = config.repairs.jumps == "break"
    return {
        each.symbol: _Candles(
            each.frame,
            pd.DatetimeIndex(
                sorted(
                    time for found in each.findings if breaks and found.kind == "jumps" for time in found.at.tolist()
                ),
                dtype="datetime64[us]",
            ),
        )
        for each in frames
    }


def _take_as_the_same(symbols: set[str], candles: Mapping[str, _Candles]) -> dict[str, _Candles]:
    """Return candles by the ledger's symbol, if it has one only, and they are of one: files are named as one likes.

    Raises:
        DataError: there are several.
    """
    if len(symbols) != 1 or len(candles) != 1:
        raise DataError(
            "no symbol of these candles is in the ledger. The ledger has {own}, the candles have {given}. Name the files, or the symbol "
            "column, as for the forecasts.",
            own=_list(symbols),
            given=_list(candles),
        )
    (symbol,), (given,) = symbols, candles.values()
    logger.info(
        "the candles of %s are taken as those of %s, the only symbol in the ledger", next(iter(candles)), symbol
    )
    return {symbol: given}


def _list(names: Sequence[str] | set[str] | Mapping[str, object]) -> str:
    shown = sorted(names)[:MOST_NAMED]
    return ", ".join(shown) + (", …" if len(names) > MOST_NAMED else "")
