"""The import order of the house, its public names, and the size of its rooms."""

import ast
from collections import Counter
from pathlib import Path

import kronos
from tests.conftest import ROOT

PACKAGE = ROOT / "kronos"
FILES = sorted(PACKAGE.rglob("*.py"))
# A room imports from lower lines only; rooms on one line do not know each other. Folders of a room are listed in the
# same way; files directly in a room may use all of its folders, and what such a folder may use of them is named.
ORDER = [
    ["disk", "names", "version", "waiting"],
    ["errors"],
    ["candles", "files", "progress", "threads", "timing", "urls"],
    ["risk", "run_folder"],
    ["config", "model"],
    ["stage_record"],
    ["saved_run"],
    ["data"],
    ["training", "forecast"],
    ["planning", "tuning", "evaluation"],
    ["report"],
    ["run", "ledger"],
    ["api", "batch", "doctor", "hub", "refresh", "serving"],
    ["export"],
    ["cli"],
    ["__main__"],
]
# A method that draws its object, imported when it is called.
UPWARD = {("forecast.forecast", "report.forecast.candle_plot.plot_forecast")}
FOLDER_ORDER = {
    "data": [["files"], ["elsewhere"], ["quality"], ["windows"], ["audit", "leakage"]],
    "evaluation": [["results"], ["scores", "forecasters.base"], ["forecasters", "origins"], ["runs"]],
    "report": [["words"], ["drawing", "fonts"], ["forecast"], ["charts"], ["verdict"]],
}


def imported_modules(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if node.level], f"{path}: relative import"
    modules = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {module.removeprefix("kronos.") for module in modules if module.startswith("kronos.")}


def level(order: list[list[str]], module: str) -> int | None:
    """The line of a module, by the longest name that fits."""
    fits = [(len(name), i) for i, names in enumerate(order) for name in names if f"{module}.".startswith(f"{name}.")]
    return max(fits)[1] if fits else None


def test_imports_go_downward() -> None:
    for path in FILES:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module != "__init__":
            check_imports(module, imported_modules(path))


def check_imports(module: str, imported: set[str]) -> None:
    room, _, inside = module.partition(".")
    here, here_inside = level(ORDER, module), level(FOLDER_ORDER.get(room, []), inside)
    assert here is not None, f"{module} is no room of the house"
    for other in imported:
        other_room, _, other_inside = other.partition(".")
        there = level(ORDER, other)
        if other_room != room and there is not None and (module, other) not in UPWARD:
            assert there < here, f"{module} must not import {other}"
        there_inside = level(FOLDER_ORDER.get(room, []), other_inside)
        if other_room == room and here_inside is not None and there_inside is not None:
            same = inside.split(".")[0] == other_inside.split(".")[0]
            assert same or there_inside < here_inside, f"{module} must not import {other}"


def test_model_knows_tensors_only() -> None:
    for path in (PACKAGE / "model").rglob("*.py"):
        assert {module.split(".")[0] for module in imported_modules(path)} <= {"model", "errors", "names"}
        assert "pandas" not in path.read_text()


def test_files_and_functions_stay_short() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno
                assert lines <= 65, f"{path}: {node.name}"  # with a full docstring


def test_folders_hold_a_dozen_files() -> None:
    crowd = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert not {str(folder): n for folder, n in crowd.items() if n > 14}


def test_only_cli_prints_and_reads_the_environment() -> None:
    for path in FILES:
        if path.name != "waiting.py" and "cli" not in path.relative_to(PACKAGE).parts:
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
        "Run",
        "WriteError",
        "__version__",
        "check",
        "evaluate",
        "finetune",
        "load_config",
        "load_run",
    ]
    assert dir(kronos) == kronos.__all__
    assert all(hasattr(kronos, name) for name in kronos.__all__)
