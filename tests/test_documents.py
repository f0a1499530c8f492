"""The documents are true: their commands, keys, links and files exist."""

import ast
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import typer

from kronos.cli.main import app
from kronos.config import Config, load_config
from kronos.config.evaluation import EvaluationConfig
from kronos.config.schema import LANGUAGES
from kronos.evaluation.forecasters import fracast, naive, quantiles
from kronos.evaluation.forecasters.base import ForecastInput
from kronos.report.words.catalogue import Words
from tests.conftest import ROOT, FinishedRun

DOCUMENTS = [ROOT / "README.md", ROOT / "README_CN.md"]
WITH_COMMANDS = [
    *DOCUMENTS,
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("evaluation", "forecasting", "data", "tuning", "search", "serving", "faq", "gallery")
    ),
]
PAGES = sorted((ROOT / "docs").glob("*.md"))
TRANSLATIONS = sorted((ROOT / "docs" / "zh").glob("*.md"))
COMMAND = re.compile(r"^(?:DIST_BACKEND=\w+ )?(?:python|torchrun) .*\.py .*$", re.MULTILINE)
SUBCOMMAND = re.compile(r"^python -m kronos ([\w-]+) (.*)$", re.MULTILINE)


def commands(path: Path) -> list[str]:
    text = path.read_text()
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    tables = "\n".join(re.findall(r"`((?:python|torchrun) [^`]*)`", text))
    configs = "\n".join(
        line.removeprefix("# Launch:").strip()
        for c in (ROOT / "configs").glob("*.yaml")
        for line in c.read_text().splitlines()
        if line.startswith("# Launch:")
    )
    return COMMAND.findall("\n".join([blocks, tables, configs]))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_name_files_and_keys_that_exist(path: Path) -> None:
    found = commands(path)
    assert len(found) > 10
    for command in found:
        words = list(shlex.split(command, comments=True))
        script = next(word for word in words if word.endswith(".py"))
        assert (ROOT / script).is_file(), command
        source = (ROOT / script).read_text() + (ROOT / "kronos/cli/commands/train.py").read_text()
        after = words[words.index(script) + 1 :]
        for option in (word for word in after if word.startswith("--") and word != "--help"):
            parameter = option.removeprefix("--").replace("-", "_")  # which typer names the option after
            assert f'"{option}"' in source or f"    {parameter}: Annotated" in source, command
        if "--config" in after and (config := after[after.index("--config") + 1]) != "configs/x.yaml":
            load_config(ROOT / config, [word for word in after if re.match(r"\w+\.\w+=", word)])


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.name)
def test_subcommands_and_their_options_exist(path: Path) -> None:
    found = SUBCOMMAND.findall(path.read_text())
    assert len(found) > 1
    known = typer.main.get_command(app).commands
    for subcommand, rest in found:
        options = {
            option for parameter in known[subcommand].params for option in parameter.opts + parameter.secondary_opts
        }
        for option in (word for word in shlex.split(rest, comments=True) if word.startswith("--")):
            assert option in options, f"{subcommand} {option}"


@pytest.mark.parametrize("folder", ["docs", "docs/zh"])
def test_the_settings_in_answers_are_valid(folder: str) -> None:
    """Of questions and answers, whose my.yaml stands for any configuration."""
    found = re.findall(
        r"^(?:python train_sequential\.py|python -m kronos \w+) (.*)$",
        (ROOT / folder / "faq.md").read_text(),
        re.MULTILINE,
    )
    settings = [
        [word for word in shlex.split(each, comments=True) if re.match(r"[a-z_]+(\.\w+)?=", word)] for each in found
    ]
    assert sum(map(bool, settings)) > 12
    for each in filter(None, settings):
        load_config(ROOT / "configs/demo.yaml", each)


def text_outside_code(path: Path) -> str:
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def headings(path: Path) -> list[tuple[str, str]]:
    """Return the level (`##`) and text of each heading."""
    return re.findall(r"^(#+) (.*)$", text_outside_code(path), re.MULTILINE)


def count_tables(path: Path) -> int:
    return len(re.findall(r"^\|(?: ?:?-+:? ?\|)+$", text_outside_code(path), re.MULTILINE))


def sections(path: Path) -> set[str]:
    """Return the anchors of a document: those of its headings, and the explicit ones."""
    heads = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in headings(path)}
    return heads | set(re.findall(r'^<a id="([\w-]+)"></a>$', path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [*DOCUMENTS, *PAGES, *TRANSLATIONS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_outside_code(path)):
        if target.startswith("http"):
            continue
        file, _, section = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        assert not section or section in sections(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_translation_has_the_same_parts(page: Path) -> None:
    translation = page.parent / "zh" / page.name
    levels = [level for level, _ in headings(page)]
    assert levels == [level for level, _ in headings(translation)]
    assert count_tables(page) == count_tables(translation)
    assert f"\n\n[中文](zh/{page.name})\n\n" in page.read_text()
    assert f"\n\n[English](../{page.name})\n\n" in translation.read_text()


def test_the_tree_is_the_tree() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = {f"kronos/{path.parent.name}/" for path in (ROOT / "kronos").glob("*/__init__.py")}
    assert set(re.findall(r"^(kronos/\w+/)", text, re.MULTILINE)) == packages


def test_readme_s_python_runs(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = next(each for each in found if "KronosPredictor" in each)
    code = code.replace("finetuned/demo", str(finished_run.path))
    tiny = {"96": "16", "120": "24", "24": "8"}  # its lookback, window and horizon
    code = re.sub(r"\b(96|120|24)\b", lambda number: tiny[number[0]], code)
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(code, names)
    assert len(names["forecast"]) == 8 and names["forecast"].notna().all(axis=None)
    assert names["paths"].paths.shape == (100, 8, 6)


def test_the_baseline_of_the_documents_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "evaluation.md").read_text(), re.DOTALL)[1]
    monkeypatch.setattr(naive, "NAIVE_FORECASTERS", {})
    exec(code, vars(naive) | {})
    times = pd.date_range("2024-06-03 09:35", periods=32, freq="5min")
    known = ForecastInput("", pd.DataFrame({"close": 20 + np.arange(24.0)}, index=times[:24]), times[24:])
    closes = naive.NAIVE_FORECASTERS["mean_20"].sample([known], 50, seed=0)
    assert closes.shape == (1, 50, 8) and 30 < closes.mean() < 37


def test_the_pretrained_baseline_of_the_documents_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "evaluation.md").read_text(), re.DOTALL)
    code = next(each for each in found if "def build_oracle" in each)
    assert len(code.splitlines()) <= 12
    model = torch.nn.Linear(1, 1)
    model.predict = lambda series, horizon: np.tile(np.arange(5.0), (len(series), horizon, 1))
    monkeypatch.setitem(sys.modules, "oracle", SimpleNamespace(load=lambda name: model))
    monkeypatch.setattr(quantiles, "version", lambda package: "1.0")
    names = vars(quantiles) | vars(fracast)
    exec(code, names)
    times = pd.date_range("2024-06-03 09:35", periods=32, freq="5min")
    known = ForecastInput("", pd.DataFrame({"close": 20 + np.arange(24.0) % 3}, index=times[:24]), times[24:])
    assert names["build_oracle"](EvaluationConfig()).sample([known], 50, seed=0).shape == (1, 50, 8)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_line_of_a_dry_run_is_explained(language: str) -> None:
    source = (ROOT / "kronos/cli/dry_run.py").read_text()
    returned = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return)]
    labels = [key.value for each in returned if isinstance(each, ast.Dict) for key in each.keys]  # the rows of stages
    labels += re.findall(r'add_row\(words\("plan\.(\w+)"\)', source)
    page = ROOT / "docs" / ("zh" if language == "zh" else "") / "dry_run.md"
    explained = "、".join(re.findall(r"^\| ([^|]+) \|", page.read_text(), re.MULTILINE))
    assert {"weights", "disk", "window", "on_disk"} <= set(labels)
    for label in labels:
        assert (label if label.startswith("-") else Words(language)(f"plan.{label}")) in re.split(
            "[、,] ?", explained
        ), label


def test_every_key_is_documented() -> None:
    table = (ROOT / "docs" / "configuration.md").read_text()
    for name, field in Config.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)  # None: a key of the top level, not a section
        assert (f"`{name}`" if keys is None else f"**{name}**") in table
        for key in keys or ():
            assert f"`{key}`" in table, key
