"""The import order of the house, its public names, and the size of its rooms."""

import ast
from pathlib import Path

import pytest

import kronos
from tests.conftest import ROOT

FILES = sorted((ROOT / "kronos").rglob("*.py"))
# A room may import from its own level's earlier rooms and from any lower level.
LEVELS = [
    ["errors", "version"],
    ["candles", "files"],
    ["config", "model"],
    ["data"],
    ["training", "forecast"],
    ["evaluate"],
    ["report"],
    ["cli"],
    ["__main__"],
]
SEPARATE = [("training", "forecast"), ("forecast", "training"), ("model", "config"), ("config", "model")]


def room(path: Path) -> str:
    return path.relative_to(ROOT / "kronos").parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(i for i, rooms in enumerate(LEVELS) if name in rooms)


def imported_rooms(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if node.level], f"{path}: relative import"
    modules = [node.module for node in froms if node.module != "kronos"]
    modules += [f"kronos.{alias.name}" for node in froms if node.module == "kronos" for alias in node.names]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("kronos.")} - {room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    if path.parent.name == "kronos" and path.name == "__init__.py":
        return
    for other in imported_rooms(path):
        assert level(other) <= level(room(path)), f"{room(path)} must not import {other}"
        assert (room(path), other) not in SEPARATE, f"{room(path)} must not import {other}"


def test_model_knows_tensors_only() -> None:
    for path in (ROOT / "kronos" / "model").glob("*.py"):
        assert imported_rooms(path) <= {"errors"}
        assert "pandas" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 65, node.name  # with a full docstring


def test_only_cli_prints_and_reads_the_environment() -> None:
    for path in FILES:
        if room(path) != "cli":
            calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], path
            assert "os.environ" not in path.read_text(), path


def test_public_names_do_not_drift() -> None:
    assert kronos.__all__ == [
        "CheckpointError",
        "Config",
        "ConfigError",
        "DataError",
        "Kronos",
        "KronosError",
        "KronosPredictor",
        "KronosTokenizer",
        "__version__",
        "load_config",
    ]
    assert all(hasattr(kronos, name) for name in kronos.__all__)
