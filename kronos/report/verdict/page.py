"""The report of an evaluation: one page in English and Chinese that needs no other file and no network, and its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from kronos.config import Config
from kronos.config.load import dump_config
from kronos.evaluation.metric_labels import METRIC_LABELS
from kronos.evaluation.results import LANGUAGES, Evaluation, Language, Texts
from kronos.files import write_text
from kronos.report.charts.chart import Chart, ChartSeries
from kronos.report.charts.chart_figure import build_panel
from kronos.report.charts.chart_picture import draw_chart
from kronos.report.charts.charts import build_charts
from kronos.report.charts.learning import read_learning_curves
from kronos.report.fonts import can_draw
from kronos.report.verdict.audit_view import read_audit
from kronos.report.verdict.examples import (
    ExampleForecast,
    LegendItem,
    build_example_figure,
    draw_examples,
    format_figure,
    list_legend,
    title_example,
)
from kronos.report.verdict.page_script import SCRIPT
from kronos.report.verdict.page_style import STYLE
from kronos.report.verdict.page_template import TEMPLATE
from kronos.report.verdict.tables import (
    Group,
    Row,
    list_baselines,
    list_calibration,
    list_health,
    list_meanings,
    list_metrics,
    list_seconds,
)
from kronos.report.words.numbers import format_count, format_level
from kronos.report.words.page_texts import TEXTS, same, text
from kronos.report.words.page_words import SPLITS, translate_units
from kronos.run_folder import ReportFolder, RunFolder

__all__ = ["ExampleForecast", "write_report"]

TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
CHARTS = ("learning_curves", "error_by_horizon", "skill_by_horizon", "coverage", "pit", "calibration")
KINDS = ("best", "median", "worst")


@dataclass(frozen=True)
class PlotView:
    """A plot of the page: id of its element, title above it. figure: beside the title, of an example. legend: its own."""

    id: str
    title: Texts
    figure: Texts | None = None
    legend: tuple[LegendItem, ...] = ()


@dataclass(frozen=True)
class ChartView:
    """A chart of the page."""

    caption: Texts
    columns: int
    legend: tuple[LegendItem, ...]
    panels: tuple[PlotView, ...]


def write_report(
    run_dir: Path,
    evaluation: Evaluation,
    config: Config,
    examples: Sequence[ExampleForecast],
    folder: Path | None = None,
) -> Path:
    """Write index.html, about 5 MB, and what it shows as PNG pictures beside it.

    Losses and the audit are read from run_dir, as far as they are there.

    Args:
        run_dir: the run's folder, wherever it has been moved to.
        config: the run's; report.language is that of the pictures and of the page when it is opened.
        examples: the forecasts to show.
        folder: where to write; none: {run_dir}/report.

    Returns:
        The page.

    Raises:
        KronosError: a file cannot be written.
    """
    folder = folder or RunFolder(run_dir).report.path
    charts = build_charts(evaluation, read_learning_curves(run_dir, config))
    _write_pictures(folder, charts, evaluation, config, examples)
    path = ReportFolder(folder).page
    page = _render(run_dir, evaluation, config, charts, examples)
    write_text(path, page.encode("utf-8", "replace").decode())  # a file name may hold what is no text
    return path


def _write_pictures(
    folder: Path,
    charts: dict[str, Chart],
    evaluation: Evaluation,
    config: Config,
    examples: Sequence[ExampleForecast],
) -> None:
    """Draw charts and examples anew; those of an earlier evaluation that this one has not are removed."""
    for name in (*CHARTS, *(f"example_{kind}" for kind in KINDS)):
        with suppress(OSError):  # where nothing can be removed nothing can be written, which says why
            (folder / f"{name}.png").unlink()
    language = config.report.language
    if not can_draw("".join(words[language] for words in TEXTS.values())):
        language = "en"
    for name, chart in charts.items():
        draw_chart(chart, folder / f"{name}.png", language)
    draw_examples(examples, evaluation, folder, config.report.rising, language)


def _render(
    run_dir: Path,
    evaluation: Evaluation,
    config: Config,
    charts: dict[str, Chart],
    examples: Sequence[ExampleForecast],
) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["both"] = write_both
    rising = config.report.rising
    figures = {
        _panel_id(name, n): _merge(build_panel(panel, "en"), build_panel(panel, "zh"))
        for name, chart in charts.items()
        for n, panel in enumerate(chart.panels)
    }
    figures |= {
        _example_id(each): _merge(build_example_figure(each, rising, "en"), build_example_figure(each, rising, "zh"))
        for each in examples
    }
    return environment.from_string(TEMPLATE).render(
        tag=TAGS[config.report.language],
        t=_all_texts(),
        evaluation=evaluation,
        charts={name: _view_chart(charts[name]) if name in charts else None for name in CHARTS},
        examples=[
            PlotView(_example_id(each), title_example(each.example), format_figure(each.example, evaluation.metric))
            for each in examples
        ],
        example_legend=list_legend(examples[0], rising) if examples else (),
        config=dump_config(config),
        figures=Markup(_to_script(figures)),
        style=Markup(STYLE),
        script=Markup(SCRIPT),
        plotly=Markup(get_plotlyjs()),
        **_tables(evaluation),
        **_audit(run_dir),
    )


def write_both(words: Texts) -> Markup:
    """Write a text in both languages, of which the page shows one; a name that is the same in both only once."""
    kept = {each: words[each].replace(" %", "\N{NO-BREAK SPACE}%") for each in LANGUAGES}
    if kept["en"] == kept["zh"]:
        return escape(kept["en"])
    return Markup().join(Markup('<span lang="{}">{}</span>').format(TAGS[each], kept[each]) for each in LANGUAGES)


def _all_texts() -> dict[str, Texts]:
    """Return the texts of the page by the name of the section or the place."""
    return TEXTS | {"learning_curves": text("learning"), "error_by_horizon": text("error")}


def _tables(evaluation: Evaluation) -> dict[str, Any]:
    confidence = format_level(evaluation.confidence)
    health, calibration = list_health(evaluation), list_calibration(evaluation)
    kept = "kept_after" if evaluation.tokenizer and evaluation.tokenizer.kept == "after" else "kept_before"
    metric = METRIC_LABELS[evaluation.metric].label
    return {
        "facts": _list_facts(evaluation),
        "baselines": list_baselines(evaluation, by_verdict_metric=True),
        "other_baselines": list_baselines(evaluation, by_verdict_metric=False),
        "baselines_how": text("baselines_how", confidence=confidence),
        "forecasters": [forecaster.label for forecaster in evaluation.forecasters],
        "metrics": [*list_metrics(evaluation), _ungrouped(list_seconds(evaluation))],
        "meanings": list_meanings(evaluation),
        "calibration": [_ungrouped(*calibration)] if calibration else [],
        "health": [_ungrouped(*health)] if health else [],
        "tokenizer_how": text("tokenizer_how", kept=text(kept)),
        "examples_how": text("examples_how", n=format_count(evaluation.n_origins), metric=metric),
        "made_by": text("made_by", version=evaluation.version, created=_format_time(evaluation.created)),
    }


def _audit(run_dir: Path) -> dict[str, Any]:
    audit = read_audit(run_dir)
    return {"audit": audit, "all_series": text("all_series", n=format_count(audit.n_series)) if audit else None}


def _ungrouped(*rows: Row) -> Group:
    return Group(same(""), rows)


def _list_facts(evaluation: Evaluation) -> list[tuple[Texts, Texts]]:
    """Return what was measured, and how."""
    lookback, horizon = (text("n_candles", n=format_count(n)) for n in (evaluation.lookback, evaluation.horizon))
    dates = f"{evaluation.first_origin} – {evaluation.last_origin}"
    rule = text(
        "verdict_rule",
        metric=METRIC_LABELS[evaluation.metric].label,
        confidence=format_level(evaluation.confidence),
        margin=format_level(evaluation.margin),
    )
    sampled = text(
        "sampled", n=evaluation.n_paths, t=f"{evaluation.temperature:g}", p=f"{evaluation.top_p:g}", s=evaluation.seed
    )
    interval = translate_units(evaluation.interval)
    return [
        (text("measured_on"), {each: f"{SPLITS[evaluation.split][each]} · {evaluation.candles}" for each in LANGUAGES}),
        (text("symbols"), {each: f"{evaluation.n_symbols:,} · {interval[each]}" for each in LANGUAGES}),
        (text("origins"), text("every", n=format_count(evaluation.n_origins), stride=evaluation.stride)),
        (text("origin_dates"), same(dates)),
        (text("task"), {each: f"{lookback[each]} → {horizon[each]}" for each in LANGUAGES}),
        (text("sampling"), sampled),
        (text("verdict_by"), rule),
    ]


def _format_time(created: str) -> str:
    return f"{datetime.fromisoformat(created):%Y-%m-%d %H:%M %Z}".strip()


def _view_chart(chart: Chart) -> ChartView:
    legends = [_view_legend(legend) for legend in chart.legends]
    panels = tuple(
        PlotView(_panel_id(chart.name, n), panel.title, legend=legend)
        for n, (panel, legend) in enumerate(zip(chart.panels, legends))
    )
    return ChartView(chart.caption, min(chart.columns, len(chart.panels)), _view_legend(chart.legend), panels)


def _view_legend(series: Sequence[ChartSeries]) -> tuple[LegendItem, ...]:
    return tuple(LegendItem(each.label, each.colour, _look(each), each.key) for each in series)


def _look(series: ChartSeries) -> str:
    return "strong" if series.strong and series.style == "line" else series.style


def _panel_id(name: str, n: int) -> str:
    return f"{name}-{n + 1}"


def _example_id(shown: ExampleForecast) -> str:
    return f"example-{shown.example.kind}"


def _merge(en: Any, zh: Any) -> Any:
    """Return plain values with what is the same in both languages once, and the rest as {"en": …, "zh": …}."""
    if en == zh:
        return en
    if isinstance(en, dict) and isinstance(zh, dict) and en.keys() == zh.keys():
        return {key: _merge(en[key], zh[key]) for key in en}
    if isinstance(en, list) and isinstance(zh, list) and len(en) == len(zh):
        return [_merge(*pair) for pair in zip(en, zh)]
    return {"en": en, "zh": zh}


def _to_script(values: Any) -> str:
    """Write plain values as JSON that no text in it can end."""
    return json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
