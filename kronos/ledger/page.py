"""The page of a ledger: figures, their course over weeks, and alarms, in one file without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite, log10
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from kronos.config.schema import Language
from kronos.files import write_text
from kronos.ledger.alarms import COVERAGE_RANGE, Alarm
from kronos.ledger.health import Figures, Health
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import NO_FIGURE

TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
MOST_ROWS = 200
COLUMNS = ("forecasts", "coverage_50", "coverage_80", "coverage_90", "crps", "hits")


@dataclass(frozen=True)
class Row:
    """A row of the table; a heading has no cells."""

    name: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A drawing in a square of 100 by 100 from the top left: a course as a line, or bars (x, width, y, height).

    band: the top and the height of the range; line: the height of a value to compare with. first, range, last: below it.
    """

    title: str
    first: str
    range: str
    last: str
    points: str = ""
    bars: tuple[tuple[float, ...], ...] = ()
    band: tuple[float, float] | None = None
    line: float | None = None


def write_page(path: Path, health: Sequence[Health], ledger: Path, seal: str, language: Language) -> None:
    """Write the page.

    Raises:
        WriteError: it cannot be written.
    """
    words = Words(language)
    environment = Environment(loader=PackageLoader("kronos.report"), autoescape=True, undefined=StrictUndefined)
    runs = [
        {
            "health": each,
            "counts": write_counts(each, words),
            "alarms": [{"is_on": alarm.is_on, "text": write_alarm(alarm, words)} for alarm in each.alarms],
            "rows": list(list_rows(each, words)) if each.overall.n_steps else [],
            "plots": list(_list_plots(each, words)) if each.overall.n_steps else [],
        }
        for each in health
    ]
    heads = [words(f"score.column.{key}") for key in COLUMNS]
    values = {"tag": TAGS[language], "words": words, "ledger": ledger, "seal": seal, "runs": runs, "heads": heads}
    write_text(
        path, environment.get_template("health.html.j2").render(**values, time=f"{datetime.now():%Y-%m-%d %H:%M}")
    )


def list_rows(health: Health, words: Words, most: int = MOST_ROWS) -> Iterator[Row]:
    """Yield the rows of the table: all forecasts, then those of each symbol and each week if there are several.

    Args:
        most: how many symbols, and how many of the newest weeks.
    """
    yield Row(words("score.all"), format_cells(health.overall))
    symbols, weeks = dict(list(health.by_symbol.items())[:most]), dict(list(health.by_week.items())[-most:])
    for heading, shown, n in (("symbols", symbols, len(health.by_symbol)), ("weeks", weeks, len(health.by_week))):
        if n > 1:
            yield Row(words(f"score.{heading}") + (f" ({words('score.of', n=n)})" if n > most else ""))
            yield from (Row(name, format_cells(figures)) for name, figures in shown.items())


def format_cells(figures: Figures) -> tuple[str, ...]:
    """Return the figures of a row, in the order of COLUMNS."""
    coverage = (f"{share:.0%}" for share in figures.coverage.values())
    ratio = f"{figures.crps_ratio:.3f}" if isfinite(figures.crps_ratio) else NO_FIGURE
    hits = f"{figures.hits:.0%}" if isfinite(figures.hits) else NO_FIGURE
    return (f"{figures.n_forecasts:,}", *coverage, ratio, hits)


def write_counts(health: Health, words: Words) -> str:
    """Return how many forecasts count, how many of them wait for candles, and which are left out."""
    n = health.n_forecasts - health.n_late - health.n_repeated
    left_out = [
        words(f"score.{key}", n=count)
        for key, count in (("late", health.n_late), ("repeated", health.n_repeated))
        if count
    ]
    if not health.is_current:
        left_out.append(words("score.replaced"))
    return " ".join([words("score.counts", n=n, n_open=health.n_open), *left_out])


def write_alarm(alarm: Alarm, words: Words) -> str:
    """Return an alarm as a sentence."""
    kind, n = words(f"score.alarm.{alarm.kind}"), len(alarm.wealth)
    if alarm.is_on:
        return words("score.alarm.on", kind=kind, since=f"{alarm.since:%Y-%m-%d %H:%M}", n=n)
    return words("score.alarm.off", kind=kind, wealth=alarm.wealth[-1] if n else 1.0, threshold=alarm.threshold)


def _list_plots(health: Health, words: Words) -> Iterator[Plot]:
    weeks = list(health.by_week)
    if len(weeks) > 1:
        low, high = COVERAGE_RANGE
        coverage = [each.coverage[90] for each in health.by_week.values()]
        ends = weeks[0], "0–100%", weeks[-1]
        yield Plot(words("health.coverage"), *ends, _draw(coverage, 1.0), band=(100 * (1 - high), 100 * (high - low)))
        ratios = [each.crps_ratio for each in health.by_week.values()]
        top = max([1.5, *(each for each in ratios if isfinite(each))])
        yield Plot(
            words("health.ratio"), weeks[0], f"0–{top:.3g}", weeks[-1], _draw(ratios, top), line=100 * (1 - 1 / top)
        )
    most = max(health.pit) or 1
    width = 100 / len(health.pit)
    bars = tuple((i * width + 0.5, width - 1, 100 - 100 * n / most, 100 * n / most) for i, n in enumerate(health.pit))
    mean = 100 - 100 * sum(health.pit) / len(health.pit) / most
    yield Plot(words("health.pit"), "0%", "", "100%", bars=bars, line=mean)
    for alarm in health.alarms:
        if len(alarm.wealth) > 1:
            heights = [max(log10(max(float(each), 1.0)), 0.0) for each in alarm.wealth]
            top = max([log10(alarm.threshold) * 1.2, *heights])
            first, last = (f"{alarm.origins[i]:%Y-%m-%d}" for i in (0, -1))
            title, line = words(f"score.alarm.{alarm.kind}"), 100 - 100 * log10(alarm.threshold) / top
            yield Plot(
                words("health.evidence", kind=title), first, f"1–{10**top:,.0f}", last, _draw(heights, top), line=line
            )


def _draw(values: Sequence[float], top: float) -> str:
    """Return the points of a line through values from 0 to top; unknown ones are left out."""
    step = 100 / max(len(values) - 1, 1)
    return " ".join(
        f"{i * step:.2f},{100 - 100 * value / top:.2f}" for i, value in enumerate(values) if isfinite(value)
    )
