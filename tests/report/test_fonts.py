import logging
import shutil
import sys
from pathlib import Path

import pytest
from matplotlib import font_manager, get_data_path
from matplotlib.font_manager import fontManager

from kronos.report import fonts

# Stands for Chinese, as a Chinese font may be installed or not: no usual font has the character, matplotlib's own has.
RARE, RARE_FAMILY, RARE_FILE = "\ue000", "STIXNonUnicode", "STIXNonUni.ttf"


@pytest.fixture(autouse=True)
def one_rare_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "CJK_FAMILIES", (RARE_FAMILY,))
    fonts._warn_once.cache_clear()


@pytest.fixture
def no_rare_font(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [entry for entry in fontManager.ttflist if entry.name != RARE_FAMILY]
    monkeypatch.setattr(fontManager, "ttflist", listed)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)


def test_plain_text_needs_no_other_font() -> None:
    text, families = fonts.choose_fonts("Plain ·")
    assert text == "Plain ·" and RARE_FAMILY not in families


def test_another_font_is_taken_where_needed() -> None:
    text, families = fonts.choose_fonts(f"a{RARE}")
    assert text == f"a{RARE}" and families[-1] == RARE_FAMILY


def test_without_a_font_there_are_question_marks_and_one_warning(
    no_rare_font: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert [fonts.choose_fonts(f"a{RARE}b{RARE}")[0] for _ in range(3)] == ["a?b?"] * 3
    assert [record.message for record in caplog.records if "pip install mplfonts" in record.message] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_font_installed_since_is_found(no_rare_font: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ttf"
    damaged.write_text("no font")
    installed = [str(damaged), str(Path(get_data_path(), "fonts/ttf", RARE_FILE))]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: installed)
    assert fonts.choose_fonts(RARE) == (RARE, [*fonts.choose_fonts("a")[1], RARE_FAMILY])


def test_the_font_of_mplfonts_is_found_without_importing_it(
    no_rare_font: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "mplfonts"
    (package / "fonts").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    shutil.copy(Path(get_data_path(), "fonts/ttf", RARE_FILE), package / "fonts" / fonts.BUNDLED_FONT)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert fonts.choose_fonts(RARE)[0] == RARE
