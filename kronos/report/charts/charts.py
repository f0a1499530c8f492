"""The charts of the report, from what an evaluation found."""

import math
import re
from collections.abc import Sequence

from kronos.evaluation.metric_labels import METRIC_LABELS
from kronos.evaluation.results import PIT_BINS, CalibrationResult, Comparison, Evaluation, ForecasterResult, Texts
from kronos.report.charts.chart import (
    RUN_COLOUR,
    Chart,
    ChartSeries,
    Panel,
    Style,
    build_chart,
    choose_colour,
    choose_range,
    choose_style,
    choose_ticks,
    pad,
)
from kronos.report.charts.learning import StageCurves
from kronos.report.words.numbers import BASIS_POINTS, format_level
from kronos.report.words.page_texts import same, text
from kronos.report.words.page_words import STAGES

ERRORS = ("crps", "mae")
BAND_COLOURS = ("#4598D3", RUN_COLOUR, "#0B2E5C")  # the run's, from light to dark: 50, 80, 90 %
BEFORE_COLOUR = "#D55E00"
PER_CENT = (-100.0, 100.0)


def build_charts(evaluation: Evaluation, stages: Sequence[StageCurves]) -> dict[str, Chart]:
    """Return the charts for which there are figures, by name, in the order of the page."""
    charts = [
        build_learning_chart(stages),
        build_error_chart(evaluation),
        build_skill_chart(evaluation),
        build_coverage_chart(evaluation),
        build_pit_chart(evaluation),
        build_calibration_chart(evaluation.calibration),
    ]
    return {chart.name: chart for chart in charts if chart}


def build_learning_chart(stages: Sequence[StageCurves]) -> Chart | None:
    """Draw the losses of both stages over the steps."""
    panels = []
    for stage in stages:
        series = (
            ChartSeries(text("train_loss"), *_columns(stage.train), colour="#767676"),
            ChartSeries(text("val_loss"), *_columns(stage.validation), colour=RUN_COLOUR, strong=True),
            ChartSeries(text("kept_model"), *_columns(stage.kept), colour=BEFORE_COLOUR, style="star"),
        )
        last = max((int(step) for step, _ in (*stage.train, *stage.validation)), default=1)
        panels.append(
            Panel(
                STAGES[stage.name],
                text("step"),
                text("loss"),
                series,
                (),
                choose_ticks(0, last or 1),
                pad(0, last or 1),
            )
        )
    return build_chart("learning_curves", text("learning"), text("learning_how"), panels)


def build_error_chart(evaluation: Evaluation) -> Chart | None:
    """Draw the errors of each forecaster over the horizon."""
    panels = []
    for metric in ERRORS:
        series = tuple(
            _by_horizon(forecaster.label, position, _scale(found.by_horizon, BASIS_POINTS))
            for position, forecaster in enumerate(evaluation.forecasters)
            if (found := forecaster.log_return.get(metric))
        )
        panels.append(_horizon_panel(evaluation, METRIC_LABELS[metric].label, text("basis_points"), series))
    return build_chart("error_by_horizon", text("error"), text("error_how"), panels)


def build_skill_chart(evaluation: Evaluation) -> Chart | None:
    """Draw the run's skill against each baseline over the horizon, with its intervals."""
    comparisons = choose_comparisons(evaluation)
    labels = {forecaster.name: forecaster.label for forecaster in evaluation.forecasters}
    curves = [
        ChartSeries(
            text("run_skill"),
            range(1, len(each.skill_by_horizon) + 1),
            _scale(each.skill_by_horizon, 100),
            RUN_COLOUR,
            strong=True,
            low=_scale(each.low_by_horizon, 100),
            high=_scale(each.high_by_horizon, 100),
        )
        for each in comparisons
    ]
    y_range = choose_range(curves, *PER_CENT, 0.0)
    unit = text("skill_points" if evaluation.metric == "direction" else "skill_unit")
    panels = [
        _horizon_panel(
            evaluation,
            text("against", baseline=name_baseline(each, labels)),
            unit,
            (curve,),
            levels=(0.0,),
            y_range=y_range,
        )
        for each, curve in zip(comparisons, curves)
    ]
    caption = text(
        "skill_by_horizon_how",
        metric=METRIC_LABELS[evaluation.metric].label,
        confidence=format_level(evaluation.confidence),
    )
    return build_chart("skill_by_horizon", text("skill_by_horizon"), caption, panels, columns=3)


def choose_comparisons(evaluation: Evaluation, by_verdict_metric: bool = True) -> list[Comparison]:
    """Return the comparisons by the metric of the verdict, or all others."""
    return [each for each in evaluation.comparisons if (each.metric == evaluation.metric) == by_verdict_metric]


def name_baseline(comparison: Comparison, labels: dict[str, Texts]) -> Texts:
    """Return what people call a comparison's baseline."""
    return labels.get(comparison.baseline, same(comparison.baseline))


def build_coverage_chart(evaluation: Evaluation) -> Chart | None:
    """Draw how many truths the bands hold: nominal against actual of all, and the run's over the horizon."""
    series = []
    for position, forecaster in enumerate(evaluation.forecasters):
        levels = find_levels(forecaster)
        actual = [100 * forecaster.log_return[name].overall for name in levels.values()]
        style, strong = choose_style(position), position == 0
        series.append(ChartSeries(forecaster.label, list(levels), actual, choose_colour(position), style, strong))
    if not any(each.is_drawn for each in series):
        return None
    nominal = sorted({level for each in series for level in each.x})
    ideal = ChartSeries(text("as_stated"), (0, 100), (0, 100), "#767676", "dashed")
    overall = Panel(
        text("overall"),
        text("nominal"),
        text("actual"),
        (ideal, *series),
        ticks=tuple(nominal),
        x_range=(nominal[0] - 5, nominal[-1] + 5),
        y_range=choose_range(series, 0, 100, nominal[0] - 5, nominal[-1] + 5),
    )
    own = evaluation.forecasters[0]
    bands = tuple(
        _curve(_band_label(level), own.log_return[name].by_horizon, 100, colour)
        for (level, name), colour in zip(find_levels(own).items(), BAND_COLOURS)
    )
    panels = [overall, _coverage_panel(evaluation.horizon, text("by_horizon"), bands, nominal)]
    return build_chart("coverage", text("coverage"), text("coverage_how"), panels)


def find_levels(forecaster: ForecasterResult) -> dict[float, str]:
    """Return the names of the figures that are coverages, by nominal level in per cent."""
    matches = {name: re.fullmatch(r"coverage_(\d+)", name) for name in forecaster.log_return}
    return {float(match[1]): name for name, match in matches.items() if match}


def build_pit_chart(evaluation: Evaluation) -> Chart | None:
    """Draw the histograms of where the truths fell in the forecast distributions."""
    uniform = 100 / PIT_BINS
    centres = [uniform * (i + 0.5) for i in range(PIT_BINS)]
    drawn = []
    for position, forecaster in enumerate(evaluation.forecasters):
        if total := sum(forecaster.pit):
            heights = [100 * count / total for count in forecaster.pit]
            drawn.append(ChartSeries(forecaster.label, centres, heights, choose_colour(position), "bars"))
    top = 1.06 * max((max(each.y) for each in drawn), default=uniform)
    panels = [
        Panel(
            each.label,
            text("pit_x"),
            text("pit_y"),
            (each,),
            levels=(uniform,),
            ticks=(0, 25, 50, 75, 100),
            x_range=(0, 100),
            y_range=(0, max(top, 2 * uniform)),
        )
        for each in drawn
    ]
    return build_chart("pit", text("pit"), text("pit_how"), panels, columns=3)


def build_calibration_chart(calibration: CalibrationResult | None) -> Chart | None:
    """Draw the coverage of each band over the horizon, as sampled and as calibrated."""
    if calibration is None:
        return None
    panels = []
    for level, before in calibration.before.coverage.items():
        after = calibration.after.coverage.get(level)
        series = [_curve(text("before"), before.by_horizon, 100, BEFORE_COLOUR, "dashed")]
        if after:
            series.append(_curve(text("after"), after.by_horizon, 100, RUN_COLOUR))
        panels.append(_coverage_panel(len(before.by_horizon), _band_label(float(level)), series, [float(level)]))
    caption = text("calibration_how", n=calibration.n_origins)
    return build_chart("calibration", text("calibration"), caption, panels, columns=3)


def _coverage_panel(horizon: int, title: Texts, series: Sequence[ChartSeries], levels: Sequence[float]) -> Panel:
    return Panel(
        title,
        text("ahead"),
        text("actual"),
        tuple(series),
        levels=tuple(levels),
        ticks=choose_ticks(1, horizon),
        x_range=pad(1, horizon),
        y_range=choose_range(series, 0, 100, *levels),
    )


def _horizon_panel(
    evaluation: Evaluation,
    title: Texts,
    unit: Texts,
    series: tuple[ChartSeries, ...],
    levels: tuple[float, ...] = (),
    y_range: tuple[float, float] | None = None,
) -> Panel:
    ticks = choose_ticks(1, evaluation.horizon)
    return Panel(title, text("ahead"), unit, series, levels, ticks, pad(1, evaluation.horizon), y_range)


def _by_horizon(label: Texts, position: int, values: Sequence[float]) -> ChartSeries:
    steps = range(1, len(values) + 1)
    return ChartSeries(label, steps, values, choose_colour(position), choose_style(position), strong=position == 0)


def _curve(label: Texts, values: Sequence[float], factor: float, colour: str, style: Style = "line") -> ChartSeries:
    steps = range(1, len(values) + 1)
    return ChartSeries(label, steps, _scale(values, factor), colour, style, strong=style == "line")


def _band_label(level: float) -> Texts:
    return text("band", level=f"{level:g}")


def _scale(values: Sequence[float], factor: float) -> list[float]:
    return [factor * value if math.isfinite(value) else math.nan for value in values]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
