"""Numbers as people write them."""

import numpy as np
import pandas as pd
import pytest

from kronos.data.files.text.numbers import find_decimal, parse_numbers
from kronos.errors import DataError


@pytest.mark.parametrize(
    ("written", "decimal", "value"),
    [
        ("3,600.00", ".", 3600),
        ("1,234,567", ".", 1234567),
        ("1,23,45,678.5", ".", 12345678.5),  # India
        ("3.600,25", ",", 3600.25),
        ("1 500", ".", 1500),
        ("1\u00a0500,25", ",", 1500.25),
        ("1'500.25", ".", 1500.25),  # Switzerland
        ("1,5", ",", 1.5),
        ("1.23M", ".", 1230000),
        ("1,23M", ",", 1230000),
        ("12.5K", ".", 12500),
        ("1.2bn", ".", 1.2e9),
        ("1.2B", ".", 1.2e9),
        ("3.5万", ".", 35000),
        ("3.5万手", ".", 35000),
        ("2.1亿", ".", 2.1e8),
        ("1.5万亿", ".", 1.5e12),
        ("$182.01", ".", 182.01),
        ("US$ 1,182.01", ".", 1182.01),
        ("182,01 €", ",", 182.01),
        ("￥12.30", ".", 12.3),
        ("12.30元", ".", 12.3),
        ("1.2 BTC", ".", 1.2),
        ("+0.5", ".", 0.5),
        ("-$0.5", ".", -0.5),
        ("1e-3", ".", 0.001),
        ("1,2e3", ",", 1200),
        ("9" * 30, ".", 1e30),
    ],
)
def test_one_number(written: str, decimal: str, value: float) -> None:
    assert parse_numbers(pd.Series([written], dtype="str"), decimal)[0] == pytest.approx(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize(
    "written", ["x", "1_0", "1%", "1,2,3", "1.2.3", "12,34,56", "--1", "True", "2024-06-18", "0x10", "1,0000.5", "1 2"]
)
def test_what_is_no_number(written: str, decimal: str) -> None:
    assert np.isnan(parse_numbers(pd.Series([written], dtype="str"), decimal)[0])  # type: ignore[arg-type]


def test_blanks_are_no_numbers() -> None:
    assert np.isnan(parse_numbers(pd.Series(["1", None], dtype="str"), ".")).tolist() == [False, True]


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (["1500", "1,234,567"], "."),
        (["1500.5", "1,000"], "."),  # thousands beside decimals
        (["1,000.00"], "."),
        (["1,5"], ","),
        (["0,125"], ","),
        (["1000,125"], ","),
        (["1.000,5", "1.000"], ","),
        (["1.234.567"], ","),
        (["1,5", "1.5"], "."),  # one of them is an error, which its row shows
        (["1500", "x", ""], None),
    ],
)
def test_the_decimal_sign(cells: list[str], decimal: str | None) -> None:
    assert find_decimal(cells) == decimal


def test_a_comma_that_may_mean_two_things_is_refused_with_a_key() -> None:
    with pytest.raises(
        DataError, match=r"'1,000' is ambiguous: 1000 or 1.000\? .* Set data.decimal=. if .* data.decimal=, if"
    ):
        find_decimal(["1500", "1,000"])


def test_a_thousand_with_a_separator_beside_one_without_is_in_doubt() -> None:
    column = pd.Series(["4999", "1.000"], dtype="str")
    assert np.isnan(parse_numbers(column, ",")).tolist() == [False, True]
