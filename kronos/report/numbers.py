"""Figures as people read them; what is not a number is a dash."""

import math
from collections.abc import Sequence

from kronos.evaluate.results import Texts

NO_FIGURE = "–"
MINUS = "\N{MINUS SIGN}"
DIGITS = 4
HUGE = 1e15
SMALLEST_P = 0.001


def say_numbers(values: Sequence[float], digits: int = DIGITS) -> list[str]:
    """Write figures to be compared with the same decimals: so many digits of the largest, more only where one would vanish."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    decimals = _count_decimals(max(sizes, default=1.0), digits)
    return [say_number(value, decimals) for value in values]


def say_number(value: float, decimals: int | None = None) -> str:
    """Write a figure to four digits, or with so many decimals if it is more than nothing then, whatever its scale."""
    if not math.isfinite(value):
        return NO_FIGURE
    if abs(value) >= HUGE:
        return f"{value:.3e}".replace("-", MINUS)
    own = _count_decimals(abs(value)) if value else 0
    if decimals is None or (value and not round(value, decimals)):
        decimals = own
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def say_percent(share: float, decimals: int = 1, sign: bool = False) -> Texts:
    """Write a share in per cent: with a space before the sign in English, without one in Chinese."""
    if not math.isfinite(share):
        return {"en": NO_FIGURE, "zh": NO_FIGURE}
    number = f"{100 * share:{'+' if sign else ''},.{decimals}f}".replace("-", MINUS)
    return {"en": f"{number}\N{NO-BREAK SPACE}%", "zh": f"{number}%"}


def say_p(p: float) -> str:
    """Write a p-value to three decimals."""
    if not math.isfinite(p):
        return NO_FIGURE
    return f"<\N{NO-BREAK SPACE}{SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def say_count(n: float) -> str:
    """Write a whole number, or one that stands for a number of things."""
    return f"{n:,.0f}" if math.isfinite(n) else NO_FIGURE


def _count_decimals(size: float, digits: int = DIGITS) -> int:
    """How many decimals show so many digits of a number above 0."""
    return max(0, digits - 1 - math.floor(math.log10(size)))
