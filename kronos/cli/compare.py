"""`kronos compare`: several evaluated runs beside each other."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from kronos.cli.compare_output import WIDE_LABEL, WIDE_RUN, print_comparison, print_json
from kronos.cli.environment import start_logging, translate_errors
from kronos.config import load_config
from kronos.errors import CheckpointError, ConfigError
from kronos.evaluation.results import Evaluation, Language
from kronos.evaluation.runs.compare import compare_runs
from kronos.evaluation.runs.evaluated_run import EvaluatedRun, flatten_settings
from kronos.files import shorten_names, write_text
from kronos.run_folder import RunFolder

logger = logging.getLogger(__name__)

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Evaluated runs' folders, {base_path}/{exp_name}.")]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="A row, by the metric's name; may be given again.", metavar="NAME")
]
Everything = Annotated[bool, typer.Option("--all", help="All metrics, of log returns and of prices.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write it as a page too.", show_default=False)]
LanguageOption = Annotated[Language, typer.Option("--language", help="Of headings and outcomes.")]


def compare(
    runs: Runs,
    metric: Metrics = None,
    everything: Everything = False,
    as_json: AsJson = False,
    html: Html = None,
    language: LanguageOption = "en",
) -> None:
    """Lay evaluated runs beside each other: what helped, by how much, and whether they can be compared at all."""
    with translate_errors("nothing was written"):
        start_logging()
        folders = find_runs(runs)
        names = [name.strip() for each in metric or [] for name in each.split(",")]
        compared = compare_runs(_read_runs(folders), names, everything)
        if html:
            page = Console(file=io.StringIO(), record=True, width=WIDE_LABEL + WIDE_RUN * len(folders), highlight=False)
            print_comparison(compared, page, language)
            write_text(html, page.export_html())
        if as_json:
            print_json(compared)
            return
        print_comparison(compared, Console(width=_find_width(len(folders)), highlight=False), language)
        if html:
            typer.echo(f"\nwritten to {html}")


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of runs as they were given, each once.

    Raises:
        CheckpointError: with all faults, a line each: no run there, or one that has not been evaluated.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.resolve() in found:
            logger.warning("%s: given more than once, shown once", path)
        found.setdefault(path.resolve(), path)
    faults = [fault for path in found.values() if (fault := _find_fault(path))]
    if faults:
        raise CheckpointError("\n".join(faults))
    return list(found.values())


def _find_fault(path: Path) -> str:
    if RunFolder(path).report.results.is_file():
        return ""
    if path.is_file():
        return f"{path}: this is a file; give the run's folder, {{base_path}}/{{exp_name}}."
    if not path.exists():
        return f"{path}: no such folder; a run's folder is {{base_path}}/{{exp_name}}."
    if not RunFolder(path).config.is_file():
        return f"{path}: there is no run here; a run's folder is {{base_path}}/{{exp_name}}, with config.yaml and report/ in it."
    return f"{path}: this run has not been evaluated yet: kronos evaluate --run {path}"


def _read_runs(folders: Sequence[Path]) -> list[EvaluatedRun]:
    names = shorten_names([Path(os.path.normpath(folder.absolute())) for folder in folders])
    evaluations = [Evaluation.read(RunFolder(folder).report.results) for folder in folders]
    for folder, evaluation in zip(folders, evaluations):
        if not evaluation.forecasters:
            raise CheckpointError(
                f"{RunFolder(folder).report.results}: damaged (no forecasters); kronos evaluate makes it anew."
            )
    return [EvaluatedRun(*each, _read_settings(each[1])) for each in zip(names, folders, evaluations)]


def _read_settings(folder: Path) -> dict[str, Any] | None:
    """Read a run's configuration; None where it cannot be read, since its figures can be compared without."""
    try:
        config = load_config(RunFolder(folder).config)
    except ConfigError as error:
        logger.warning("%s Its settings are not compared.", str(error).splitlines()[0])
        return None
    settings = flatten_settings(config.model_dump(mode="json"))
    if config.model_paths.finetuned_tokenizer == config.model_paths.run_folder.tokenizer.best_model:
        del settings["model_paths.finetuned_tokenizer"]  # each run's own
    return settings


def _find_width(n_runs: int) -> int | None:
    """The screen's own width, or all that the runs need where the output is piped."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return None
    return WIDE_LABEL + WIDE_RUN * n_runs
