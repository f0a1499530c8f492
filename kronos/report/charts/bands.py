"""Charts of how far the forecasts' probabilities can be trusted: bands, PIT, probability of a rise, calibration."""

import math
import re
from collections.abc import Sequence
from typing import Any

from kronos.evaluation.records import PIT_BINS
from kronos.evaluation.results import CalibrationResult, Evaluation, ForecasterResult
from kronos.report.charts.chart import (
    BEFORE_COLOUR,
    NEUTRAL_COLOUR,
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
    scale,
)
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import PRETRAINED, name_forecaster

BAND_COLOURS = ("#4598D3", RUN_COLOUR, "#0B2E5C")  # the run's, from light to dark: 50, 80, 90%


def build_coverage_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw the coverage of the bands: actual against nominal for all forecasters, and the run's over the horizon."""
    series = []
    for position, forecaster in enumerate(evaluation.forecasters):
        levels = find_levels(forecaster)
        actual = [100 * forecaster.log_return[name].overall for name in levels.values()]
        figures = [forecaster.log_return[name] for name in levels.values()]
        known = position == 0 and all(math.isfinite(each.low + each.high) for each in figures)
        series.append(
            ChartSeries(
                name_forecaster(forecaster.label, words),
                list(levels),
                actual,
                choose_colour(position),
                choose_style(position),
                strong=position == 0,
                low=[100 * each.low for each in figures] if known else None,
                high=[100 * each.high for each in figures] if known else None,
                whiskers=True,
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
    expected: list[tuple[float, float] | None] = []
    for position, forecaster in enumerate(evaluation.forecasters):
        if total := sum(forecaster.pit):
            heights = [100 * count / total for count in forecaster.pit]
            known = math.isfinite(forecaster.pit_low + forecaster.pit_high)
            expected.append((100 * forecaster.pit_low / total, 100 * forecaster.pit_high / total) if known else None)
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
            expected=area,
        )
        for each, area in zip(drawn, expected)
    ]
    return build_chart("pit", words("charts.pit"), words("charts.pit_how"), panels, columns=3)


def build_reliability_chart(evaluation: Evaluation, words: Words) -> Chart | None:
    """Draw the share that rose over the forecast probability of a rise, for the run and the pretrained model."""
    series = []
    for position, forecaster in enumerate(evaluation.forecasters):
        if forecaster.direction is None or (position and forecaster.name != PRETRAINED):
            continue
        bins = forecaster.direction.bins
        series.append(
            ChartSeries(
                name_forecaster(forecaster.label, words),
                [100 * each.forecast for each in bins],
                [100 * each.actual for each in bins],
                choose_colour(position),
                choose_style(position),
                strong=position == 0,
                low=[100 * each.low for each in bins],
                high=[100 * each.high for each in bins],
                whiskers=True,
            )
        )
    if not any(each.is_drawn for each in series):
        return None
    ideal = ChartSeries(words("charts.ideal"), (0, 100), (0, 100), NEUTRAL_COLOUR, "dashed")
    labels = (words("charts.reliability"), words("charts.forecast_up"), words("charts.actual_up"))
    whole: dict[str, Any] = {"ticks": (0, 25, 50, 75, 100), "x_range": (0, 100), "y_range": (0, 100)}
    panel = Panel(*labels, (ideal, *series), **whole)
    return build_chart("reliability", words("charts.reliability"), words("charts.reliability_how"), [panel], columns=1)


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


def _curve(label: str, values: Sequence[float], factor: float, colour: str, style: Style = "line") -> ChartSeries:
    steps = range(1, len(values) + 1)
    return ChartSeries(label, steps, scale(values, factor), colour, style, strong=style == "line")


def _band_label(level: float, words: Words) -> str:
    return words("charts.band", level=f"{level:g}")
