"""The tables of the verdict's page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import Comparison, Evaluation, Verdict
from kronos.evaluation.scores.figure_kinds import FIGURE_KINDS, FigureKind
from kronos.evaluation.skill import has_badge
from kronos.report.charts.charts import choose_comparisons, name_baseline
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import (
    BASIS_POINTS,
    format_count,
    format_figures,
    format_number,
    format_numbers,
    format_p_value,
    format_percent,
)
from kronos.report.words.sentences import name_forecaster, name_metric, write_outcome, write_sentence

SHARE, NUMBER = FigureKind(None, "share"), FigureKind(None, "number")
HEALTH_FIGURES = {
    "error_bp": NUMBER,
    "s1_used": SHARE,
    "s2_used": SHARE,
    "s1_perplexity": NUMBER,
    "s2_perplexity": NUMBER,
    "clip_rate": SHARE,
}
STYLES: dict[Verdict, str] = {"helped": "good", "hurt": "bad", "no difference": "same"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table. interval: of its figure, if there is one."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table with its head."""

    head: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows under a common heading, which may be empty."""

    head: str
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
    """The run against one baseline.

    css, verdict: the outcome as a class and in a word; empty where it is not shown. bar: None if there is no interval.
    """

    baseline: str
    metric: str
    css: str
    verdict: str
    skill: str
    interval: str
    p: str
    sentence: str
    bar: Bar | None


def list_baselines(evaluation: Evaluation, by_verdict_metric: bool, words: Words) -> list[BaselineRow]:
    """Return the comparisons by the metric of the verdict, or those by the others.

    Only the former show their outcome: they are corrected for the number of baselines. Among the others, baselines with the
    same figures share a row: forecasts of no move differ in their spread only.
    """
    comparisons = choose_comparisons(evaluation, by_verdict_metric)
    alike = [[each] for each in comparisons] if by_verdict_metric else _group_alike(comparisons)
    comparisons = [same[0] for same in alike]
    labels = {forecaster.name: forecaster.label for forecaster in evaluation.forecasters}
    return [
        BaselineRow(
            baseline=" · ".join(name_baseline(one, labels, words) for one in same),
            metric=name_metric(each.metric, words),
            css=STYLES.get(each.outcome, "unknown") if judged else "",
            verdict=write_outcome(each, words) if judged else "",
            skill=_format_skill(each.skill, each.metric, words, sign=True),
            interval=_format_interval(each, words),
            p=format_p_value(each.p_adjusted if math.isfinite(each.p_adjusted) else each.p_value),
            sentence=write_sentence(each, evaluation, words, judged),
            bar=bar,
        )
        for same, each, bar in zip(alike, comparisons, _build_bars(comparisons))
        for judged in [by_verdict_metric and has_badge(each.baseline)]
    ]


def _group_alike(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Return comparisons with the same figures together, in the order of the first of them."""
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for each in comparisons:
        figures = map(repr, (each.skill, each.low, each.high, each.p_value))
        groups.setdefault((each.metric, *figures), []).append(each)
    return list(groups.values())


def _format_interval(comparison: Comparison, words: Words) -> str:
    if not (math.isfinite(comparison.low) and math.isfinite(comparison.high)):
        return ""
    low, high = (_format_skill(value, comparison.metric, words) for value in (comparison.low, comparison.high))
    return f"[{low}, {high}]"


def _format_skill(skill: float, metric: str, words: Words, sign: bool = False) -> str:
    """Format a share of the baseline's error; for direction, a difference of shares."""
    percent = format_percent(skill, 1, sign)
    if metric != "direction" or not math.isfinite(skill):
        return percent
    return words("page.points", n=percent.removesuffix("%"))


def _build_bars(comparisons: Sequence[Comparison]) -> list[Bar | None]:
    """Lay the intervals of the comparisons on one scale that includes 0."""
    triples = [[min(max(v, -1.0), 1.0) for v in (c.low, c.high, c.skill) if math.isfinite(v)] for c in comparisons]
    values = [0.0, *(value for triple in triples if len(triple) == 3 for value in triple)]
    bottom, span = min(values), max(values) - min(values)
    if not span:
        return [None] * len(triples)

    def place(value: float) -> float:
        return round(4 + 92 * (value - bottom) / span, 1)

    return [Bar(place(0), *map(place, triple)) if len(triple) == 3 else None for triple in triples]


def list_metrics(evaluation: Evaluation, words: Words) -> list[Group]:
    """Return the figures of all forecasters, of log returns and of prices."""
    of_returns = [forecaster.log_return for forecaster in evaluation.forecasters]
    of_prices = [forecaster.price for forecaster in evaluation.forecasters]
    groups = []
    for key, columns in (("log_returns", of_returns), ("prices", of_prices)):
        names = dict.fromkeys(name for figures in columns for name in figures)
        rows = tuple(
            _build_metric(name, [each.get(name) for each in columns], columns is of_returns, words) for name in names
        )
        groups.append(Group(words(f"page.{key}"), rows))
    return [group for group in groups if group.rows]


def list_seconds(evaluation: Evaluation, words: Words) -> Row:
    """Return how long each forecaster took."""
    seconds = (f"{each.seconds:,.1f}" if each.seconds >= 0.1 else "< 0.1" for each in evaluation.forecasters)
    return Row(words("page.seconds"), tuple(map(Cell, seconds)))


def list_meanings(evaluation: Evaluation, words: Words) -> list[tuple[str, str]]:
    """Return the labels of the metrics and how to read them."""
    names = dict.fromkeys(name for each in evaluation.forecasters for name in (*each.log_return, *each.price))
    return [(name_metric(name, words), name_metric(name, words, "meaning")) for name in names]


def list_forecaster_meanings(evaluation: Evaluation, words: Words) -> list[tuple[str, str]]:
    """Return what the baselines do, for readers who do not know them."""
    return [
        (name_forecaster(each.label, words), words(f"forecaster_meanings.{each.name}"))
        for each in evaluation.forecasters
        if words.has(f"forecaster_meanings.{each.name}")
    ]


def _build_metric(metric: str, figures: Sequence[HorizonFigures | None], of_returns: bool, words: Words) -> Row:
    kind, head = FIGURE_KINDS[metric], name_metric(metric, words)
    if kind.unit == "price" and of_returns:
        head += " (bp)"
    texts = format_figures([each.overall if each else math.nan for each in figures], kind, of_returns)
    intervals = (format_interval(each.low, each.high, kind.unit == "share") if each else "" for each in figures)
    return Row(head, tuple(map(Cell, texts, intervals)))


def format_interval(low: float, high: float, is_share: bool) -> str:
    """Format the interval of a figure, if there is one. The hit rate of a forecast of no move is always one half."""
    if not math.isfinite(low + high) or low == high:
        return ""
    if is_share:
        return f"{100 * low:.0f}–{100 * high:.0f}%"
    return f"[{format_number(low, 3)}, {format_number(high, 3)}]"


def list_calibration(evaluation: Evaluation, words: Words) -> list[Row]:
    """Return coverage and width of each band, before and after."""
    calibration = evaluation.calibration
    if calibration is None:
        return []
    both, rows = (calibration.before, calibration.after), []
    for level in calibration.before.coverage:
        shares = [format_percent(bands.coverage[level].overall) for bands in both]
        widths = format_numbers([BASIS_POINTS * bands.width[level].overall for bands in both])
        rows.append(Row(words("charts.band", level=level), tuple(map(Cell, (*shares, *widths)))))
    return rows


def list_health(evaluation: Evaluation, words: Words) -> list[Row]:
    """Return the tokenizer's figures before and after training."""
    health = evaluation.tokenizer
    if health is None:
        return []
    columns = (health.before, health.after)
    counts = [format_count(each.n_windows if each else math.nan) for each in columns]
    rows = [Row(words("page.n_windows"), tuple(map(Cell, counts)))]
    for name, kind in HEALTH_FIGURES.items():
        values = [getattr(each, name) if each else math.nan for each in columns]
        rows.append(Row(words(f"page.{name}"), tuple(map(Cell, format_figures(values, kind, of_returns=False)))))
    return rows
