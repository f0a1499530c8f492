"""The charts of the verdict, from an evaluation."""

import math
import re
from collections.abc import Sequence

from kronos.evaluation.records import PIT_BINS, Label
from kronos.evaluation.results import CalibrationResult, Comparison, Evaluation, ForecasterResult
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
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import BASIS_POINTS, format_level
from kronos.report.words.sentences import name_forecaster, name_metric

ERRORS = ("crps", "mae")
BAND_COLOURS = ("#4598D3", RUN_COLOUR, "#0B2E5C")  # the run's, from light to dark: 50, 80, 90%
BEFORE_COLOUR = "#D55E00"
PER_CENT = (-100.0, 100.0)


def build_charts(evaluation: Evaluation, stages: Sequence[StageCurves], words: Words) -> dict[str, Chart]:
    """Return the charts for which there are figures, by name, in the order of the page."""
    charts = [
        build_learning_chart(stages, words),
        build_error_chart(evaluation, words),
        build_skill_chart(evaluation, words),
        build_coverage_chart(evaluation, words),
        build_pit_chart(evaluation, words),
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
                _scale(figures.by_horizon, BASIS_POINTS),
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
            _scale(each.skill_by_horizon, 100),
            RUN_COLOUR,
            strong=True,
            low=_scale(each.low_by_horizon, 100),
            high=_scale(each.high_by_horizon, 100),
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


def build_coverage_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw the coverage of the bands: actual against nominal for all forecasters, and the run's over the horizon."""
    series = []
    for position, forecaster in enumerate(evaluation.forecasters):
        levels = find_levels(forecaster)
        actual = [100 * forecaster.log_return[name].overall for name in levels.values()]
        style, strong = choose_style(position), position == 0
        series.append(
            ChartSeries(
                name_forecaster(forecaster.label, words),
                list(levels),
                actual,
                choose_colour(position),
                style,
                strong,
            )
        )
    if not any(each.is_drawn for each in series):
        return None
    nominal = sorted({level for each in series for level in each.x})
    ideal = ChartSeries(words("charts.ideal"), (0, 100), (0, 100), "#767676", "dashed")
    overall = Panel(
        words("charts.whole_horizon"),
        words("charts.nominal"),
        words("charts.actual"),
        (ideal, *series),
        ticks=tuple(nominal),
        x_range=(nominal[0] - 5, nominal[-1] + 5),
        y_range=choose_range(series, 0, 100, nominal[0] - 5, nominal[-1] + 5),
    )
    own = evaluation.forecasters[0]
    bands = tuple(
        _curve(_band_label(level, words), own.log_return[name].by_horizon, 100, colour)
        for (level, name), colour in zip(find_levels(own).items(), BAND_COLOURS)
    )
    panels = [overall, _coverage_panel(words, evaluation.horizon, words("charts.run_by_horizon"), bands, nominal)]
    return build_chart("coverage", words("charts.coverage"), words("charts.coverage_how"), panels)


def find_levels(forecaster: ForecasterResult) -> dict[float, str]:
    """Return the names of the figures that are coverages, by nominal level in per cent."""
    matches = {name: re.fullmatch(r"coverage_(\d+)", name) for name in forecaster.log_return}
    return {float(match[1]): name for name, match in matches.items() if match}


def build_pit_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw histograms of where the actual values fell in the forecast distributions."""
    uniform = 100 / PIT_BINS
    centres = [uniform * (i + 0.5) for i in range(PIT_BINS)]
    drawn = []
    for position, forecaster in enumerate(evaluation.forecasters):
        if total := sum(forecaster.pit):
            heights = [100 * count / total for count in forecaster.pit]
            drawn.append(
                ChartSeries(
                    name_forecaster(forecaster.label, words),
                    centres,
                    heights,
                    choose_colour(position),
                    "bars",
                )
            )
    top = 1.06 * max((max(each.y) for each in drawn), default=uniform)
    panels = [
        Panel(
            each.label,
            words("charts.pit_x"),
            words("charts.pit_y"),
            (each,),
            levels=(uniform,),
            ticks=(0, 25, 50, 75, 100),
            x_range=(0, 100),
            y_range=(0, max(top, 2 * uniform)),
        )
        for each in drawn
    ]
    return build_chart("pit", words("charts.pit"), words("charts.pit_how"), panels, columns=3)


def build_calibration_chart(calibration: CalibrationResult | None, words: Words) -> Chart | None:
    """Draw the coverage of each band over the horizon, as sampled and as calibrated."""
    if calibration is None:
        return None
    panels = []
    for level, before in calibration.before.coverage.items():
        after = calibration.after.coverage.get(level)
        series = [_curve(words("charts.before"), before.by_horizon, 100, BEFORE_COLOUR, "dashed")]
        if after:
            series.append(_curve(words("charts.after"), after.by_horizon, 100, RUN_COLOUR))
        panels.append(
            _coverage_panel(words, len(before.by_horizon), _band_label(float(level), words), series, [float(level)])
        )
    caption = words("charts.calibration_how", n=calibration.n_origins)
    return build_chart("calibration", words("charts.calibration"), caption, panels, columns=3)


def _coverage_panel(
    words: Words, horizon: int, title: str, series: Sequence[ChartSeries], levels: Sequence[float]
) -> Panel:
    return Panel(
        title,
        words("charts.ahead"),
        words("charts.actual"),
        tuple(series),
        levels=tuple(levels),
        ticks=choose_ticks(1, horizon),
        x_range=pad(1, horizon),
        y_range=choose_range(series, 0, 100, *levels),
    )


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


def _curve(label: str, values: Sequence[float], factor: float, colour: str, style: Style = "line") -> ChartSeries:
    steps = range(1, len(values) + 1)
    return ChartSeries(label, steps, _scale(values, factor), colour, style, strong=style == "line")


def _band_label(level: float, words: Words) -> str:
    return words("charts.band", level=f"{level:g}")


def _scale(values: Sequence[float], factor: float) -> list[float]:
    return [factor * value if math.isfinite(value) else math.nan for value in values]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
