"""The validation loss over one searched key, as a PNG picture (matplotlib)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from kronos.candles import Array
from kronos.files import replacing
from kronos.report.fonts import accept_any_weight, choose_fonts
from kronos.report.words.catalogue import Words
from kronos.tuning.plan import TrialResult
from kronos.tuning.search import SearchResult
from kronos.tuning.space import Parameter

LOSS_COLOUR = "#1f5fa8"
BEST_COLOUR = "#1a7f37"
CONFIGURED_COLOUR = "#8250df"
FAILED_COLOUR = "#c0392b"
DASHED: dict[str, Any] = {"linestyle": (0, (4, 2.5)), "linewidth": 1.6}
FAILED_HEIGHT = 0.97  # share of the axes


def draw_search_curve(
    result: SearchResult, parameter: Parameter, configured: float | None, path: Path, title: str, words: Words
) -> None:
    """Draw the validation loss of each trial over the value of the key, and mark the best and the configured value.

    Args:
        result: of a search over one numeric key.
        parameter: the key.
        configured: its configured value; None if it has none.
        path: the PNG to write, 1200 × 700 pixels.

    Raises:
        KronosError: path cannot be written.
    """
    labels = "".join(words.section("tune.curve").values())
    _, families = choose_fonts(title + labels)
    with matplotlib.rc_context({"font.family": families, "font.size": 10}), accept_any_weight():
        figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
        axes = figure.subplots()
        _set_axes(axes, parameter, words)
        _draw_trials(axes, result.trials, parameter, words)
        _draw_marks(axes, result, parameter, configured, words)
        axes.set_title(choose_fonts(title)[0], loc="left", parse_math=False)
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9.5, columnspacing=1.4)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=100)


def _select(trials: Sequence[TrialResult], parameter: Parameter, status: str) -> Array:
    """Return the values of the key and the losses, (n, 2), sorted by value."""
    chosen = [(float(trial.values[parameter.key]), trial.loss) for trial in trials if trial.status == status]
    return np.array(sorted(chosen), dtype=float).reshape(-1, 2)


def _draw_trials(axes: Axes, trials: Sequence[TrialResult], parameter: Parameter, words: Words) -> None:
    done, pruned, failed = (_select(trials, parameter, status) for status in ("done", "pruned", "failed"))
    if len(done):
        axes.plot(*done.T, "o-", color=LOSS_COLOUR, linewidth=1.8, markersize=6, label=words("tune.curve.done"))
    if len(pruned):
        axes.plot(*pruned.T, "o", color=LOSS_COLOUR, markerfacecolor="white", label=words("tune.curve.pruned"))
    if len(failed):
        heights = np.full(len(failed), FAILED_HEIGHT)
        marks: dict[str, Any] = {"color": FAILED_COLOUR, "markersize": 9, "markeredgewidth": 2}
        label = words("tune.curve.failed")
        axes.plot(failed[:, 0], heights, "x", transform=axes.get_xaxis_transform(), label=label, **marks)


def _draw_marks(axes: Axes, result: SearchResult, parameter: Parameter, configured: float | None, words: Words) -> None:
    if result.start_loss is not None:
        label = words("tune.curve.before", loss=result.start_loss)
        axes.axhline(result.start_loss, color="0.45", linestyle=":", linewidth=1.6, label=label)
    if configured is not None:
        axes.axvline(
            configured, color=CONFIGURED_COLOUR, label=words("tune.curve.configured", value=configured), **DASHED
        )
    if result.best:
        value = float(result.best.values[parameter.key])
        label = words("tune.curve.best", value=value, loss=result.best.loss)
        axes.plot(value, result.best.loss, "*", color=BEST_COLOUR, markersize=16, zorder=5, label=label)


def _set_axes(axes: Axes, parameter: Parameter, words: Words) -> None:
    if parameter.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=12))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(words("tune.curve.log_axis" if parameter.log else "tune.curve.axis", key=parameter.key))
    axes.set_ylabel(words("tune.curve.loss"))
    axes.margins(y=0.12)
    axes.grid(which="major", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
