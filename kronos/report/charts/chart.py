"""The content of a chart, which `chart_picture` draws as PNG and `chart_figure` in the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from kronos.names import hash_text
from kronos.report.forecast.scene import FORECAST_COLOUR

# After Okabe and Ito, but darker if theirs are pale on white; the colour of the run is always the same.
RUN_COLOUR = FORECAST_COLOUR
BASELINE_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#C98A00", "#6A4C93", "#4598D3", "#333333")
NEUTRAL_COLOUR = "#767676"
BEFORE_COLOUR = "#D55E00"  # of bands before calibration
TICK_STEPS = (1, 2, 3, 4, 5, 6, 10, 12, 20, 50, *(10**power * step for power in range(2, 12) for step in (1, 2, 5)))
MAX_TICKS = 8

Style = Literal["line", "dashed", "dotted", "star", "bars"]


@dataclass(frozen=True)
class ChartSeries:
    """Values y over x.

    low, high: a band around them, or with whiskers an error bar at each. strong: drawn thicker than the others.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    style: Style = "line"
    strong: bool = False
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    whiskers: bool = False

    @property
    def key(self) -> str:
        """Return what distinguishes it from the others of a chart, in letters that every page keeps as they are."""
        return hash_text(f"{self.label} {self.colour}")

    @property
    def is_drawn(self) -> bool:
        """Whether any value is a number."""
        return any(map(math.isfinite, self.y))

    @property
    def has_markers(self) -> bool:
        """Whether single values are marked: if they are few, or if gaps may leave some without a line."""
        return len(self.y) <= MAX_TICKS or not np.isfinite(self.y).all()


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    levels: dashed horizontal lines. expected: a grey area between two values of y. ticks: of x; by default chosen freely.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[ChartSeries, ...]
    levels: tuple[float, ...] = ()
    ticks: tuple[float, ...] = ()
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    expected: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """Panels that belong together.

    name: of its file. columns: panels in a row of the picture, if there is room. legend: of all panels; legends: one a
    panel, empty unless the panels have no label in common.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int = 2
    legend: tuple[ChartSeries, ...] = field(init=False)
    legends: tuple[tuple[ChartSeries, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the entries of the legends: each label once, and none that is the title of its panel."""
        panels = [{each.key: each for each in p.series if each.label != p.title} for p in self.panels]
        named = {key: each for panel in panels for key, each in panel.items()}
        apart = len(panels) > 1 and len(named) == sum(map(len, panels)) and all(len(panel) > 1 for panel in panels)
        object.__setattr__(self, "legend", tuple(named.values()) if len(named) > 1 and not apart else ())
        object.__setattr__(self, "legends", tuple(tuple(panel.values()) if apart else () for panel in panels))


def build_chart(name: str, title: str, caption: str, panels: Sequence[Panel], columns: int = 2) -> Chart | None:
    """Build a chart of the series that have numbers; None if none has."""
    drawn = []
    for panel in panels:
        series = tuple(each for each in panel.series if each.is_drawn)
        if series:
            drawn.append(replace(panel, series=series))
    return Chart(name, title, caption, tuple(drawn), columns) if drawn else None


def choose_colour(position: int) -> str:
    """Return the colour of a forecaster by its position; the run's is 0."""
    return BASELINE_COLOURS[(position - 1) % len(BASELINE_COLOURS)] if position else RUN_COLOUR


def choose_style(position: int) -> Style:
    """Return the line style of a forecaster by its position: colour alone does not distinguish them for everybody."""
    styles: tuple[Style, ...] = ("line", "dashed", "dotted")
    return styles[(position - 1) % 2 + 1] if position else "line"


def choose_ticks(first: int, last: int) -> tuple[int, ...]:
    """Return at most about MAX_TICKS whole numbers from first to last, at round distances."""
    step = next((step for step in TICK_STEPS if (last - first) / step < MAX_TICKS), last - first)
    ticks = list(range(-(-first // step) * step, last + 1, step))
    return tuple(ticks if ticks[:1] == [first] or step < 3 else [first, *ticks])


def pad(first: float, last: float) -> tuple[float, float]:
    """Return a range of x with a little room at both ends; a single place gets room too."""
    room = 0.025 * (last - first) or 0.5
    return first - room, last + room


def choose_range(series: Sequence[ChartSeries], low: float, high: float, *more: float) -> tuple[float, float]:
    """Return a range of y common to series and their bands, within low and high, with room around it."""
    lists = [values for each in series for values in (each.y, each.low, each.high) if values is not None]
    values = np.concatenate([np.asarray(each, float) for each in (*lists, more)])
    values = np.clip(values[np.isfinite(values)], low, high)
    if not len(values):
        return low, high
    bottom, top = float(values.min()), float(values.max())
    room = 0.06 * (top - bottom) or 0.1 * abs(top) or 1.0
    return bottom - room, top + room


def scale(values: Sequence[float], factor: float) -> list[float]:
    """Return the multiples of values; what is not a number stays none."""
    return [factor * value if math.isfinite(value) else math.nan for value in values]
