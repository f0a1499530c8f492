"""The charts of the verdict, from an evaluation."""

from collections.abc import Sequence

from kronos.evaluation.records import Label
from kronos.evaluation.results import Comparison, Evaluation
from kronos.report.charts.bands import (
    build_calibration_chart,
    build_coverage_chart,
    build_pit_chart,
    build_reliability_chart,
)
from kronos.report.charts.chart import (
    BEFORE_COLOUR,
    RUN_COLOUR,
    Chart,
    ChartSeries,
    Panel,
    build_chart,
    choose_colour,
    choose_range,
    choose_style,
    choose_ticks,
    pad,
    scale,
)
from kronos.report.charts.learning import StageCurves
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import BASIS_POINTS, format_level
from kronos.report.words.sentences import name_forecaster, name_metric

ERRORS = ("crps", "mae")
PER_CENT = (-100.0, 100.0)


def build_charts(evaluation: Evaluation, stages: Sequence[StageCurves], words: Words) -> dict[str, Chart]:
    """Return the charts for which there are figures, by name, in the order of the page."""
    charts = [
        build_learning_chart(stages, words),
        build_error_chart(evaluation, words),
        build_skill_chart(evaluation, words),
        build_coverage_chart(evaluation, words),
        build_pit_chart(evaluation, words),
        build_reliability_chart(evaluation, words),
        build_calibration_chart(evaluation.calibration, words),
    ]
    return {chart.name: chart for chart in charts if chart}


def build_learning_chart(stages: Sequence[StageCurves], words: Words) -> Chart | None:
    """Draw the losses of both stages over the steps."""
    panels = []
    for stage in stages:
        series = (
            ChartSeries(words("charts.train_loss"), *_columns(stage.train), colour="#767676"),
            ChartSeries(words("charts.val_loss"), *_columns(stage.validation), colour=RUN_COLOUR, strong=True),
            ChartSeries(words("charts.kept_model"), *_columns(stage.kept), colour=BEFORE_COLOUR, style="star"),
        )
        last = max((int(step) for step, _ in (*stage.train, *stage.validation)), default=1)
        panels.append(
            Panel(
                words(f"stages.{stage.name}"),
                words("charts.step"),
                words("charts.loss"),
                series,
                (),
                choose_ticks(0, last or 1),
                pad(0, last or 1),
            )
        )
    return build_chart("learning_curves", words("charts.learning_curves"), words("charts.learning_curves_how"), panels)


def build_error_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw the errors of each forecaster over the horizon."""
    panels = []
    for metric in ERRORS:
        series = tuple(
            _by_horizon(
                name_forecaster(forecaster.label, words),
                position,
                scale(figures.by_horizon, BASIS_POINTS),
            )
            for position, forecaster in enumerate(evaluation.forecasters)
            if (figures := forecaster.log_return.get(metric))
        )
        panels.append(
            _horizon_panel(words, evaluation, name_metric(metric, words), words("charts.basis_points"), series)
        )
    return build_chart(
        "error_by_horizon", words("charts.error_by_horizon"), words("charts.error_by_horizon_how"), panels
    )


def build_skill_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw the run's skill against each baseline over the horizon, with its intervals."""
    comparisons = choose_comparisons(evaluation)
    labels = {forecaster.name: forecaster.label for forecaster in evaluation.forecasters}
    curves = [
        ChartSeries(
            words("charts.run_skill"),
            range(1, len(each.skill_by_horizon) + 1),
            scale(each.skill_by_horizon, 100),
            RUN_COLOUR,
            strong=True,
            low=scale(each.low_by_horizon, 100),
            high=scale(each.high_by_horizon, 100),
        )
        for each in comparisons
    ]
    y_range = choose_range(curves, *PER_CENT, 0.0)
    unit = words("charts.skill_points" if evaluation.metric == "direction" else "charts.skill_percent")
    panels = [
        _horizon_panel(
            words,
            evaluation,
            words("charts.against", baseline=name_baseline(each, labels, words)),
            unit,
            (curve,),
            levels=(0.0,),
            y_range=y_range,
        )
        for each, curve in zip(comparisons, curves)
    ]
    caption = words(
        "charts.skill_by_horizon_how",
        metric=name_metric(evaluation.metric, words),
        confidence=format_level(evaluation.confidence),
    )
    return build_chart("skill_by_horizon", words("charts.skill_by_horizon"), caption, panels, columns=3)


def choose_comparisons(evaluation: Evaluation, by_verdict_metric: bool = True) -> list[Comparison]:
    """Return the comparisons by the metric of the verdict, or all others."""
    return [each for each in evaluation.comparisons if (each.metric == evaluation.metric) == by_verdict_metric]


def name_baseline(comparison: Comparison, labels: dict[str, Label], words: Words) -> str:
    """Return the label of the baseline of a comparison."""
    return name_forecaster(labels.get(comparison.baseline, comparison.baseline), words)


def _horizon_panel(
    words: Words,
    evaluation: Evaluation,
    title: str,
    unit: str,
    series: tuple[ChartSeries, ...],
    levels: tuple[float, ...] = (),
    y_range: tuple[float, float] | None = None,
) -> Panel:
    ticks = choose_ticks(1, evaluation.horizon)
    return Panel(title, words("charts.ahead"), unit, series, levels, ticks, pad(1, evaluation.horizon), y_range)


def _by_horizon(label: str, position: int, values: Sequence[float]) -> ChartSeries:
    steps = range(1, len(values) + 1)
    return ChartSeries(label, steps, values, choose_colour(position), choose_style(position), strong=position == 0)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
