"""Files that come with the program: configs/ and the sample candles in data/.

A clone and an editable install have them beside the package. A wheel has them in it (force-include in pyproject.toml).
"""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IN_WHEEL = PACKAGE / "shipped_files"
ROOT = IN_WHEEL if IN_WHEEL.is_dir() else PACKAGE.parent
FOLDERS = ("configs", "data")


def locate(path: Path) -> Path:
    """Return the path; if there is nothing, and a file such as configs/demo.yaml comes with the program, that file."""
    if path.is_absolute() or path.parts[:1] not in [(folder,) for folder in FOLDERS] or ".." in path.parts:
        return path
    shipped = ROOT / path
    return shipped if shipped.is_file() and not path.exists() else path


def shorten(name: str) -> str:
    """Return the short name of a file that comes with the program, by which it is found again; other names as they are."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(ROOT) and locate(short := path.relative_to(ROOT)) == path:
        return str(short)
    return name
