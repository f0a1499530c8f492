"""`kronos predict --log`: forecasts go into the ledger before anything else is done with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.errors import ConfigError

if TYPE_CHECKING:
    from kronos.forecast import Forecast
    from kronos.forecast.origin import ForecastTask

LEDGER_NAME = "ledger.db"

logger = logging.getLogger(__name__)


def log_forecasts(
    forecasts: Iterator[Forecast],
    tasks: Mapping[str, ForecastTask],
    path: Path,
    run: Path | str,
    conditions: Mapping[str, Any],
    how: Mapping[str, Any],
) -> Iterator[Forecast]:
    """Write each forecast to the ledger when it is made, then yield it.

    Args:
        run: its folder, which is logged by its whole path, as `kronos serve` does; or the name of a model.

    Raises:
        ConfigError: a candle of a horizon is known: a forecast is logged before its outcome, or it proves nothing.
    """
    known = [name for name, task in tasks.items() if len(task.actual)]
    if known:
        raise ConfigError(
            "--log is for forecasts whose candles have not come yet, but {name} has candles after the origin. Leave --origin out, "
            "or use kronos evaluate for the past.",
            name=known[0],
        )
    name = str(run.expanduser().resolve()) if isinstance(run, Path) else run
    return _log_all(forecasts, path, name, conditions, {"n_paths": how["n_paths"], "seed": how["seed"]})


def _log_all(
    forecasts: Iterator[Forecast], path: Path, run: str, conditions: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Forecast]:
    from kronos.ledger.entries import build_records
    from kronos.ledger.store import Ledger

    ledger, n, n_late, seal = Ledger(path), 0, 0, ""
    for forecast in forecasts:
        records = build_records([forecast], run, conditions, **settings)
        seal = ledger.append(records)
        n, n_late = n + 1, n_late + records[0].is_late
        yield forecast
    logger.info("%d forecasts written to %s; the newest seal is %s", n, path, seal)
    if n_late:
        logger.warning(
            "%d of them end before today: their outcome was known when they were written, so kronos score does not count them",
            n_late,
        )
