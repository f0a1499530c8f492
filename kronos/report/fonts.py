"""Choose fonts for Chinese, Japanese and Korean titles; matplotlib's default font lacks their characters."""

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties, fontManager

from kronos.progress.log_levels import raise_log_levels

logger = logging.getLogger(__name__)

CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the first face in Noto's common file; older versions of matplotlib see only that one
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
BUNDLED_FONT = "NotoSansCJKsc-Regular.otf"  # from the package mplfonts


def choose_fonts(text: str) -> tuple[str, list[str]]:
    """Find fonts that have the characters of a text.

    Returns:
        The text, with "?" for each character that no installed font has; the font families, first choice first.
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


def accept_any_weight() -> AbstractContextManager[None]:
    """Suppress matplotlib's warning about Chinese fonts with only one weight."""
    return raise_log_levels({"matplotlib.font_manager": logging.ERROR})


def _extend(families: list[str], missing: set[str], candidates: Iterable[str]) -> set[str]:
    """Append each candidate that has missing characters to families; return the characters that are still missing."""
    for candidate in candidates:
        if not missing:
            break
        available = _characters(candidate)
        if missing & available:
            families.append(candidate)
            missing = missing - available
    return missing


def _characters(family: str) -> set[str]:
    with accept_any_weight():
        font = font_manager.get_font(fontManager.findfont(FontProperties(family=[family])))
    return {chr(code) for code in font.get_charmap()}


def _installed_families() -> list[str]:
    installed = {entry.name for entry in fontManager.ttflist}
    return [family for family in CJK_FAMILIES if family in installed]


def _register_new_fonts() -> None:
    """Register fonts that were installed after matplotlib listed them, and the font of the package mplfonts."""
    known = {Path(entry.fname) for entry in fontManager.ttflist}
    for path in {*map(Path, font_manager.findSystemFonts()), *_bundled_font()} - known:
        with suppress(OSError, RuntimeError, ValueError):  # ignore damaged or unsupported font files
            fontManager.addfont(path)


def _bundled_font() -> list[Path]:
    spec = find_spec("mplfonts")  # find_spec does not import the package: importing it changes settings
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent / "fonts" / BUNDLED_FONT
    return [path] if path.is_file() else []


@cache
def _warn_once() -> None:
    logger.warning(
        "no installed font has all characters of a title; the picture shows '?' for them. For Chinese, Japanese and "
        "Korean, run pip install mplfonts, or install the system package fonts-noto-cjk."
    )
