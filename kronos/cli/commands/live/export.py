"""`kronos export`: a run's models for other programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.errors import ConfigError
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.saved_run import SavedRun

logger = logging.getLogger(__name__)


def export_command(
    run: Annotated[Path, typer.Option("--run", help="The folder of the run, {base_path}/{exp_name}.")],
    onnx: Annotated[
        Path | None, typer.Option("--onnx", help="A new folder for ONNX graphs, and a runner without PyTorch.")
    ] = None,
    mlflow: Annotated[Path | None, typer.Option("--mlflow", help="A new folder for an MLflow model (pyfunc).")] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="With --onnx: int8 graphs too, if the CRPS on the run's candles stays within 2%."),
    ] = False,
    origins: Annotated[
        int, typer.Option("--origins", min=20, max=10_000, help="With --int8: forecasts to compare.")
    ] = 200,
    paths: Annotated[int, typer.Option("--paths", min=2, max=10_000, help="With --int8: futures of each.")] = 30,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Export a run's models: ONNX graphs for onnxruntime, or an MLflow model."""
    with start_session("run the same command again", language, verbose=verbose):
        if onnx is None and mlflow is None:
            raise ConfigError("nothing to export. Give --onnx or --mlflow, and a folder.")
        if int8 and onnx is None:
            raise ConfigError("--int8 needs --onnx.")
        logger.info("%s", Words(settle_language(None))("start.export", model=str(run)))
        with loading_libraries():
            from kronos.saved_run import load_saved_run

        saved = load_saved_run(run)
        words = Words(settle_language(saved.config))
        passes = onnx is None or _export_onnx(saved, onnx, (origins, paths) if int8 else None, words)
        if mlflow is not None:
            _export_mlflow(saved, mlflow)
            print_text(words("export.mlflow", folder=str(mlflow)))
        if not passes:
            raise typer.Exit(1)


def _export_onnx(saved: SavedRun, out: Path, int8: tuple[int, int] | None, words: Words) -> bool:
    """Write the folder. Return False if int8 was asked for, but is worse."""
    from kronos.export.onnx_files import export_onnx

    made = export_onnx(saved, out, int8)
    print_text(words("export.onnx", folder=str(out), difference=made.difference))
    if made.int8 is None:
        return True
    key = "export.int8_kept" if made.int8.passes else "export.int8_refused"
    gate = {"change": made.int8.change, "upper": made.int8.upper, "n": made.int8.n_origins}
    print_text(words(key, **gate))
    return made.int8.passes


def _export_mlflow(saved: SavedRun, out: Path) -> None:
    from kronos.export.onnx_files import check_out, check_packages

    check_packages(("mlflow",), "mlflow")
    from kronos.export.mlflow_model import MARKER, export_mlflow

    check_out(out, MARKER)
    export_mlflow(saved, out)
