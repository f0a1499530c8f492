"""Fonts for titles in Chinese, Japanese or Korean: matplotlib's own font has none of their characters."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties, fontManager

logger = logging.getLogger(__name__)

CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the first face of Noto's one file for all; older matplotlib sees no other
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Heiti TC",
    "SimHei",
    "SimSun",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "Noto Sans CJK KR",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
)
BUNDLED_FONT = "NotoSansCJKsc-Regular.otf"  # in the package mplfonts


def choose_fonts(text: str) -> tuple[str, list[str]]:
    """Find fonts that draw a text.

    Returns:
        The text, with "?" for each character that no font at hand draws; the font families, first choice first.
    """
    families = list(FontProperties().get_family())
    missing = set(text).difference(*map(_characters, families))
    missing = _extend(families, missing, _installed_families())
    if missing:
        _register_new_fonts()
        missing = _extend(families, missing, _installed_families())
    if missing:
        _warn_once()
    return "".join("?" if character in missing else character for character in text), families


def can_draw(text: str) -> bool:
    """Whether the installed fonts have all characters of a text."""
    return choose_fonts(text)[0] == text


@contextmanager
def accept_any_weight() -> Iterator[None]:
    """Keep matplotlib from warning that a Chinese font has but one weight."""
    font_logger = logging.getLogger("matplotlib.font_manager")
    level = font_logger.level
    font_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        font_logger.setLevel(level)


def _extend(families: list[str], missing: set[str], candidates: Iterable[str]) -> set[str]:
    """Add to families each candidate that draws something missing; return what is then still missing."""
    for candidate in candidates:
        if not missing:
            break
        drawn = _characters(candidate)
        if missing & drawn:
            families.append(candidate)
            missing = missing - drawn
    return missing


def _characters(family: str) -> set[str]:
    with accept_any_weight():
        font = font_manager.get_font(fontManager.findfont(FontProperties(family=[family])))
    return {chr(code) for code in font.get_charmap()}


def _installed_families() -> list[str]:
    installed = {entry.name for entry in fontManager.ttflist}
    return [family for family in CJK_FAMILIES if family in installed]


def _register_new_fonts() -> None:
    """Make known the fonts installed since matplotlib last listed them, and the one in the package mplfonts."""
    known = {Path(entry.fname) for entry in fontManager.ttflist}
    for path in {*map(Path, font_manager.findSystemFonts()), *_bundled_font()} - known:
        with suppress(OSError, RuntimeError, ValueError):  # a damaged or unknown font file is no use, and no harm
            fontManager.addfont(path)


def _bundled_font() -> list[Path]:
    spec = find_spec("mplfonts")  # the package is looked for, not imported: importing it changes settings
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent / "fonts" / BUNDLED_FONT
    return [path] if path.is_file() else []


@cache
def _warn_once() -> None:
    logger.warning(
        "no installed font has all characters of a title, and the picture shows '?' for them; for Chinese, Japanese "
        "and Korean: pip install mplfonts, or install the system package fonts-noto-cjk"
    )
