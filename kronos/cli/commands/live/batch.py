"""`kronos batch`: forecasts of very many symbols, from Parquet to Parquet."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.predict_options import Exchange, Horizon, Overrides, Paths, Quantiles, Seed, Temperature, TopK, TopP
from kronos.cli.predict_source import read_quantiles
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.names import make_printable
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.batch.batch import BatchResult
    from kronos.batch.forecaster import Forecaster
    from kronos.report.verdict.summary import VerdictSummary

logger = logging.getLogger(__name__)

SHOWN = 5  # of the symbols that are left out


def batch_command(
    run: Annotated[Path, typer.Option("--run", help="The folder of the run that forecasts, {base_path}/{exp_name}.")],
    data: Annotated[str, typer.Option("--data", help="Parquet: a file, a folder, Hive folders, a glob or a URL.")],
    overrides: Overrides = None,
    out: Annotated[
        Path, typer.Option("--out", help="The folder of the forecasts, part-00000.parquet and so on.")
    ] = Path("batch"),
    columns: Annotated[
        str, typer.Option("--columns", help="Columns to forecast: open,high,low,close,volume,amount.")
    ] = "close",
    quantiles: Quantiles = "0.05,0.25,0.5,0.75,0.95",
    horizon: Horizon = None,
    paths: Paths = 30,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_k: TopK = 0,
    top_p: TopP = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Correct quantiles of prices by the run's calibration.")
    ] = True,
    exchange: Exchange = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=1024, help="Processes, each with one thread; by default as many as fit."),
    ] = None,
    engine: Annotated[
        Literal["processes", "ray"], typer.Option("--engine", help="A pool of processes, or Ray Data (extra ray).")
    ] = "processes",
    partition_size: Annotated[
        int, typer.Option("--partition-size", min=1, max=1_000_000, help="The most symbols in one file of forecasts.")
    ] = 256,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Forecast every symbol of Parquet files into Parquet files. A batch that was stopped goes on."""
    advice = "finished partitions are in --out; run the same command again"
    with start_session(advice, language, verbose=verbose):
        logger.info("%s", Words(settle_language(None))("start.batch", model=str(run), candles=make_printable(data)))
        with loading_libraries():
            from kronos.batch.batch import run_batch
            from kronos.batch.forecaster import Forecaster
            from kronos.saved_run import load_run_config

        config = load_run_config(run)
        words = Words(settle_language(config))
        how: dict[str, Any] = {"quantiles": read_quantiles(quantiles), "columns": columns.split(",")}
        how |= {"calibrated": calibrate, "exchange": exchange, "device": device, "horizon": horizon}
        sampling = _choose_sampling(config.report, temperature, top_k, top_p)
        forecaster = Forecaster(run, n_paths=paths, seed=seed, sampling=sampling, reading=overrides or (), **how)
        started = time.monotonic()
        result = run_batch(forecaster, data, out, workers, engine, partition_size)
        _print_result(result, forecaster, out, time.monotonic() - started, words)
        if not result.n_forecast:
            raise typer.Exit(1)


def _choose_sampling(report: Any, temperature: float | None, top_k: int, top_p: float | None) -> Any:
    from kronos.forecast import Sampling

    return Sampling(
        report.temperature if temperature is None else temperature, top_k, report.top_p if top_p is None else top_p
    )


def _print_result(result: BatchResult, forecaster: Forecaster, out: Path, seconds: float, words: Words) -> None:
    print_text(
        words("batch.done", n=result.n_forecast, n_partitions=result.n_partitions, folder=str(out), seconds=seconds)
    )
    if result.n_kept:
        print_text(words("batch.kept", n=result.n_kept))
    if result.left_out:
        print_text(words("batch.left_out", n=len(result.left_out), file=str(out / "_left_out.csv")))
        for symbol, reason in list(result.left_out.items())[:SHOWN]:
            print_text(f"  {make_printable(symbol)}: {make_printable(str(reason))}")
    print_text("\n".join(_summarize(forecaster).write(forecaster.is_calibrated, words)))


def _summarize(forecaster: Forecaster) -> VerdictSummary:
    from kronos.report.verdict.summary import summarize_run
    from kronos.run_folder import RunFolder

    return summarize_run(RunFolder(Path(forecaster.run)), forecaster.conditions)
