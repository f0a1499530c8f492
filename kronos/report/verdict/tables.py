"""The tables of the report's page, as texts in both languages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kronos.evaluation.metric_labels import METRIC_LABELS, MetricLabel
from kronos.evaluation.results import Comparison, Evaluation, Texts, Verdict
from kronos.evaluation.verdict_words import name_outcome
from kronos.report.charts.charts import choose_comparisons, name_baseline
from kronos.report.words.numbers import (
    BASIS_POINTS,
    format_count,
    format_figures,
    format_numbers,
    format_p_value,
    format_percent,
)
from kronos.report.words.page_texts import same, text

HEALTH_FIGURES = {  # whether a share
    "error_bp": False,
    "s1_used": True,
    "s2_used": True,
    "s1_perplexity": False,
    "s2_perplexity": False,
    "clip_rate": True,
}


@dataclass(frozen=True)
class Cell:
    """A cell of a table. best: of its row."""

    text: Texts
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table with what it is about at its head."""

    head: Texts
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows under a common heading."""

    head: Texts
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Bar:
    """An interval on a common scale, in per cent of its width."""

    zero: float
    low: float
    high: float
    middle: float


@dataclass(frozen=True)
class BaselineRow:
    """The run against one baseline. css: the verdict as a class. bar: none where there is no interval."""

    baseline: Texts
    metric: Texts
    css: str
    verdict: Texts
    skill: Texts
    interval: Texts
    p: str
    sentence: Texts
    bar: Bar | None


def list_baselines(evaluation: Evaluation, by_verdict_metric: bool) -> list[BaselineRow]:
    """Return the comparisons by the metric of the verdict, or those by the others."""
    comparisons = choose_comparisons(evaluation, by_verdict_metric)
    labels = {forecaster.name: forecaster.label for forecaster in evaluation.forecasters}
    bars = _build_bars(comparisons)
    return [_build_baseline(each, name_baseline(each, labels), bar) for each, bar in zip(comparisons, bars)]


def _build_baseline(found: Comparison, label: Texts, bar: Bar | None) -> BaselineRow:
    css: dict[Verdict, str] = {"helped": "good", "hurt": "bad", "no difference": "same"}
    low, high = (_format_skill(value, found.metric) for value in (found.low, found.high))
    known = math.isfinite(found.low) and math.isfinite(found.high)
    return BaselineRow(
        baseline=label,
        metric=METRIC_LABELS[found.metric].label,
        css=css.get(found.outcome, "unknown"),
        verdict=name_outcome(found),
        skill=_format_skill(found.skill, found.metric, sign=True),
        interval={language: f"[{low[language]}, {high[language]}]" for language in low} if known else same(""),
        p=format_p_value(found.p_value),
        sentence=found.sentence,
        bar=bar,
    )


def _format_skill(skill: float, metric: str, sign: bool = False) -> Texts:
    """A share of the baseline's error, or for direction a difference of shares."""
    told = format_percent(skill, 1, sign)
    if metric != "direction" or not math.isfinite(skill):
        return told
    return text("points", n=told["zh"].removesuffix("%"))


def _build_bars(comparisons: Sequence[Comparison]) -> list[Bar | None]:
    """Lay the intervals of the comparisons on one scale that holds 0."""
    triples = [[min(max(v, -1.0), 1.0) for v in (c.low, c.high, c.skill) if math.isfinite(v)] for c in comparisons]
    values = [0.0, *(value for triple in triples if len(triple) == 3 for value in triple)]
    bottom, span = min(values), max(values) - min(values)
    if not span:
        return [None] * len(triples)

    def place(value: float) -> float:
        return round(4 + 92 * (value - bottom) / span, 1)

    return [Bar(place(0), *map(place, triple)) if len(triple) == 3 else None for triple in triples]


def list_metrics(evaluation: Evaluation) -> list[Group]:
    """Return the figures of all forecasters, of log returns and of prices."""
    of_returns = [forecaster.log_return for forecaster in evaluation.forecasters]
    of_prices = [forecaster.price for forecaster in evaluation.forecasters]
    groups = []
    for head, found in ((text("log_returns"), of_returns), (text("prices"), of_prices)):
        names = list(dict.fromkeys(name for figures in found for name in figures))
        values = {name: [f[name].overall if name in f else math.nan for f in found] for name in names}
        rows = tuple(
            _build_metric(METRIC_LABELS[name], figures, found is of_returns) for name, figures in values.items()
        )
        groups.append(Group(head, rows))
    return [group for group in groups if group.rows]


def list_seconds(evaluation: Evaluation) -> Row:
    """Return how long each forecaster took."""
    told = (f"{each.seconds:,.1f}" if each.seconds >= 0.1 else "< 0.1" for each in evaluation.forecasters)
    return Row(text("seconds"), tuple(Cell(same(seconds)) for seconds in told))


def list_meanings(evaluation: Evaluation) -> list[tuple[Texts, Texts]]:
    """Return what the metrics are called and how to read them."""
    names = dict.fromkeys(name for each in evaluation.forecasters for name in (*each.log_return, *each.price))
    return [(METRIC_LABELS[name].label, METRIC_LABELS[name].explanation) for name in names]


def _build_metric(label: MetricLabel, values: Sequence[float], of_returns: bool) -> Row:
    best = _find_best(values, label.higher_is_better)
    in_bp = label.in_units and of_returns
    head: Texts = {language: f"{words} (bp)" if in_bp else words for language, words in label.label.items()}
    told = format_figures(values, label, of_returns)
    return Row(head, tuple(Cell(each, value == best) for each, value in zip(told, values)))


def _find_best(values: Sequence[float], higher_is_better: bool | None) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    if higher_is_better is None or len(finite) < 2:
        return None
    return max(finite) if higher_is_better else min(finite)


def list_calibration(evaluation: Evaluation) -> list[Row]:
    """Return coverage and width of each band, before and after."""
    found = evaluation.calibration
    if found is None:
        return []
    rows = []
    for level in found.before.coverage:
        shares = [bands.coverage[level].overall for bands in (found.before, found.after)]
        widths = [BASIS_POINTS * bands.width[level].overall for bands in (found.before, found.after)]
        cells = [Cell(format_percent(share)) for share in shares]
        cells += [Cell(same(number)) for number in format_numbers(widths)]
        rows.append(Row(text("band", level=level), tuple(cells)))
    return rows


def list_health(evaluation: Evaluation) -> list[Row]:
    """Return the tokenizer's figures before and after training."""
    health = evaluation.tokenizer
    if health is None:
        return []
    columns = (health.before, health.after)
    counts = [each.n_windows if each else math.nan for each in columns]
    rows = [Row(text("n_windows"), tuple(Cell(same(format_count(count))) for count in counts))]
    for name, percent in HEALTH_FIGURES.items():
        values = [getattr(each, name) if each else math.nan for each in columns]
        label = MetricLabel(text(name), text(name), None, percent)
        rows.append(Row(label.label, tuple(map(Cell, format_figures(values, label, of_returns=False)))))
    return rows
