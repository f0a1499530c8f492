"""The health of the forecasts in a ledger: coverage, error against the baseline, direction and alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kronos.ledger.alarms import Alarm, find_alarms
from kronos.ledger.grading import BANDS, grade
from kronos.ledger.records import SHARES, Entry
from kronos.ledger.store import Ledger

COUNTS = ("run", "is_current", "n_forecasts", "n_late", "n_repeated", "n_open")
HASH_SHOWN = 8  # digits


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

    is_current: whether its models are those of the run's newest forecast; else they were replaced, for example by
    `kronos refresh`, and the name has the first digits of the base model's SHA-256. n_forecasts: in the ledger, graded or
    not. n_late: written after their outcome, n_repeated: like an earlier one; neither are graded. n_open: with a step whose
    close is not known. overall; by_symbol; by_week: by the Monday of the forecast candle. pit: how many closes
    lie in each of the 20 parts of the forecast distribution, equally many if it is the true one.
    """

    run: str
    is_current: bool
    n_forecasts: int
    n_late: int
    n_repeated: int
    n_open: int
    overall: Figures
    by_symbol: dict[str, Figures]
    by_week: dict[str, Figures]
    pit: tuple[int, ...]
    alarms: tuple[Alarm, ...]

    @property
    def alarms_on(self) -> tuple[Alarm, ...]:
        """The alarms that call for action: none of models that are not in use any more."""
        return tuple(each for each in self.alarms if each.is_on) if self.is_current else ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values; unknown figures are None."""
        alarms = [
            {
                "kind": each.kind,
                "on": each.is_on,
                "since": None if each.since is None else each.since.isoformat(),
                "wealth": float(each.wealth[-1]) if len(each.wealth) else 1.0,
                "threshold": each.threshold,
                "n_forecasts": len(each.wealth),
            }
            for each in self.alarms
        ]
        counts = {name: getattr(self, name) for name in COUNTS}
        groups = {
            name: {key: _to_json(each) for key, each in getattr(self, name).items()}
            for name in ("by_symbol", "by_week")
        }
        return counts | {"overall": _to_json(self.overall)} | groups | {"pit": list(self.pit), "alarms": alarms}


class _Models(NamedTuple):
    run: str
    tokenizer: str
    base_model: str


@dataclass
class _Count:
    """Forecasts of the same models. numbers: of those that count; newest: of all."""

    numbers: list[int] = field(default_factory=list)
    newest: int = 0
    n_forecasts: int = 0
    n_late: int = 0
    n_repeated: int = 0
    n_open: int = 0
    _seen: set[int] = field(default_factory=set)

    def add(self, entry: Entry, n_known: int) -> bool:
        """Count a forecast; return whether its grades count."""
        forecast, self.newest = entry.forecast, entry.number
        self.n_forecasts += 1
        content = hash((forecast.symbol, forecast.candles, forecast.times, forecast.close))
        if forecast.is_late or content in self._seen:
            self.n_late += forecast.is_late
            self.n_repeated += not forecast.is_late
            return False
        self._seen.add(content)
        self.n_open += n_known < len(forecast.times)
        self.numbers.append(entry.number)
        return True


def measure_health(ledger: Ledger) -> list[Health]:
    """Return the health of each run in a ledger, in the order of their first forecast.

    Forecasts of a run whose models were replaced since are another run, see `Health.is_current`.

    Raises:
        DataError: the file is no ledger, or damaged.
    """
    outcomes, counts = ledger.read_outcomes(), dict[_Models, _Count]()
    grades = grade(_count(ledger.read(), outcomes, counts), outcomes)
    current = {models.run: models for models in sorted(counts, key=lambda each: counts[each].newest)}
    return [
        _measure(models, models == current[models.run], count, grades[grades["number"].isin(count.numbers)])
        for models, count in counts.items()
    ]


def _count(
    entries: Iterable[Entry], outcomes: dict[int, dict[int, float]], counts: dict[_Models, _Count]
) -> Iterator[Entry]:
    """Count forecasts and yield those whose grades count."""
    for entry in entries:
        forecast = entry.forecast
        count = counts.setdefault(_Models(forecast.run, forecast.tokenizer, forecast.base_model), _Count())
        if count.add(entry, len(outcomes.get(entry.number, ()))):
            yield entry


def _measure(models: _Models, is_current: bool, count: _Count, grades: pd.DataFrame) -> Health:
    weeks = pd.DatetimeIndex(grades["time"]).to_period("W").start_time.strftime("%Y-%m-%d")
    return Health(
        run=models.run if is_current else f"{models.run} ({models.base_model[:HASH_SHOWN]})",
        is_current=is_current,
        n_forecasts=count.n_forecasts,
        n_late=count.n_late,
        n_repeated=count.n_repeated,
        n_open=count.n_open,
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
