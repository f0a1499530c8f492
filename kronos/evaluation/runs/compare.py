"""Compare evaluated runs: whether they are comparable, and which run is best by each metric.

Nothing here tests whether a difference is significant. For such a test, give another run's folder to
`kronos evaluate --baselines`, which compares the errors at each origin.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kronos.config import Config
from kronos.config.affects import find_affects
from kronos.errors import ConfigError
from kronos.evaluation.records import LEVELS, HorizonFigures
from kronos.evaluation.results import FORMAT, Comparison, Evaluation
from kronos.evaluation.scores.figure_kinds import FIGURE_KINDS

MAIN_METRICS = ("crps", "mae", "rmse", "direction", "ic", "rank_ic", *(f"coverage_{level}" for level in LEVELS))
CONDITIONS = (
    "format",  # another one follows other rules of the verdict
    *("candles", "split", "interval", "horizon", "n_symbols", "n_origins", "first_origin", "last_origin"),
    *("stride", "n_paths"),
)
RULES = ("metric", "confidence", "margin")  # of the verdict
SAME = 1e-6  # relative: rounding differences between two evaluations of the same thing

Units = Literal["log_return", "price"]
Goal = Literal["lower", "higher"] | float | None  # a number: the figure closest to it is best; None: no figure is best


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with a unique name. settings: its configuration by dotted key, None if it cannot be read."""

    name: str
    folder: Path
    evaluation: Evaluation
    settings: dict[str, Any] | None


@dataclass(frozen=True)
class MetricRow:
    """A metric of each run over the whole horizon. best: the positions of the best runs, may be empty."""

    metric: str
    units: Units
    goal: Goal
    figures: tuple[float, ...]
    best: frozenset[int]


@dataclass(frozen=True)
class RunsCompared:
    """Runs side by side; each tuple but metrics and other_baselines has one value per run.

    differences: the evaluation conditions that are not the same for all runs.
    baselines: the comparisons with each baseline by the verdict's metric, None if a run was not compared with it.
    settings: the settings that differ, by dotted key. other_baselines: baselines whose figures differ between runs.
    """

    runs: tuple[EvaluatedRun, ...]
    differences: dict[str, tuple[Any, ...]]
    metrics: tuple[MetricRow, ...]
    baselines: dict[str, tuple[Comparison | None, ...]]
    settings: dict[str, tuple[Any, ...]]
    other_baselines: tuple[str, ...]


def compare_runs(runs: Sequence[EvaluatedRun], metrics: Sequence[str] = (), everything: bool = False) -> RunsCompared:
    """Compare runs by the given metrics, by default MAIN_METRICS of log returns; everything: all metrics, of prices too.

    Raises:
        ConfigError: no run has such a metric.
    """
    differences = find_differences(runs)
    by_name = [
        {each.baseline: each for each in run.evaluation.comparisons if each.metric == run.evaluation.metric}
        for run in runs
    ]
    names = dict.fromkeys(name for comparisons in by_name for name in comparisons)
    baselines = {name: tuple(comparisons.get(name) for comparisons in by_name) for name in names}
    return RunsCompared(
        runs=tuple(runs),
        differences=differences,
        metrics=tuple(
            _compare_metric(runs, units, metric, mark=not differences)
            for units, metric in _choose_metrics(runs, metrics, everything)
        ),
        baselines=baselines,
        settings=_find_other_settings(runs),
        other_baselines=tuple(name for name, row in baselines.items() if not differences and not _is_one_baseline(row)),
    )


def find_differences(runs: Sequence[EvaluatedRun]) -> dict[str, tuple[Any, ...]]:
    """Find the conditions that make the figures of runs incomparable.

    If all recorded conditions agree, the moves of the closes must agree too: they depend only on candles and origins.
    """
    rows = {key: tuple(getattr(run.evaluation, key) for run in runs) for key in CONDITIONS}
    differences = {key: row for key, row in rows.items() if _differ(row)}
    moves = tuple(_measure_moves(run.evaluation) for run in runs)
    return differences or ({} if _are_close(moves) else {"closes": moves})


def find_older(runs: Sequence[EvaluatedRun]) -> tuple[EvaluatedRun, ...]:
    """Return the runs whose verdict follows the rules of an earlier version than this one, or than another run's."""
    newest = max(FORMAT, *(run.evaluation.format for run in runs))
    return tuple(run for run in runs if run.evaluation.format < newest)


def find_goal(metric: str) -> Goal:
    """Return which figures of a metric are better: higher ones, lower ones, or those closest to a number."""
    if band := re.fullmatch(r"coverage_(\d+)", metric):
        return int(band[1]) / 100
    kind = FIGURE_KINDS.get(metric)
    if kind is None or kind.higher_is_better is None:
        return None
    return "higher" if kind.higher_is_better else "lower"


def find_best(figures: Sequence[float], goal: Goal) -> frozenset[int]:
    """Return the positions of the best figures; empty if fewer than two are known or all are the same."""
    if goal is None:
        return frozenset()
    distances = {
        i: figure if goal == "lower" else -figure if goal == "higher" else abs(figure - float(goal))
        for i, figure in enumerate(figures)
        if math.isfinite(figure)
    }
    best = frozenset(i for i, each in distances.items() if math.isclose(each, min(distances.values()), abs_tol=1e-12))
    return best if len(best) < len(distances) else frozenset()


def flatten_settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration by dotted key, without unset values (None, an empty mapping)."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten_settings(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat


def _compare_metric(runs: Sequence[EvaluatedRun], units: Units, metric: str, mark: bool) -> MetricRow:
    figures = tuple(_read_figure(getattr(run.evaluation.forecasters[0], units), metric) for run in runs)
    goal = find_goal(metric)
    return MetricRow(metric, units, goal, figures, find_best(figures, goal) if mark else frozenset())


def _choose_metrics(runs: Sequence[EvaluatedRun], names: Sequence[str], everything: bool) -> list[tuple[Units, str]]:
    """Return the units and metric of each row, log returns first."""
    own = [run.evaluation.forecasters[0] for run in runs]
    log_return, price = (
        {name for each in own for name in each.log_return},
        {name for each in own for name in each.price},
    )
    listed = dict.fromkeys([*MAIN_METRICS, *(name for each in own for name in (*each.log_return, *each.price))])
    known = [name for name in listed if name in log_return | price]
    for name in names:
        if name not in known:
            raise ConfigError(
                "--metric {name}: these runs have no such metric; there are {known}.", name=name, known=", ".join(known)
            )
    chosen = names or [name for name in known if everything or name in MAIN_METRICS]
    rows: list[tuple[Units, str]] = [("log_return", name) for name in chosen if name in log_return]
    return rows + [("price", name) for name in chosen if name in price and (everything or name not in log_return)]


def _measure_moves(evaluation: Evaluation) -> float:
    """Return the root mean square of the actual log returns, from r2_os = 1 − Σ error² / Σ return²; NaN if unknown."""
    own = evaluation.forecasters[0].log_return
    rmse, share = _read_figure(own, "rmse"), 1 - _read_figure(own, "r2_os")
    return rmse / math.sqrt(share) if share > 0 else math.nan


def _read_figure(figures: dict[str, HorizonFigures], metric: str) -> float:
    return float(figures[metric].overall) if metric in figures else math.nan


def _is_one_baseline(row: Sequence[Comparison | None]) -> bool:
    metrics = {each.metric for each in row if each}
    return all(
        _are_close([each.baseline_figure for each in row if each and each.metric == metric]) for metric in metrics
    )


def _are_close(figures: Sequence[float]) -> bool:
    """Whether the finite figures are equal up to rounding."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return all(math.isclose(figure, finite[0], rel_tol=SAME) for figure in finite)


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _find_other_settings(runs: Sequence[EvaluatedRun]) -> dict[str, tuple[Any, ...]]:
    """Return the settings that differ among the runs whose settings are known."""
    used = [_used_in_evaluation(run.evaluation) for run in runs]
    own = [{key: value for key, value in (run.settings or {}).items() if _changes_weights(key)} for run in runs]
    rows = {
        key: tuple((a | b).get(key) for a, b in zip(own, used))
        for key in dict.fromkeys(key for settings in (*own, *used) for key in settings)
    }
    known = [run.settings is not None for run in runs]
    return {
        key: row
        for key, row in rows.items()
        if _differ([value for value, is_known in zip(row, known) if is_known or key in used[0]])
    }


def _changes_weights(key: str) -> bool:
    """Whether a key affects the weights of a run's own models; metrics.json records the evaluation's settings."""
    affects = find_affects(Config, key)
    return affects is not None and affects.what == "weights" and affects.models != ("lstm",)


def _used_in_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    rules = {f"evaluation.{key}": getattr(evaluation, key) for key in RULES}
    sampling = {"report.temperature": evaluation.temperature, "report.top_p": evaluation.top_p}
    return rules | sampling | {"seed of the paths": evaluation.seed, "version": evaluation.version}
