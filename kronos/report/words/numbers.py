"""Figures as people read them; what is not a number is a dash."""

import math
from collections.abc import Sequence

from kronos.evaluation.metric_labels import MetricLabel
from kronos.evaluation.results import Texts
from kronos.report.words.page_texts import same

NO_FIGURE = "–"
MINUS = "\N{MINUS SIGN}"
DIGITS = 4
HUGE_THRESHOLD = 1e15
SMALLEST_P = 0.001
BASIS_POINTS = 1e4


def format_numbers(values: Sequence[float], digits: int = DIGITS) -> list[str]:
    """Write figures to be compared with the same decimals: so many digits of the largest, more only where one would vanish."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    decimals = _count_decimals(max(sizes, default=1.0), digits)
    return [format_number(value, decimals) for value in values]


def format_number(value: float, decimals: int | None = None) -> str:
    """Write a figure to four digits, or with so many decimals if it is more than nothing then, whatever its scale."""
    if not math.isfinite(value):
        return NO_FIGURE
    if abs(value) >= HUGE_THRESHOLD:
        return f"{value:.3e}".replace("-", MINUS)
    own = _count_decimals(abs(value)) if value else 0
    if decimals is None or (value and not round(value, decimals)):
        decimals = own
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def format_figures(values: Sequence[float], label: MetricLabel | None, of_returns: bool) -> list[Texts]:
    """Write figures of a metric to be compared: shares in per cent, what is in units of returns in basis points."""
    if label and label.percent:
        return list(map(_add_percent, format_numbers([100 * value for value in values], digits=3)))
    factor = BASIS_POINTS if label and label.in_units and of_returns else 1.0
    return list(map(same, format_numbers([factor * value for value in values])))


def format_percent(share: float, decimals: int = 1, sign: bool = False) -> Texts:
    """Write a share in per cent: with a space before the sign in English, without one in Chinese."""
    if not math.isfinite(share):
        return same(NO_FIGURE)
    return _add_percent(f"{100 * share:{'+' if sign else ''},.{decimals}f}".replace("-", MINUS))


def format_level(share: float) -> Texts:
    """Write a share that somebody chose, with as many decimals as were given: 97.5 %."""
    return _add_percent(f"{100 * share:.6g}")


def format_p_value(p: float) -> str:
    """Write a p-value to three decimals."""
    if not math.isfinite(p):
        return NO_FIGURE
    return f"<\N{NO-BREAK SPACE}{SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def format_count(n: float) -> str:
    """Write a whole number, or one that stands for a number of things."""
    return f"{n:,.0f}" if math.isfinite(n) else NO_FIGURE


def _add_percent(number: str) -> Texts:
    return same(number) if number == NO_FIGURE else {"en": f"{number}\N{NO-BREAK SPACE}%", "zh": f"{number}%"}


def _count_decimals(size: float, digits: int = DIGITS) -> int:
    """How many decimals show so many digits of a number above 0."""
    return max(0, digits - 1 - math.floor(math.log10(size)))


def format_bytes(n: float) -> str:
    """Write a size in the unit that suits it; a unit is 1024 of the one before."""
    units = ("B", "KB", "MB", "GB", "TB")
    power = min(int(math.log(max(n, 1), 1024)), len(units) - 1)
    n /= 1024**power
    return f"{n:.0f} {units[power]}" if n >= 100 or not power else f"{n:.1f} {units[power]}"
