"""The notebook runs, and its outputs in the file are those of a run."""

import re
from pathlib import Path

import nbformat
import pytest

from tests.examples.notebook import NOTEBOOK, execute


def list_outputs(notebook: nbformat.NotebookNode) -> list[tuple[str, ...]]:
    """The kinds of data of each output; warnings are text on stderr."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [tuple(sorted(output.get("data", {"stderr": ""}))) for cell in cells for output in cell.outputs]


def test_outputs_are_stored_without_paths_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    outputs = list_outputs(nbformat.reads(text, as_version=4))
    assert ("image/png", "text/plain") in outputs and outputs.count(("text/html", "text/plain")) >= 4
    assert not re.search(r"/tmp|/home|/root|/Users|\bleft\b.{0,20}%\|", re.sub(r'"image/png": "[^"]*"', "", text))
    assert len(text) < 300_000


@pytest.mark.slow
@pytest.mark.process
def test_it_runs_outside_the_clone(tmp_path: Path) -> None:
    stored, executed = nbformat.read(NOTEBOOK, as_version=4), execute(tmp_path)
    assert list_outputs(executed) == list_outputs(stored)
    assert "A lookback of 96 and a horizon of 24 candles are proposed" in str(executed.cells)
    assert (tmp_path / "finetuned" / "quickstart" / "report" / "index.html").is_file()
