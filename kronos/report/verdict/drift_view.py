"""The invented drift on the verdict's page: the answer, a scale from 0, and a table."""

from dataclasses import dataclass
from math import isfinite

from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import Evaluation
from kronos.report.verdict.detail_tables import Table
from kronos.report.verdict.tables import Cell, Row
from kronos.report.words.catalogue import Words
from kronos.report.words.drift import DriftText, name_model, write_drift, write_drift_figure
from kronos.report.words.numbers import format_count, format_level, format_percent

LEAST_SPAN = 0.5  # right end of the scale
STYLES = {"none": "good", "drift": "bad"}
FIGURES = ("drift", "shared_drift", "width", "coverage", "cost")


@dataclass(frozen=True)
class DriftRow:
    """A model on the scale, in per cent of its width. outcome: as a class of the page's style."""

    label: str
    figure: str
    low: float
    high: float
    middle: float
    outcome: str


@dataclass(frozen=True)
class DriftView:
    """margin: the end of the harmless part of the scale, in per cent of its width; harmless: its legend. end: a label."""

    text: DriftText
    rows: tuple[DriftRow, ...]
    margin: float
    harmless: str
    end: str
    table: Table


def build_drift(evaluation: Evaluation, words: Words) -> DriftView | None:
    """Return what the page shows of the invented drift, the model before fine-tuning first; None if it was not measured."""
    text = write_drift(evaluation, words)
    if text is None:
        return None
    measured = evaluation.invented_drift[::-1]
    ends = [end for each in measured for end in (each.drift.overall, each.drift.high) if isfinite(end)]
    span = max([LEAST_SPAN, *(1.1 * end for end in ends)])

    def place(value: float, otherwise: float) -> float:
        return round(100 * min((value if isfinite(value) else otherwise) / span, 1.0), 1)

    rows = []
    for each in measured:
        middle = each.drift.overall
        low, high = place(each.drift.low, middle), place(each.drift.high, middle)
        label, figure = name_model(each, evaluation, words), write_drift_figure(each.drift, words)
        rows.append(DriftRow(label, figure, low, high, place(middle, 0.0), STYLES.get(each.outcome, "unknown")))
    largest = evaluation.invented_drift[0].largest_drift
    level = format_level(evaluation.confidence)
    harmless = words("drift.harmless", largest=format_percent(largest, 0), level=level)
    end = format_percent(span, 0)
    return DriftView(text, tuple(rows), place(largest, 0.0), harmless, end, _build_table(evaluation, words))


def _build_table(evaluation: Evaluation, words: Words) -> Table:
    measured = evaluation.invented_drift[::-1]
    heads = tuple(name_model(each, evaluation, words) for each in measured)
    rows = [
        Row(words(f"drift.rows.{name}"), tuple(_format(getattr(each, name), name == "cost") for each in measured))
        for name in FIGURES
        if all(getattr(each, name) for each in measured)
    ]
    n_walks = tuple(Cell(format_count(each.n_walks)) for each in measured)
    return Table(words("drift.table_how"), heads, (*rows, Row(words("drift.rows.n_walks"), n_walks)))


def _format(figure: HorizonFigures, sign: bool) -> Cell:
    text = format_percent(figure.overall, 1, sign)
    if not isfinite(figure.low + figure.high):
        return Cell(text)
    low, high = (format_percent(end, 1, sign).removesuffix("%") for end in (figure.low, figure.high))
    return Cell(text, f"[{low}, {high}]")
