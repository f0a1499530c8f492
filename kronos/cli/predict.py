"""`kronos predict`: forecasts of the candles in a file, or in every file of a folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import typer
from tqdm import tqdm

from kronos.cli.environment import be_a_good_neighbour, errors_reported, start_logging
from kronos.cli.predict_options import (
    DEFAULT_CONTEXT,
    DEFAULT_HORIZON,
    AsJson,
    Compile,
    Data,
    Device,
    Dtype,
    Exchange,
    Format,
    Horizon,
    Lookback,
    MaxContext,
    Model,
    Origin,
    Out,
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
from kronos.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kronos.forecast import Forecast, KronosPredictor
    from kronos.forecast.generate import ContextPolicy
    from kronos.forecast.origin import Cut
    from kronos.model import Kronos, KronosTokenizer

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """The models, and what goes with them where nothing else is said."""

    tokenizer: KronosTokenizer
    model: Kronos
    data: Path | None = None
    lookback: int | None = None
    horizon: int = DEFAULT_HORIZON
    max_context: int = DEFAULT_CONTEXT
    clip: float = 5.0
    temperature: float = 1.0
    top_p: float = 0.9


def predict(
    run: Run = None,
    tokenizer: Tokenizer = None,
    model: Model = None,
    data: Data = None,
    origin: Origin = "last",
    horizon: Horizon = None,
    lookback: Lookback = None,
    paths: Paths = 30,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_k: TopK = 0,
    top_p: TopP = None,
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
    rising: RisingColour = "hollow",
    out: Out = Path("forecasts"),
    as_json: AsJson = False,
) -> None:
    """Forecast candles: sampled futures, their mean and quantiles, as a table, a picture and a page."""
    with errors_reported("every file that has been written is whole"):
        be_a_good_neighbour()
        start_logging()
        from kronos.forecast import Sampling
        from kronos.report.forecast_files import check_table_format, save_forecast

        levels = _read_quantiles(quantiles)
        check_table_format(table_format)
        given = {"data": data, "horizon": horizon, "lookback": lookback, "max_context": max_context}
        source = _load(run, tokenizer, model, **given, temperature=temperature, top_p=top_p)
        sampling = Sampling(source.temperature, top_k, source.top_p)
        predictor = _build_predictor(source, device, context_policy, dtype, compile)
        cuts, faults = _cut_all(source, out, origin, exchange)
        forecasts = predictor.forecast_batch(
            [cut.history[-(source.lookback or predictor.max_context) :] for cut in cuts.values()],
            y_timestamp_list=[cut.future for cut in cuts.values()],
            n_paths=paths,
            sampling=sampling,
            seed=seed,
            names=list(cuts),
        )
        forecasts = [replace(each, notes=cut.notes) for each, cut in zip(forecasts, cuts.values())]
        saved = [
            save_forecast(each, cuts[each.name], out, levels, table_format, save_paths, pictures, rising)
            for each in tqdm(
                forecasts, desc="write", unit="series", disable=None if len(cuts) > 1 else True, leave=False
            )
        ]
        if as_json:
            _print_json(forecasts, saved, levels, faults)
        else:
            _print_summary(forecasts, saved, out)
        if faults:
            raise DataError(f"{len(faults)} of {len(faults) + len(cuts)} files could not be forecast, see above.")


def _load(run: Path | None, tokenizer: str | None, model: str | None, **given: Any) -> Source:
    """Load the models; what is given on the command line goes before what the run says."""
    named = tokenizer is not None and model is not None
    if (run is not None) == named or (run is not None and (tokenizer or model)):
        raise ConfigError("give either --run, or both --tokenizer and --model.")
    given = {key: value for key, value in given.items() if value is not None}
    from kronos.model import Kronos, KronosTokenizer
    from kronos.training.saved_run import load_saved_run

    if run is None:
        assert tokenizer is not None and model is not None
        source = Source(KronosTokenizer.from_pretrained(tokenizer), Kronos.from_pretrained(model))
        return source._replace(**given)
    saved = load_saved_run(run)
    config, report = saved.config.data, saved.config.report
    return Source(
        saved.tokenizer,
        saved.model,
        data=config.data_path,
        lookback=config.lookback_window,
        horizon=config.predict_window,
        max_context=config.max_context,
        clip=config.clip,
        temperature=report.temperature,
        top_p=report.top_p,
    )._replace(**given)


def _build_predictor(
    source: Source, device: str, context_policy: ContextPolicy, dtype: str, compile: bool
) -> KronosPredictor:
    from kronos.forecast import KronosPredictor
    from kronos.forecast.inputs import check_count

    if source.lookback is not None:
        check_count("--lookback", source.lookback)
    predictor = KronosPredictor(
        source.model,
        source.tokenizer,
        device=None if device == "auto" else device,
        max_context=source.max_context,
        clip=source.clip,
        context_policy=context_policy,
        dtype=dtype,
        compile=compile,
    )
    predictor.check_horizon(source.horizon)
    return predictor


def _cut_all(source: Source, out: Path, origin: str, exchange: str | None) -> tuple[dict[str, Cut], list[str]]:
    """Read every file and cut it at the origin.

    Returns:
        The cuts by the file's stem, and what is wrong with the files that could not be used.

    Raises:
        DataError: no file can be used.
    """
    from kronos.data import read_candles
    from kronos.forecast.origin import cut_at_origin
    from kronos.report.run_report import to_frame

    cuts, faults = {}, []
    for path in _find_files(source.data, out):
        try:
            candles = to_frame(read_candles(path))
            try:
                cuts[path.stem] = cut_at_origin(candles, origin, source.horizon, exchange)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
        except DataError as error:
            faults.append(str(error))
    if not cuts:
        raise DataError("\n".join(faults))
    for fault in faults:
        logger.error("error: %s", fault)
    for name, cut in cuts.items():
        for note in cut.notes:
            logger.warning("%s: %s", name, note)
        if source.lookback and len(cut.history) < source.lookback:
            logger.warning(
                "%s: %d candles up to the origin, fewer than the %d asked for", name, len(cut.history), source.lookback
            )
    return cuts, faults


def _find_files(data: Path | None, out: Path) -> list[Path]:
    if data is None:
        raise ConfigError("give --data, a CSV of candles or a folder of them.")
    folder = data if data.is_dir() else data.parent
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is where the candles are; choose another folder, so that the two stay apart.")
    if not data.is_dir():
        return [data]
    if files := sorted(data.glob("*.csv")):
        return files
    raise DataError(f"{data}: there is no .csv file in this folder.")


def _read_quantiles(text: str) -> list[float]:
    from kronos.forecast.forecast import check_quantile

    try:
        return sorted({check_quantile(float(part)) for part in text.split(",")})
    except ValueError:
        raise ConfigError(f"--quantiles must be numbers separated by commas, like 0.1,0.5,0.9; got {text!r}.") from None


def _print_json(
    forecasts: Sequence[Forecast], saved: Sequence[dict[str, Path]], levels: Sequence[float], faults: Sequence[str]
) -> None:
    from kronos.report.forecast_files import to_json

    listed = [to_json(each, levels, files) for each, files in zip(forecasts, saved)]
    typer.echo(json.dumps({"forecasts": listed, "errors": list(faults)}, ensure_ascii=False, allow_nan=False))


def _print_summary(forecasts: Sequence[Forecast], saved: Sequence[dict[str, Path]], out: Path) -> None:
    """Print where each series may stand at the end of the horizon."""
    rows = []
    for each in forecasts:
        low, median, high = (each.quantile(q)["close"].iloc[-1] for q in (0.05, 0.5, 0.95))
        rows.append(
            {
                "series": each.name,
                "last known": f"{each.origin:%Y-%m-%d %H:%M}",
                "close": f"{each.last_close:.6g}",
                "forecast to": f"{each.timestamps[-1]:%Y-%m-%d %H:%M}",
                "median": f"{median:.6g}",
                "5 % to 95 %": f"{low:.6g} to {high:.6g}",
                "ends higher": f"{each.probability_up().iloc[-1]:.0%}",
                "repaired": f"{each.repairs.share:.1%}" if each.repairs else "off",
            }
        )
    n_paths = len(forecasts[0].paths)
    typer.echo("\n" + pd.DataFrame(rows).to_string(index=False))
    typer.echo(f"\nClose at the end of the horizon over {n_paths} sampled paths; no promise of profit lies in it.")
    files = [path.name for path in saved[0].values()]
    more = f" and the same of {len(saved) - 1} more series" if len(saved) > 1 else ""
    typer.echo(f"written to {out}{os.sep}: {', '.join(files)}{more}")
