"""The loss over the learning rate as a PNG picture (matplotlib)."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from kronos.files import replacing
from kronos.report.fonts import choose_fonts
from kronos.tuning.lr_range import LrRange

LOSS_COLOUR = "#1f5fa8"
SUGGESTED_COLOUR = "#1a7f37"
CONFIGURED_COLOUR = "#8250df"
DIVERGED_COLOUR = "#c0392b"
HEADROOM = 0.35  # of the range up to the start, above it


def draw_lr_range(found: LrRange, path: Path, title: str) -> None:
    """Draw the loss of each step and its moving average over the learning rate, and mark what is suggested.

    Args:
        found: the range test.
        path: the PNG to write, 1200 × 700 pixels.
        title: what is drawn.

    Raises:
        KronosError: path cannot be written.
    """
    figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.plot(
        found.rates,
        found.losses,
        "o",
        color=LOSS_COLOUR,
        alpha=0.3,
        markersize=4,
        markeredgewidth=0,
        label="Loss of a step",
    )
    label = "Moving average"
    axes.plot(found.rates, found.smoothed, color=LOSS_COLOUR, linewidth=2.2, label=label)
    _mark_rates(axes, found)
    _set_axes(axes, found)
    text, families = choose_fonts(" ".join(title.split()))
    axes.set_title(text, loc="left", fontfamily=families, parse_math=False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9.5, columnspacing=1.4)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _mark_rates(axes: Axes, found: LrRange) -> None:
    if found.diverged is not None:
        axes.axvspan(found.diverged, found.rates[-1], color=DIVERGED_COLOUR, alpha=0.08, linewidth=0)
        style: dict[str, Any] = {"color": DIVERGED_COLOUR, "linestyle": ":", "linewidth": 1.6}
        axes.axvline(found.diverged, label=f"Learning undone from {found.diverged:.1e}", **style)
    if found.suggested is not None:
        height = np.interp(np.log(found.suggested), np.log(found.rates), found.smoothed)
        axes.axvline(found.suggested, color=SUGGESTED_COLOUR, linewidth=1.6, label=f"Suggested {found.suggested:.1e}")
        axes.plot(found.suggested, height, "o", color=SUGGESTED_COLOUR, markersize=9, zorder=5)
    dashed: dict[str, Any] = {"color": CONFIGURED_COLOUR, "linestyle": "--", "linewidth": 1.6}
    axes.axvline(found.configured, label=f"Configured {found.configured:.1e}", **dashed)


def _set_axes(axes: Axes, found: LrRange) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Learning rate (log scale)")
    axes.set_ylabel("Training loss")
    shown = [found.rates[0], found.rates[-1], found.configured]
    axes.set_xlim(min(shown) / 1.3, max(shown) * 1.3)
    # What explodes would press the fall, which matters, into a line.
    start = found.losses[: max(len(found.losses) // 10, 3)].max()
    low, high = min(found.losses.min(), found.smoothed.min()), max(start, found.smoothed[0])
    span = max(high - low, 1e-3 * abs(high))
    axes.set_ylim(low - 0.08 * span, min(high + HEADROOM * span, found.losses.max() + 0.08 * span))
    axes.grid(which="major", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
