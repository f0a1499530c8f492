"""The page of an evaluation: one file in English and Chinese that needs no other file and no network, and its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape as escape_html
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from kronos.config import Config
from kronos.config.load import dump_config
from kronos.config.schema import LANGUAGES, Language
from kronos.evaluation.results import Evaluation
from kronos.files import write_text
from kronos.report.charts.chart import Chart, ChartSeries
from kronos.report.charts.chart_figure import build_panel
from kronos.report.charts.chart_picture import draw_chart
from kronos.report.charts.charts import build_charts
from kronos.report.charts.learning import StageCurves, read_learning_curves
from kronos.report.drawing import Picture, draw_meanwhile
from kronos.report.fonts import can_draw
from kronos.report.verdict.audit_view import read_audit
from kronos.report.verdict.detail_tables import (
    list_clock_times,
    list_direction,
    list_money,
    list_symbols,
    list_value_at_risk,
    write_value_at_risk,
)
from kronos.report.verdict.drift_view import build_drift
from kronos.report.verdict.examples import (
    ExampleForecast,
    LegendItem,
    build_example_figure,
    format_figure,
    lay_out,
    list_legend,
    list_pictures,
    title_example,
)
from kronos.report.verdict.first_screen import build_first_screen
from kronos.report.verdict.provenance import list_provenance
from kronos.report.verdict.tables import (
    Group,
    Row,
    list_baselines,
    list_calibration,
    list_forecaster_meanings,
    list_health,
    list_meanings,
    list_metrics,
    list_seconds,
)
from kronos.report.words.answers import write_headline
from kronos.report.words.catalogue import Words, make_safe, read_texts
from kronos.report.words.labels import Labels
from kronos.report.words.numbers import format_count, format_level
from kronos.report.words.sentences import name_forecaster, name_metric, write_note, write_units
from kronos.report.words.times import list_times
from kronos.run_folder import ReportFolder, RunFolder
from kronos.timing import read_clock, timed

TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
CHARTS = ("learning_curves", "error_by_horizon", "skill_by_horizon", "coverage", "pit", "reliability", "calibration")
KINDS = ("best", "median", "worst")


@dataclass(frozen=True)
class PlotView:
    """A plot of the page: id of its element, title above it. figure: beside the title, of an example. legend: its own."""

    id: str
    title: str
    figure: str = ""
    legend: tuple[LegendItem, ...] = ()


@dataclass(frozen=True)
class ChartView:
    """A chart of the page."""

    caption: str
    columns: int
    legend: tuple[LegendItem, ...]
    panels: tuple[PlotView, ...]


@timed("pictures")
def write_report(
    run_dir: Path,
    evaluation: Evaluation,
    config: Config,
    examples: Sequence[ExampleForecast],
    folder: Path | None = None,
) -> Path:
    """Write index.html, about 5 MB, and what it shows as PNG pictures beside it.

    Losses and the audit are read from run_dir if they are there.

    Args:
        run_dir: the run's folder, wherever it has been moved to.
        config: the run's; report.language is that of the pictures and of the page when it opens.
        examples: the forecasts to show.
        folder: where to write; by default {run_dir}/report.

    Returns:
        The page.

    Raises:
        KronosError: a file cannot be written.
    """
    folder = folder or RunFolder(run_dir).report.path
    curves = read_learning_curves(run_dir, config)
    pictures = _list_pictures(ReportFolder(folder), evaluation, curves, config, examples)
    path = ReportFolder(folder).page
    with draw_meanwhile(pictures):
        page = _render(run_dir, evaluation, curves, config, examples)
    write_text(path, page.encode("utf-8", "replace").decode())  # a file name may hold bytes that are no text
    return path


def _list_pictures(
    folder: ReportFolder,
    evaluation: Evaluation,
    curves: Sequence[StageCurves],
    config: Config,
    examples: Sequence[ExampleForecast],
) -> list[Picture]:
    """Return what draws the charts and the examples. Those that an earlier evaluation left are removed."""
    for path in (*map(folder.chart, CHARTS), *map(folder.example, KINDS)):
        with suppress(OSError):  # if nothing can be removed, writing fails with the reason
            path.unlink()
    language = config.report.language
    words = Words(language if can_draw("".join(read_texts(language).values())) else "en")
    charts = build_charts(evaluation, curves, words)
    longest_first = sorted(charts, key=lambda name: -len(charts[name].panels))  # the processes take turns
    return [
        *(partial(draw_chart, charts[name], folder.chart(name)) for name in longest_first),
        *list_pictures(examples, evaluation, folder, config.report.rising, words),
    ]


def _render(
    run_dir: Path,
    evaluation: Evaluation,
    curves: Sequence[StageCurves],
    config: Config,
    examples: Sequence[ExampleForecast],
) -> str:
    words, rising = Labels(), config.report.rising
    environment = Environment(
        loader=PackageLoader("kronos.report"),
        finalize=make_safe,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["both"] = lambda text: write_both(text, words)
    charts = build_charts(evaluation, curves, words)
    scenes = [lay_out(each, words) for each in examples]
    figures = {
        _panel_id(name, n): build_panel(panel) for name, chart in charts.items() for n, panel in enumerate(chart.panels)
    }
    figures |= {_example_id(each): build_example_figure(scene, rising) for each, scene in zip(examples, scenes)}
    return environment.get_template("report.html.j2").render(
        tag=TAGS[config.report.language],
        words=words,
        evaluation=evaluation,
        charts={name: _view_chart(charts[name]) if name in charts else None for name in CHARTS},
        examples=[_view_example(each, evaluation.metric, words) for each in examples],
        example_legend=list_legend(scenes[0], rising, words) if scenes else (),
        audit=read_audit(run_dir, words),
        config=dump_config(config),
        figures=Markup(_to_script(figures, words)),
        plotly=Markup(get_plotlyjs()),
        **_write_texts(evaluation, words),
        **_list_tables(evaluation, words),
    )


def write_both(text: str, words: Labels) -> Markup:
    """Write a text in both languages, of which the page shows one; once if they are the same."""
    texts = {language: words.write(text, language) for language in LANGUAGES}
    if texts["en"] == texts["zh"]:
        return escape(texts["en"])
    return Markup().join(Markup('<span lang="{}">{}</span>').format(TAGS[each], texts[each]) for each in LANGUAGES)


def _write_texts(evaluation: Evaluation, words: Words) -> dict[str, Any]:
    """Return what the page says beside its tables."""
    created = f"{datetime.fromisoformat(evaluation.created):%Y-%m-%d %H:%M %Z}".strip()
    health = evaluation.tokenizer
    kept = "after" if health and health.kept == "after" else "before"
    return {
        "first": build_first_screen(evaluation, words),
        "headline": write_headline(evaluation, words),
        "drift": build_drift(evaluation, words),
        "clock": list_clock_times(evaluation, words),
        "notes": [write_note(note, words) for note in evaluation.notes],
        "left_out": [(each.baseline, write_note(each.reason, words, "reasons")) for each in evaluation.left_out],
        "baselines_how": words("page.baselines_how", confidence=format_level(evaluation.confidence)),
        "tokenizer_how": words(f"page.tokenizer_how_{kept}"),
        "examples_how": words("page.examples_how", n=format_count(evaluation.n_origins)),
        "made_by": words("page.made_by", version=evaluation.version, created=created),
    }


def _list_tables(evaluation: Evaluation, words: Words) -> dict[str, Any]:
    health, calibration = list_health(evaluation, words), list_calibration(evaluation, words)
    return {
        "facts": _list_facts(evaluation, words),
        "baselines": list_baselines(evaluation, True, words),
        "other_baselines": list_baselines(evaluation, False, words),
        "forecasters": [name_forecaster(forecaster.label, words) for forecaster in evaluation.forecasters],
        "metrics": [*list_metrics(evaluation, words), _ungrouped(list_seconds(evaluation, words))],
        "meanings": list_meanings(evaluation, words),
        "baseline_meanings": list_forecaster_meanings(evaluation, words),
        "calibration": [_ungrouped(*calibration)] if calibration else [],
        "health": [_ungrouped(*health)] if health else [],
        "direction": list_direction(evaluation, words),
        "symbols": list_symbols(evaluation, words),
        "money": list_money(evaluation, words),
        "value_at_risk": list_value_at_risk(evaluation, words),
        "risks": write_value_at_risk(evaluation, words),
        "provenance": list_provenance(evaluation, words),
        "times": list_times(read_clock(), words),
    }


def _ungrouped(*rows: Row) -> Group:
    return Group("", rows)


def _list_facts(evaluation: Evaluation, words: Words) -> list[tuple[str, str]]:
    """Return what was measured, and how."""
    lookback, horizon = (words("page.n_candles", n=format_count(n)) for n in (evaluation.lookback, evaluation.horizon))
    sampling = {"temperature": evaluation.temperature, "top_p": evaluation.top_p, "seed": evaluation.seed}
    rule = {"confidence": format_level(evaluation.confidence), "margin": format_level(evaluation.margin)}
    facts = {
        "measured_on": f"{words(f'splits.{evaluation.split}')} · {evaluation.candles}",
        "symbols": f"{evaluation.n_symbols:,} · {write_units(evaluation.interval, words)}",
        "origins": words("page.every", n=format_count(evaluation.n_origins), stride=evaluation.stride),
        "origin_dates": f"{evaluation.first_origin} – {evaluation.last_origin}",
        "task": f"{lookback} → {horizon}",
        "sampling": words("page.sampled", n=evaluation.n_paths, **sampling),
        "verdict_by": words("page.verdict_rule", metric=name_metric(evaluation.metric, words), **rule),
    }
    return [(words(f"page.{key}"), value) for key, value in facts.items()]


def _view_chart(chart: Chart) -> ChartView:
    panels = tuple(
        PlotView(_panel_id(chart.name, n), panel.title, legend=_view_legend(legend))
        for n, (panel, legend) in enumerate(zip(chart.panels, chart.legends))
    )
    return ChartView(chart.caption, min(chart.columns, len(chart.panels)), _view_legend(chart.legend), panels)


def _view_legend(series: Sequence[ChartSeries]) -> tuple[LegendItem, ...]:
    return tuple(LegendItem(each.label, each.colour, _look(each), each.key) for each in series)


def _look(series: ChartSeries) -> str:
    return "strong" if series.strong and series.style == "line" else series.style


def _view_example(shown: ExampleForecast, metric: str, words: Words) -> PlotView:
    return PlotView(
        _example_id(shown), title_example(shown.example, words), format_figure(shown.example, metric, words)
    )


def _panel_id(name: str, n: int) -> str:
    return f"{name}-{n + 1}"


def _example_id(shown: ExampleForecast) -> str:
    return f"example-{shown.example.kind}"


def _to_script(figures: dict[str, Any], words: Labels) -> str:
    """Write figures and their texts as JSON that no text in it can end."""
    used = words.collect(json.dumps(figures, ensure_ascii=False))
    texts = {language: {n: escape_html(text) for n, text in each.items()} for language, each in used.items()}
    values = {"charts": figures, "texts": texts}
    return json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
