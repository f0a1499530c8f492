"""Execute examples/quickstart.ipynb. `python -m tests.examples.notebook` stores its outputs in the file."""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
BAR = re.compile(r"\s*|[^\n]*(\d+%\|.*left.*|\d\d:\d\d)\s*")


def execute(folder: Path) -> nbformat.NotebookNode:
    """Execute the notebook in a folder, as from an installed package, and return it with its outputs.

    Progress bars and the folders are left out.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONWARNINGS"] = "ignore:IProgress not found"  # the widgets of Jupyter
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_clean(each, folder) for each in cell.outputs if not _is_bar(each)]
    return notebook


def _is_bar(output: nbformat.NotebookNode) -> bool:
    return output.output_type == "stream" and bool(BAR.fullmatch(output.text))


def _clean(output: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    plain = output.get("data", output)
    for kind in ("text", "text/plain", "text/html"):
        if kind in plain:
            plain[kind] = plain[kind].replace(f"{ROOT}{os.sep}", "").replace(f"{folder}{os.sep}", "")
    return output


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(execute(Path(folder)), NOTEBOOK)
