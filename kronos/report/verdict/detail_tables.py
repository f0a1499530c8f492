"""The tables of the page on direction, symbols, clock times, money and the value at risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from kronos.evaluation.records import HitRate, RiskTest
from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.scores.value_at_risk import LEVELS, count_needed_paths
from kronos.evaluation.skill import find_skill
from kronos.report.verdict.tables import Cell, Row, format_interval
from kronos.report.words.answers import find_pretrained, name_baseline
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import (
    BASIS_POINTS,
    format_count,
    format_level,
    format_number,
    format_p_value,
    format_percent,
)
from kronos.report.words.sentences import name_forecaster, name_metric

DIRECTION_METRICS = ("direction", "brier", "auc", "f1")
FEW_SYMBOLS = 20  # of a table that is shown whole; of more, the best and the worst ten
THIRDS = ("least_sure", "middle_third", "surest")


@dataclass(frozen=True)
class Table:
    """A table of the page. how: the text above it."""

    how: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


def list_direction(evaluation: Evaluation, words: Words) -> Table | None:
    """Return how good the probabilities of a rise are; None if no forecaster has any."""
    columns = [each for each in evaluation.forecasters if each.direction]
    if not columns or not columns[0].direction:
        return None
    known = columns[0].direction
    rows = []
    for metric in DIRECTION_METRICS:
        figures = [each.log_return.get(metric) for each in columns]
        if any(figures):
            cells = (_figure(figure.overall if figure else nan, metric == "direction") for figure in figures)
            intervals = (
                format_interval(figure.low, figure.high, metric == "direction") if figure else "" for figure in figures
            )
            rows.append(Row(name_metric(metric, words), tuple(map(Cell, cells, intervals))))
    for key in THIRDS:
        thirds = [_name_thirds(each.direction.thirds).get(key) if each.direction else None for each in columns]
        if any(thirds):
            rows.append(Row(words(f"page.{key}"), tuple(_hit_rate(each) for each in thirds)))
    how = words("page.direction_how", up=format_percent(known.up_share), brier=format_number(known.base_rate_brier, 4))
    return Table(how, tuple(name_forecaster(each.label, words) for each in columns), tuple(rows))


def _name_thirds(rates: Sequence[HitRate]) -> dict[str, HitRate]:
    """Return hit rates by name. With few paths many forecasts are equally sure: two parts are the outer ones, one has no name."""
    names = THIRDS if len(rates) == len(THIRDS) else (THIRDS[0], THIRDS[-1])
    return dict(zip(names, rates)) if len(rates) > 1 else {}


def _figure(value: float, is_share: bool) -> str:
    return format_percent(value) if is_share else format_number(value, 4)


def _hit_rate(rate: HitRate | None) -> Cell:
    if rate is None:
        return Cell("–")
    return Cell(format_percent(rate.share), format_interval(rate.low, rate.high, True))


def list_symbols(evaluation: Evaluation, words: Words) -> list[Table]:
    """Return the skill by symbol against the pretrained model and against the headline's baseline."""
    found = [find_pretrained(evaluation), find_skill(evaluation).comparison]
    return [_build_symbols(each, evaluation, words) for each in found if each and each.by_symbol]


def _build_symbols(comparison: Comparison, evaluation: Evaluation, words: Words) -> Table:
    ranked = sorted(comparison.by_symbol, key=lambda each: -each.skill if isfinite(each.skill) else float("inf"))
    known = [each for each in ranked if isfinite(each.skill)]
    better = sum(each.skill > 0 for each in known)
    how = words(
        "page.symbols_how",
        baseline=name_baseline(comparison.baseline, evaluation, words),
        better=format_count(better),
        n=format_count(len(ranked)),
        best=known[0].symbol if known else "–",
        worst=known[-1].symbol if known else "–",
        best_skill=format_percent(known[0].skill if known else nan, 1, sign=True),
        worst_skill=format_percent(known[-1].skill if known else nan, 1, sign=True),
    )
    shown = ranked if len(ranked) <= FEW_SYMBOLS else [*ranked[: FEW_SYMBOLS // 2], *ranked[-FEW_SYMBOLS // 2 :]]
    rows = (
        Row(each.symbol, (Cell(format_percent(each.skill, 1, sign=True)), Cell(format_count(each.n_origins))))
        for each in shown
    )
    return Table(how, (words("page.skill"), words("page.n_origins")), tuple(rows))


@dataclass(frozen=True)
class ClockBar:
    """The origins at one time of day. height: in per cent of the highest."""

    time: str
    n: int
    height: float


@dataclass(frozen=True)
class ClockTimes:
    """How the origins are spread over the times of day."""

    how: str
    bars: tuple[ClockBar, ...]


def list_clock_times(evaluation: Evaluation, words: Words) -> ClockTimes | None:
    """Return the origins by time of day; None for candles of a day or more."""
    times = dict(sorted(evaluation.clock_times.items()))
    if not times:
        return None
    most = max(times.values()) or 1
    n_times = max(evaluation.n_clock_times, len(times))
    key = "clock_all" if len(times) == n_times else "clock_one" if len(times) == 1 else "clock_some"
    values = {"n": format_count(len(times)), "of": format_count(n_times), "first": next(iter(times))}
    bars = tuple(ClockBar(time, n, round(100 * n / most, 1)) for time, n in times.items())
    return ClockTimes(words(f"page.{key}", least=min(times.values()), most=most, **values), bars)


def list_money(evaluation: Evaluation, words: Words) -> Table | None:
    """Return the returns of trading rules after costs; None if they were not asked for."""
    money = evaluation.money
    if money is None:
        return None
    rows = []
    for each in money.trades:
        cells = (
            Cell(_basis_points(each.mean), f"[{_basis_points(each.low)}, {_basis_points(each.high)}]"),
            Cell(format_number(each.turnover, 2)),
            Cell(format_percent(each.in_market)),
            Cell(format_count(each.n_trades)),
        )
        rows.append(Row(words(f"money.rules.{each.rule}"), cells))
    heads = tuple(words(f"page.{key}") for key in ("mean_return", "turnover", "in_market", "n_trades"))
    return Table(words("money.heading", costs=money.costs_bp, n=money.n_origins), heads, tuple(rows))


def _basis_points(value: float) -> str:
    return format_number(BASIS_POINTS * value, 1)


def list_value_at_risk(evaluation: Evaluation, words: Words) -> Table | None:
    """Return the backtests of the value at risk; None if it was not measured. `write_value_at_risk` says what they mean."""
    found = evaluation.value_at_risk
    if found is None:
        return None
    rows = []
    for each in found.tests:
        cells = (
            Cell(format_count(each.n_exceeded)),
            Cell(format_number(each.n_expected, 1)),
            Cell(format_p_value(each.p_coverage)),
            Cell(format_p_value(each.p_independence)),
            Cell(format_percent(each.share), format_interval(each.low, each.high, True)),
        )
        rows.append(Row(words("risk.level", level=format_level(each.level)), cells))
    heads = tuple(words(f"risk.{key}") for key in ("exceptions", "expected", "p_number", "p_order", "of_all"))
    sentences = [
        words("risk.how", n=format_count(found.n_origins)),
        *([words("risk.how_symbols")] if evaluation.n_symbols > 1 else []),
        words("risk.calibrated" if found.calibrated else "risk.sampled"),
        words("risk.how_tests"),
    ]
    return Table(words("verdict.space").join(sentences), heads, tuple(rows))


def write_value_at_risk(evaluation: Evaluation, words: Words) -> list[str]:
    """Return what was found for each level; nothing if it was not measured."""
    found = evaluation.value_at_risk
    if found is None:
        return []
    missing = [level for level in LEVELS if level not in [each.level for each in found.tests]]
    return [
        *(_describe_risk_test(each, found.n_origins, words) for each in found.tests),
        *(words("risk.left_out", level=format_level(each), n=count_needed_paths(each)) for each in missing),
    ]


def _describe_risk_test(test: RiskTest, n_origins: int, words: Words) -> str:
    values = {
        "level": format_level(test.level),
        "exceeded": format_count(test.n_exceeded),
        "expected": format_number(test.n_expected, 1),
        "n": format_count(n_origins),
    }
    text = words(f"risk.outcomes.{test.outcome}", **values)
    return text if test.independent else words("verdict.space").join([text, words("risk.dependent")])
