"""The health of the forecasts in a ledger: coverage, error against the baseline, direction and alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from kronos.ledger.alarms import Alarm, find_alarms
from kronos.ledger.grading import BANDS, grade
from kronos.ledger.records import SHARES, Entry
from kronos.ledger.store import Ledger


@dataclass(frozen=True)
class Figures:
    """Figures of graded forecasts.

    n_forecasts, n_steps: what they are of. coverage: by percent, the share of closes within the band. crps_ratio: the mean
    CRPS, divided by that of the baseline `ewma`; below 1 the model is better. pit: the mean place of the closes in the
    forecast distribution, 0.5 if it is neither too high nor too low. hits: the share of right directions. NaN: not known.
    """

    n_forecasts: int
    n_steps: int
    coverage: dict[int, float]
    crps_ratio: float
    pit: float
    hits: float


@dataclass(frozen=True)
class Health:
    """What a ledger tells of one run.

    n_forecasts: in the ledger, graded or not. n_late: written after their outcome, and therefore not graded. n_open: with
    a step whose close is not known. overall; by_symbol; by_week: by the Monday of the forecast candle. pit: how many closes
    lie in each of the 20 parts of the forecast distribution, equally many if it is the true one.
    """

    run: str
    n_forecasts: int
    n_late: int
    n_open: int
    overall: Figures
    by_symbol: dict[str, Figures]
    by_week: dict[str, Figures]
    pit: tuple[int, ...]
    alarms: tuple[Alarm, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; unknown figures are None."""
        alarms = [
            {
                "kind": each.kind,
                "on": each.is_on,
                "since": None if each.first is None or not each.is_on else each.first.isoformat(),
                "wealth": float(each.wealth[-1]) if len(each.wealth) else 1.0,
                "threshold": each.threshold,
                "n_forecasts": len(each.wealth),
            }
            for each in self.alarms
        ]
        counts = {name: getattr(self, name) for name in ("run", "n_forecasts", "n_late", "n_open")}
        groups = {
            name: {key: _to_json(each) for key, each in getattr(self, name).items()}
            for name in ("by_symbol", "by_week")
        }
        return counts | {"overall": _to_json(self.overall)} | groups | {"pit": list(self.pit), "alarms": alarms}


def measure_health(ledger: Ledger) -> list[Health]:
    """Return the health of each run in a ledger, in the order of their first forecast.

    Raises:
        DataError: the file is no ledger, or damaged.
    """
    outcomes = ledger.read_outcomes()
    runs: dict[str, list[Entry]] = {}
    for entry in ledger.read():
        runs.setdefault(entry.forecast.run, []).append(entry)
    return [_measure(run, entries, outcomes) for run, entries in runs.items()]


def _measure(run: str, entries: Sequence[Entry], outcomes: dict[int, dict[int, float]]) -> Health:
    timely = [each for each in entries if not each.forecast.is_late]
    grades = grade(timely, outcomes)
    n_open = sum(len(outcomes.get(each.number, ())) < len(each.forecast.times) for each in timely)
    weeks = pd.DatetimeIndex(grades["time"]).to_period("W").start_time.strftime("%Y-%m-%d")
    return Health(
        run=run,
        n_forecasts=len(entries),
        n_late=len(entries) - len(timely),
        n_open=n_open,
        overall=_compute_figures(grades),
        by_symbol={str(name): _compute_figures(each) for name, each in grades.groupby("symbol")},
        by_week={str(name): _compute_figures(each) for name, each in grades.groupby(weeks)},
        pit=tuple(np.histogram(grades["pit"], bins=len(SHARES) + 1, range=(0, 1))[0].tolist()),
        alarms=tuple(find_alarms(grades)),
    )


def _compute_figures(grades: pd.DataFrame) -> Figures:
    baseline = grades["crps_baseline"].sum()
    return Figures(
        n_forecasts=grades["number"].nunique(),
        n_steps=len(grades),
        coverage={level: float(grades[f"covered_{level}"].mean()) for level in BANDS},
        crps_ratio=float(grades["crps"].sum() / baseline) if baseline > 0 else float("nan"),
        pit=float(grades["pit"].mean()),
        hits=float(grades["hit"].mean()),
    )


def _to_json(figures: Figures) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not isfinite(value) else value

    values = asdict(figures)
    coverage = {str(level): plain(share) for level, share in values.pop("coverage").items()}
    return {key: plain(value) for key, value in values.items()} | {"coverage": coverage}
