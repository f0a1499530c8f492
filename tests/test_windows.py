"""What can be told about Windows on Linux."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

CALLS = "import signal, os\n\ndef f() -> None:\n    signal.alarm(3)\n    os.getuid()\n"


def find_missing(folder: Path, cache: Path) -> list[str]:
    """Return what is used of Python's own modules and does not exist on Windows. Types of other packages are not read."""
    from mypy import api

    options = ["--platform", "win32", "--config-file=", "--follow-imports=skip", "--ignore-missing-imports"]
    found, errors, _ = api.run([*options, "--cache-dir", str(cache), str(folder)])
    assert not errors
    return re.findall(r"^.*Module has no attribute.*$", found, re.MULTILINE)


@pytest.mark.slow
def test_nothing_is_called_that_python_lacks_there(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "__init__.py").write_text(CALLS)
    assert len(find_missing(tmp_path / "wrong", tmp_path / "cache")) == 2
    assert find_missing(ROOT / "kronos", tmp_path / "cache") == []
