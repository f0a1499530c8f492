from math import inf, nan

import pytest

from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import (
    NO_FIGURE,
    format_count,
    format_level,
    format_number,
    format_numbers,
    format_p_value,
    format_percent,
)
from kronos.report.words.times import format_rough_time


@pytest.mark.parametrize(
    "value, told",
    [
        (1.23456e-5, "0.00001235"),
        (0.0, "0"),
        (3.14159, "3.142"),
        (-0.5, "−0.5000"),
        (98_765.4, "98,765"),
        (1e20, "1.000e+20"),
        (nan, NO_FIGURE),
        (-inf, NO_FIGURE),
    ],
)
def test_a_figure_of_any_scale_has_four_digits(value: float, told: str) -> None:
    assert format_number(value) == told


def test_figures_side_by_side_have_the_same_decimals() -> None:
    assert format_numbers([12.345, 0.5, nan]) == ["12.35", "0.50", NO_FIGURE]
    assert format_numbers([100.0, 0.001]) == ["100.0", "0.001000"]  # would vanish
    assert format_numbers([nan, nan]) == [NO_FIGURE, NO_FIGURE] and format_numbers([0.0, 0.0]) == ["0.000", "0.000"]


def test_shares() -> None:
    assert format_percent(0.0834, sign=True) == "+8.3%"
    assert format_percent(-1.5, 0) == "−150%" and format_percent(nan) == NO_FIGURE


def test_p_values_and_counts() -> None:
    assert (
        format_p_value(0.0123) == "0.012" and format_p_value(1e-9).startswith("<") and format_p_value(nan) == NO_FIGURE
    )
    assert format_count(12_345.4) == "12,345" and format_count(nan) == NO_FIGURE


def test_a_level_is_as_it_was_given() -> None:
    assert format_level(0.95) == "95%" and format_level(0.975) == "97.5%"


def test_rough_times() -> None:
    shown = [format_rough_time(each, Words("en")) for each in (0.2, 1.4, 119, 120, 7199, 7200, 172_800, 9e6)]
    assert shown == ["1 second", "1 second", "119 seconds", "2 minutes", "120 minutes", "2 hours", "2 days", "104 days"]
    assert format_rough_time(5400, Words("zh")) == "90 分钟"
