"""Several evaluated runs beside each other: whether they may be compared, by what, and which is best at it.

Nothing here tests whether a difference is more than chance: that needs the errors at each origin, which
`evaluation.rivals` with another run's folder compares.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from kronos.errors import ConfigError
from kronos.evaluation.metric_labels import METRIC_LABELS
from kronos.evaluation.results import LEVELS, Comparison, Evaluation, Texts
from kronos.evaluation.runs.evaluated_run import RULES, EvaluatedRun, differ, find_other_settings

MAIN_METRICS = ("crps", "mae", "rmse", "direction", "ic", "rank_ic", *(f"coverage_{level}" for level in LEVELS))
SAME = 1e-6  # relative: what two evaluations of the same thing may differ by through rounding

Units = Literal["log_return", "price"]
Goal = Literal["lower", "higher"] | float | None  # a number: the nearest to it is best; none: nothing is

FACTS: dict[str, Texts] = {
    "candles": {"en": "candles", "zh": "K 线数据"},
    "split": {"en": "split", "zh": "数据集"},
    "interval": {"en": "interval", "zh": "K 线周期"},
    "horizon": {"en": "horizon", "zh": "预测步数"},
    "n_symbols": {"en": "symbols", "zh": "标的数"},
    "n_origins": {"en": "origins", "zh": "预测起点数"},
    "first_origin": {"en": "first origin", "zh": "首个起点"},
    "last_origin": {"en": "last origin", "zh": "末个起点"},
    "stride": {"en": "stride", "zh": "起点间隔"},
    "n_paths": {"en": "paths", "zh": "采样路径数"},
}
CLOSES: Texts = {"en": "the closes: how far they moved", "zh": "收盘价本身：波动幅度"}


@dataclass(frozen=True)
class Difference:
    """What was not the same when the runs were evaluated, so that their figures cannot be compared."""

    key: str
    label: Texts
    values: tuple[Any, ...]  # one a run


@dataclass(frozen=True)
class MetricRow:
    """A metric of each run, over the whole horizon; best: positions of the best runs, none where that says nothing."""

    metric: str
    units: Units
    goal: Goal
    figures: tuple[float, ...]
    best: frozenset[int]


@dataclass(frozen=True)
class BaselineRow:
    """Each run against one baseline by its verdict's metric; None where it was not compared."""

    baseline: str
    label: Texts
    comparisons: tuple[Comparison | None, ...]


@dataclass(frozen=True)
class RunsCompared:
    """Runs beside each other; settings: only those that differ, by dotted key, one value a run."""

    runs: tuple[EvaluatedRun, ...]
    differences: tuple[Difference, ...]
    metrics: tuple[MetricRow, ...]
    baselines: tuple[BaselineRow, ...]
    settings: dict[str, tuple[Any, ...]]
    other_baselines: tuple[str, ...]  # baselines of the same name that were not equally good, and so not the same
    other_rules: bool  # verdicts by different metrics, confidences or margins

    @property
    def comparable(self) -> bool:
        """Whether all were measured on the same origins, in the same way."""
        return not self.differences

    @property
    def best_marked(self) -> bool:
        """Whether any row has a best run."""
        return any(row.best for row in self.metrics)


def compare_runs(runs: Sequence[EvaluatedRun], metrics: Sequence[str] = (), everything: bool = False) -> RunsCompared:
    """Lay runs beside each other.

    Args:
        runs: at least one.
        metrics: the rows, by name; by default MAIN_METRICS, of log returns.
        everything: all metrics, of log returns and of prices; with `metrics`, those of both.

    Raises:
        ConfigError: no run has such a metric.
    """
    differences = find_differences(runs)
    rows = [
        _compare_metric(runs, metric, units, mark=not differences)
        for units, metric in _choose_metrics(runs, metrics, everything)
    ]
    baselines = _compare_with_baselines(runs)
    return RunsCompared(
        runs=tuple(runs),
        differences=tuple(differences),
        metrics=tuple(rows),
        baselines=baselines,
        settings=find_other_settings(runs),
        other_baselines=() if differences else tuple(row.baseline for row in baselines if not _is_same_baseline(row)),
        other_rules=any(differ([getattr(run.evaluation, key) for run in runs]) for key in RULES),
    )


def find_differences(runs: Sequence[EvaluatedRun]) -> list[Difference]:
    """Find what makes the figures of runs incomparable.

    Where all that is written down agrees, the moves of the closes must too: they depend on the candles and origins alone.
    """
    evaluations = [run.evaluation for run in runs]
    found = [
        Difference(key, label, tuple(getattr(each, key) for each in evaluations))
        for key, label in FACTS.items()
        if differ([getattr(each, key) for each in evaluations])
    ]
    moves = tuple(_measure_moves(each) for each in evaluations)
    if not found and not _are_same(moves):
        found.append(Difference("closes", CLOSES, moves))
    return found


def find_goal(metric: str) -> Goal:
    """Say which figures of a metric are better: the higher, the lower, or those nearest to a number."""
    if band := re.fullmatch(r"coverage_(\d+)", metric):
        return int(band[1]) / 100
    label = METRIC_LABELS.get(metric)
    if label is None or label.higher_is_better is None:
        return None
    return "higher" if label.higher_is_better else "lower"


def find_best(figures: Sequence[float], goal: Goal) -> frozenset[int]:
    """Return the positions of the best figures; none where there are no two to compare, or where all are the same."""
    if goal is None:
        return frozenset()
    known = {i: _distance(figure, goal) for i, figure in enumerate(figures) if math.isfinite(figure)}
    best = frozenset(i for i, each in known.items() if math.isclose(each, min(known.values()), abs_tol=1e-12))
    return best if len(best) < len(known) else frozenset()


def _distance(figure: float, goal: Literal["lower", "higher"] | float) -> float:
    """How far a figure is from the goal, up to a constant."""
    if goal == "lower":
        return figure
    return -figure if goal == "higher" else abs(figure - float(goal))


def _measure_moves(evaluation: Evaluation) -> float:
    """Return the root mean square of the log returns that came, by r2_os = 1 − Σ error² / Σ return²; NaN where unknown."""
    own = evaluation.forecasters[0].log_return
    rmse, share = _read_figure(own, "rmse"), 1 - _read_figure(own, "r2_os")
    return rmse / math.sqrt(share) if share > 0 else math.nan


def _read_figure(figures: dict[str, Any], metric: str) -> float:
    return float(figures[metric].overall) if metric in figures else math.nan


def _are_same(figures: Sequence[float]) -> bool:
    """Whether the finite ones among figures are equal but for rounding."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return all(math.isclose(figure, finite[0], rel_tol=SAME) for figure in finite)


def _choose_metrics(runs: Sequence[EvaluatedRun], names: Sequence[str], everything: bool) -> list[tuple[Units, str]]:
    """Return the rows, those of log returns first."""
    own = [run.evaluation.forecasters[0] for run in runs]
    log_return = list(dict.fromkeys(metric for each in own for metric in each.log_return))
    price = list(dict.fromkeys(metric for each in own for metric in each.price))
    known = list(dict.fromkeys([*MAIN_METRICS, *log_return, *price]))
    known = [metric for metric in known if metric in log_return or metric in price]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
            raise ConfigError(f"--metric {name}: these runs have no such metric; {hint}")
    chosen = list(dict.fromkeys(names)) or (known if everything else [name for name in MAIN_METRICS if name in known])
    rows: list[tuple[Units, str]] = [("log_return", metric) for metric in chosen if metric in log_return]
    return rows + [
        ("price", metric) for metric in chosen if metric in price and (everything or metric not in log_return)
    ]


def _compare_metric(runs: Sequence[EvaluatedRun], metric: str, units: Units, mark: bool) -> MetricRow:
    own = [run.evaluation.forecasters[0] for run in runs]
    figures = tuple(_read_figure(each.log_return if units == "log_return" else each.price, metric) for each in own)
    goal = find_goal(metric)
    return MetricRow(metric, units, goal, figures, find_best(figures, goal) if mark else frozenset())


def _compare_with_baselines(runs: Sequence[EvaluatedRun]) -> tuple[BaselineRow, ...]:
    found = [
        {each.baseline: each for each in run.evaluation.comparisons if each.metric == run.evaluation.metric}
        for run in runs
    ]
    labels = {each.name: each.label for run in reversed(runs) for each in run.evaluation.forecasters}
    baselines = dict.fromkeys(baseline for each in found for baseline in each)
    return tuple(
        BaselineRow(
            baseline,
            labels.get(baseline, {"en": baseline, "zh": baseline}),
            tuple(each.get(baseline) for each in found),
        )
        for baseline in baselines
    )


def _is_same_baseline(row: BaselineRow) -> bool:
    by_metric: dict[str, list[float]] = {}
    for each in row.comparisons:
        if each:
            by_metric.setdefault(each.metric, []).append(each.baseline_figure)
    return all(_are_same(figures) for figures in by_metric.values())
