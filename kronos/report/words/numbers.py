"""Figures as people read them; what is not a number is a dash."""

import math
from collections.abc import Sequence

from kronos.evaluation.scores.figure_kinds import FigureKind

NO_FIGURE = "–"
MINUS = "\N{MINUS SIGN}"
DIGITS = 4
HUGE_THRESHOLD = 1e15
SMALLEST_P = 0.001
BASIS_POINTS = 1e4


def format_numbers(values: Sequence[float], digits: int = DIGITS) -> list[str]:
    """Format figures to be compared with the same decimals: so many digits of the largest, more only if one would vanish."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    decimals = _count_decimals(max(sizes, default=1.0), digits)
    return [format_number(value, decimals) for value in values]


def format_number(value: float, decimals: int | None = None) -> str:
    """Format a figure with four digits, or with so many decimals if it does not vanish then."""
    if not math.isfinite(value):
        return NO_FIGURE
    if abs(value) >= HUGE_THRESHOLD:
        return f"{value:.3e}".replace("-", MINUS)
    own = _count_decimals(abs(value)) if value else 0
    if decimals is None or (value and not round(value, decimals)):
        decimals = own
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def format_figures(values: Sequence[float], kind: FigureKind | None, of_returns: bool) -> list[str]:
    """Format figures of a metric to be compared: shares in per cent, returns in basis points."""
    if kind and kind.unit == "share":
        numbers = format_numbers([100 * value for value in values], digits=3)
        return [number if number == NO_FIGURE else f"{number}%" for number in numbers]
    factor = BASIS_POINTS if kind and kind.unit == "price" and of_returns else 1.0
    return format_numbers([factor * value for value in values])


def format_percent(share: float, decimals: int = 1, sign: bool = False) -> str:
    """Format a share in per cent."""
    if not math.isfinite(share):
        return NO_FIGURE
    return f"{100 * share:{'+' if sign else ''},.{decimals}f}%".replace("-", MINUS)


def format_level(share: float) -> str:
    """Format a share from the configuration with the decimals given there, such as 97.5%."""
    return f"{100 * share:.6g}%"


def format_p_value(p: float) -> str:
    """Format a p-value with three decimals."""
    if not math.isfinite(p):
        return NO_FIGURE
    return f"<\N{NO-BREAK SPACE}{SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def format_count(n: float) -> str:
    """Format a whole number."""
    return f"{n:,.0f}" if math.isfinite(n) else NO_FIGURE


def _count_decimals(size: float, digits: int = DIGITS) -> int:
    """Return how many decimals show so many digits of a number above 0."""
    return max(0, digits - 1 - math.floor(math.log10(size)))


def format_bytes(n: float) -> str:
    """Write a size in the unit that suits it; a unit is 1024 of the one before."""
    units = ("B", "KB", "MB", "GB", "TB")
    power = min(int(math.log(max(n, 1), 1024)), len(units) - 1)
    n /= 1024**power
    return f"{n:.0f} {units[power]}" if n >= 100 or not power else f"{n:.1f} {units[power]}"
