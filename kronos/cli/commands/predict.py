"""`kronos predict`: forecasts of the candles in a file, or in every file of a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.predict import print_json, print_summary
from kronos.cli.predict_log import LEDGER_NAME, log_forecasts
from kronos.cli.predict_options import (
    AsJson,
    Calibrate,
    Compile,
    Data,
    Device,
    Dtype,
    Exchange,
    Format,
    Horizon,
    LedgerFile,
    Log,
    Lookback,
    MaxContext,
    Model,
    Origin,
    Out,
    Overrides,
    Paths,
    Pictures,
    Policy,
    Quantiles,
    RisingColour,
    Run,
    SavePaths,
    Seed,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
)
from kronos.cli.predict_source import Source, check_choice, load_source, read_quantiles
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import ConfigError, DataError, KronosError, WriteError
from kronos.names import Message, name_files
from kronos.progress.bars import track
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.evaluation.scores.calibration import Calibration
    from kronos.forecast import Forecast, KronosPredictor, Sampling
    from kronos.forecast.origin import ForecastTask
    from kronos.report.verdict.summary import VerdictSummary

logger = logging.getLogger(__name__)

MOST_NAMED = 5  # of the forecasts that are replaced


def predict_command(
    overrides: Overrides = None,
    run: Run = None,
    model: Model = None,
    tokenizer: Tokenizer = None,
    data: Data = None,
    origin: Origin = "last",
    horizon: Horizon = None,
    lookback: Lookback = None,
    paths: Paths = 30,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_k: TopK = 0,
    top_p: TopP = None,
    calibrate: Calibrate = True,
    exchange: Exchange = None,
    context_policy: Policy = "slide",
    max_context: MaxContext = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    compile: Compile = False,
    quantiles: Quantiles = "0.05,0.25,0.5,0.75,0.95",
    table_format: Format = "csv",
    save_paths: SavePaths = False,
    pictures: Pictures = True,
    rising: RisingColour = None,
    language: LanguageOption = None,
    out: Out = Path("forecasts"),
    log: Log = False,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
    verbose: VerboseOption = False,
) -> None:
    """Forecast candles: sampled futures, their mean and quantiles, as a table, a picture and a page."""
    with start_session("finished forecasts are in --out; run the same command again", language, verbose=verbose):
        check_choice(run, tokenizer, model)
        logger.info("%s", Words(settle_language(None))("start.predict", model=str(run or model)))
        with loading_libraries():
            from kronos.forecast import Sampling

        levels = read_quantiles(quantiles)
        given: dict[str, Any] = {"data": [data] if data else None, "horizon": horizon, "lookback": lookback}
        given |= {"max_context": max_context, "temperature": temperature, "top_p": top_p, "rising": rising}
        source = load_source(run, tokenizer, model, overrides or (), **given)
        source = source._replace(language=settle_language(source.run))
        sampling = Sampling(source.temperature, top_k, source.top_p)
        n_paths = 1 if sampling.greedy else paths  # greedy paths are all the same
        predictor = source.build_predictor(device, context_policy, dtype, compile)
        tasks, errors = _build_tasks(source, out, origin, exchange)
        conditions = _describe(source, predictor, sampling)
        calibration = _find_calibration(source, conditions, n_paths) if calibrate else None
        summary = _summarize(source, conditions, tokenizer, model)
        how = {"n_paths": n_paths, "sampling": sampling, "seed": seed}
        kept: dict[str, Any] = {"quantiles": levels, "table_format": table_format, "with_paths": save_paths}
        kept |= {"with_pictures": pictures, "rising": source.rising, "language": source.language}
        made = _forecast_all(predictor, tasks, source, calibration, how)
        if log:
            made = log_forecasts(made, tasks, ledger or out / LEDGER_NAME, run or str(model), conditions, how)
        forecasts, saved = _save_all(made, tasks, out, kept, summary, errors)
        _report_errors(errors, n_done=len(forecasts))
        if as_json:
            print_json(forecasts, tasks, saved, summary, levels, errors)
        else:
            print_summary(forecasts, tasks, saved, summary, out, source.language)
        if errors:
            raise typer.Exit(1)


def _forecast_all(
    predictor: KronosPredictor,
    tasks: dict[str, ForecastTask],
    source: Source,
    calibration: Calibration | None,
    how: dict[str, Any],
) -> Iterator[Forecast]:
    """Forecast in groups of series, to leave whole files if interrupted. A forecast does not depend on its group."""
    from kronos.evaluation.stored_calibration import calibrate
    from kronos.forecast.chunks import choose_group_size
    from kronos.forecast.limits import limit_forecast

    size = choose_group_size(predictor.device)
    firsts = range(0, len(tasks), size)
    groups = track(firsts, Message("series"), len(firsts), "groups") if len(firsts) > 1 else firsts
    for first in groups:
        group = dict(list(tasks.items())[first : first + size])
        histories = [task.history[-source.n_known :] for task in group.values()]
        futures = [task.future for task in group.values()]
        symbols = list(group) if len(tasks) > 1 else None
        forecasts = predictor.forecast_batch(
            histories, y_timestamp_list=futures, names=list(group), symbols=symbols, **how
        )
        for forecast, task, history in zip(forecasts, group.values(), histories):
            noted = replace(forecast, notes=(*task.notes, *forecast.notes))
            made = calibrate(noted, calibration, history["close"].to_numpy())
            yield limit_forecast(made, made.name, source.reading.board, task.history)


def _save_all(
    forecasts: Iterator[Forecast],
    tasks: dict[str, ForecastTask],
    out: Path,
    kept: dict[str, Any],
    summary: VerdictSummary,
    errors: list[KronosError | Message],
) -> tuple[list[Forecast], list[dict[str, Path]]]:
    """Write the files of each forecast as it is made. Return those that could be written, and their files."""
    from kronos.report.forecast.files import save_forecast

    out.mkdir(parents=True, exist_ok=True)
    done, saved, names = [], [], _name_outputs(list(tasks), out)
    for each in forecasts:
        notes = summary.write(each.calibrated, Words(kept["language"]))
        try:
            saved.append(save_forecast(each, tasks[each.name], out, notes=notes, name=names[each.name], **kept))
            done.append(each)
        except KronosError as error:
            if isinstance(error, WriteError) and error.is_full:  # those after it would fail too
                raise
            errors.append(Message("{name}: {error}", name=each.name, error=error))
    return done, saved


def _name_outputs(tasks: Sequence[str], out: Path) -> dict[str, str]:
    """Choose the names of the files, log which forecasts they replace, and remove what killed commands left of them."""
    from kronos.report.forecast.files import list_saved, name_group

    saved = list_saved(out)
    names = name_files(tasks, taken=saved)
    if replaced := sorted({*names}.intersection(saved)):
        listed: object = ", ".join(replaced[:MOST_NAMED])
        if (n_more := len(replaced) - MOST_NAMED) > 0:
            listed = Message("{names} and {n} more", names=listed, n=n_more)
        logger.info("Earlier forecasts in %s are replaced: %s.", out, listed)
    remove_temporaries(out, of=map(name_group, names))
    return dict(zip(tasks, names))


def _describe(source: Source, predictor: KronosPredictor, sampling: Sampling) -> dict[str, Any]:
    from kronos.evaluation.stored_calibration import describe_conditions

    return describe_conditions(predictor, sampling, source.n_known, source.horizon)


def _find_calibration(source: Source, conditions: dict[str, Any], n_paths: int) -> Calibration | None:
    from kronos.evaluation.stored_calibration import find_calibration

    if source.run is None or n_paths == 1:
        return None
    return find_calibration(source.run.model_paths.run_folder.calibration, conditions, n_paths)


def _summarize(source: Source, conditions: dict[str, Any], tokenizer: str | None, model: str | None) -> VerdictSummary:
    from kronos.report.verdict.summary import summarize_models, summarize_run

    if source.run is not None:
        return summarize_run(source.run.model_paths.run_folder, conditions)
    return summarize_models(tokenizer, str(model), next(iter(source.data), None))


def _report_errors(errors: Sequence[object], n_done: int) -> None:
    """Log what could not be forecast; raise it if nothing could."""
    if errors and not n_done:
        raise DataError("{errors}", errors=Message.join(errors))
    for error in errors:
        logger.error("error: %s", error)
    if errors:
        logger.error("error: %d of %d files could not be forecast", len(errors), len(errors) + n_done)


def _build_tasks(
    source: Source, out: Path, origin: str, exchange: str | None
) -> tuple[dict[str, ForecastTask], list[KronosError | Message]]:
    """Read every file and cut it at the origin; log what is assumed."""
    from kronos.data.against_run import RunCandles
    from kronos.data.files.options import ReadingOptions
    from kronos.forecast.inputs import log_notes
    from kronos.forecast.origin import build_forecast_tasks

    files, known = _find_files(source, out), source.n_known
    read_as = (ReadingOptions.of(source.reading), source.repairs, source.reading.max_gap)
    trained = RunCandles.read(source.run.model_paths.run_folder) if source.run else None
    tasks, errors = build_forecast_tasks(files, origin, known, source.horizon, exchange, *read_as, trained)
    if not tasks:
        _report_errors(errors, n_done=0)
    log_notes((name, task.notes) for name, task in tasks.items())
    log_notes((name, task.note_short(source.lookback or 0)) for name, task in tasks.items())
    return tasks, [*errors]


def _find_files(source: Source, out: Path) -> list[Path]:
    from kronos.data.elsewhere.gather import gather_files
    from kronos.data.elsewhere.options import FetchOptions

    if not source.data:
        raise ConfigError("give --data: a file of candles, a folder of them, a glob or a URL.")
    gathered = gather_files(source.data, FetchOptions.of(source.reading))
    files, passed_over = gathered.files, gathered.passed_over
    for snapshot in gathered.snapshots:
        logger.info("%s", snapshot)
    if passed_over:
        logger.info("Files without candles are passed over: %s.", ", ".join(map(str, passed_over[:20])))
    if out.exists() and not out.is_dir():
        raise ConfigError("--out {out} is a file; choose a folder.", out=out)
    if any(out.resolve() == file.parent.resolve() for file in files):
        raise ConfigError("--out {out} is the folder of the candles; choose another folder.", out=out)
    return files
