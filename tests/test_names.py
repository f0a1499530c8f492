"""File names from any text, and names that are safe to show."""

import os
import unicodedata
from itertools import combinations
from pathlib import Path

import pytest

from kronos.data.elsewhere.copying import safe_name
from kronos.names import MAX_FILE_NAME, make_printable, name_file, name_files

ORDINARY = (
    "BTCUSDT",
    "600519.SH",
    "BRK-B",
    "贵州茅台",
    "EUR=X",
    "^GSPC",
    "ES1!",
    "HK_ali_09988_kline_5min_all",
    "BTC USDT",
    "x",
)
ODD = (
    *(
        "",
        ".",
        "..",
        "...",
        " ",
        "/",
        "a/b",
        "a-b",
        "a\\b",
        "a:b",
        "a*b",
        "x/later",
        "y/later",
        "CON",
        "con",
        "nul.txt",
        "LPT1",
    ),
    *(
        "a",
        "A",
        "a.",
        "a ",
        " a",
        ".a",
        "-a",
        "~a",
        "é",
        "e\u0301",
        "\u212b",
        "Å",
        "ﬁ",
        "a\x1b[31mb",
        "a\nb",
        "a\0b",
        "a\x07b",
    ),
    *("\u202etxt.exe", "\udcff", "\udcfe", "x" * 300, "x" * 301, "汉" * 300, "汉" * 301, "😀" * 100, "ß", "ss", "SS"),
    *(
        name_file("a/b"),
        name_file(name_file("a/b")),
        name_file("a/b").upper(),
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\x",
    ),
)


def test_an_ordinary_name_stays_as_it_is() -> None:
    assert [name_file(name) for name in ORDINARY] == list(ORDINARY)
    assert name_files(ORDINARY) == list(ORDINARY)


def test_every_text_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = name_files([*ODD, *ORDINARY])
    folded = [unicodedata.normalize("NFKC", name).casefold() for name in names]
    assert len(set(folded)) == len(folded)
    for text, name in zip(ODD, map(name_file, ODD)):
        path = tmp_path / f".1234567.report-{name}_forecast.parquet"
        assert path.parent == tmp_path and len(os.fsencode(path.name)) <= 255, text
        assert name.isprintable() and name == name.strip(" ."), text
        path.touch()


def test_names_do_not_depend_on_the_others_unless_case_alone_tells_them_apart() -> None:
    for one, other in combinations((*ODD, *ORDINARY), 2):
        assert name_file(one) != name_file(other)
    assert name_files(["BTC", "ETH"]) == ["BTC", "ETH"]
    assert name_files(["BTC", "BTC"]) == ["BTC", "BTC"]
    both = name_files(["BTC", "btc"])
    assert both[0].startswith("BTC-") and both[1].startswith("btc-") and both == name_files(["btc", "BTC"])[::-1]


def test_an_earlier_name_that_differs_in_case_is_left_alone() -> None:
    assert name_files(["BTC", "ETH"], taken=["BTC", "Eth"])[0] == "BTC"
    [later] = name_files(["btc"], taken=["BTC"])
    assert later.startswith("btc-") and name_files(["btc"], taken=["BTC", later]) == [later]
    assert name_files(["btc"], taken=["BTC", "btc"]) == ["btc"]  # a file system to which case matters


def test_names_that_a_server_gives_keep_their_endings() -> None:
    assert safe_name("BTC.csv.gz") == "BTC.csv.gz" and safe_name("a/b/BRK.B.csv") == "BRK.B.csv"
    assert safe_name("a?.csv").endswith(".csv") and safe_name("a?.csv") != safe_name("a:.csv")
    assert len(safe_name("x" * 999 + ".csv")) < 2 * MAX_FILE_NAME
    assert {safe_name(name) for name in ("..", ".", "")}.isdisjoint({"..", ".", ""})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BTC 600519 贵州茅台 é −5%", "BTC 600519 贵州茅台 é −5%"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\rc\0d\te", r"a\x0ab\x0dc\x00d\x09e"),
        ("\u202egpj.exe \u2066", r"\u202egpj.exe \u2066"),
        ("\udcff \U000e0041", r"\udcff \udb40\udc41"),
        ("全角\u3000空格", "全角\u3000空格"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert make_printable(text) == shown
