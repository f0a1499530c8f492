"""The tables of the report's page, as texts in both languages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kronos.evaluate.metric_labels import MetricLabel
from kronos.evaluate.results import Comparison, Evaluation, Outcome, Texts
from kronos.report.charts import BASIS_POINTS, choose_comparisons, name_rival
from kronos.report.metric_names import label_metric
from kronos.report.numbers import NO_FIGURE, say_count, say_number, say_numbers, say_p, say_percent
from kronos.report.page_texts import same, text
from kronos.report.page_words import OUTCOMES

SHARES = ("s1_used", "s2_used", "clip_rate")
HEALTH_FIGURES = ("error_bp", "s1_used", "s2_used", "s1_perplexity", "s2_perplexity", "clip_rate")


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
class RivalRow:
    """The run against one rival. css: the verdict as a class. bar: none where there is no interval."""

    rival: Texts
    metric: Texts
    css: str
    verdict: Texts
    skill: Texts
    interval: Texts
    p: str
    sentence: Texts
    bar: Bar | None


def list_rivals(evaluation: Evaluation, by_verdict_metric: bool) -> list[RivalRow]:
    """Return the comparisons by the metric of the verdict, or those by the others."""
    comparisons = choose_comparisons(evaluation, by_verdict_metric)
    labels = {forecaster.name: forecaster.label for forecaster in evaluation.forecasters}
    bars = _build_bars(comparisons)
    return [_build_rival(each, name_rival(each, labels), bar) for each, bar in zip(comparisons, bars)]


def _build_rival(found: Comparison, label: Texts, bar: Bar | None) -> RivalRow:
    css: dict[Outcome, str] = {"helped": "good", "hurt": "bad", "no difference": "same"}
    low, high = (_say_skill(value, found.metric) for value in (found.low, found.high))
    known = math.isfinite(found.low) and math.isfinite(found.high)
    return RivalRow(
        rival=label,
        metric=label_metric(found.metric).label,
        css=css.get(found.outcome, "unknown"),
        verdict=OUTCOMES[found.outcome],
        skill=_say_skill(found.skill, found.metric, sign=True),
        interval={language: f"[{low[language]}, {high[language]}]" for language in low} if known else same(""),
        p=say_p(found.p_value),
        sentence=found.sentence,
        bar=bar,
    )


def _say_skill(skill: float, metric: str, sign: bool = False) -> Texts:
    """A share of the rival's error, or for direction a difference of shares."""
    told = say_percent(skill, 1, sign)
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
    for head, found, unit in ((text("log_returns"), of_returns, "bp"), (text("prices"), of_prices, "")):
        names = list(dict.fromkeys(name for figures in found for name in figures))
        values = {name: [f[name].overall if name in f else math.nan for f in found] for name in names}
        rows = tuple(_build_metric(label_metric(name), figures, unit) for name, figures in values.items())
        groups.append(Group(head, rows))
    return [group for group in groups if group.rows]


def list_seconds(evaluation: Evaluation) -> Row:
    """Return how long each forecaster took."""
    cells = (Cell(same(say_number(forecaster.seconds, 1))) for forecaster in evaluation.forecasters)
    return Row(text("seconds"), tuple(cells))


def list_meanings(evaluation: Evaluation) -> list[tuple[Texts, Texts]]:
    """Return what the metrics are called and how to read them, where that is known."""
    names = dict.fromkeys(name for each in evaluation.forecasters for name in (*each.log_return, *each.price))
    labels = [label_metric(name) for name in names]
    return [(each.label, each.explanation) for each in labels if each.explanation["en"]]


def _build_metric(label: MetricLabel, values: Sequence[float], unit: str) -> Row:
    best = _find_best(values, label.higher_is_better)
    head = label.label
    if label.percent:
        texts = [_per_cent(number) for number in say_numbers([100 * value for value in values], digits=3)]
    elif label.in_units and unit:
        texts = [same(number) for number in say_numbers([BASIS_POINTS * value for value in values])]
        head = {language: f"{words} ({unit})" for language, words in head.items()}
    else:
        texts = [same(number) for number in say_numbers(values)]
    return Row(head, tuple(Cell(each, value == best) for each, value in zip(texts, values)))


def _per_cent(number: str) -> Texts:
    return same(number) if number == NO_FIGURE else {"en": f"{number}\N{NO-BREAK SPACE}%", "zh": f"{number}%"}


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
        cells = [Cell(say_percent(share)) for share in shares]
        cells += [Cell(same(number)) for number in say_numbers(widths)]
        rows.append(Row(text("band", level=level), tuple(cells)))
    return rows


def list_health(evaluation: Evaluation) -> list[Row]:
    """Return the tokenizer's figures before and after training."""
    health = evaluation.tokenizer
    if health is None:
        return []
    columns = (health.before, health.after)
    counts = [each.n_windows if each else math.nan for each in columns]
    rows = [Row(text("n_windows"), tuple(Cell(same(say_count(count))) for count in counts))]
    for name in HEALTH_FIGURES:
        values = [getattr(each, name) if each else math.nan for each in columns]
        if name in SHARES:
            texts = [_per_cent(number) for number in say_numbers([100 * value for value in values], digits=3)]
        else:
            texts = [same(number) for number in say_numbers(values)]
        rows.append(Row(text(name), tuple(map(Cell, texts))))
    return rows
