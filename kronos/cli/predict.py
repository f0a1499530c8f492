"""`kronos predict`: forecasts of the candles in a file, or in every file of a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from tqdm import tqdm

from kronos.cli.environment import limit_thread_spinning, start_logging, translate_errors
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
from kronos.cli.predict_output import print_json, print_summary
from kronos.errors import ConfigError, DataError, KronosError

if TYPE_CHECKING:
    from kronos.config.data import RepairsConfig
    from kronos.forecast import Forecast, KronosPredictor, Sampling
    from kronos.forecast.generate import ContextPolicy
    from kronos.forecast.origin import ForecastTask
    from kronos.model import Kronos, KronosTokenizer
    from kronos.report.forecast.scene import Rising

logger = logging.getLogger(__name__)

GROUP = 16  # series forecast, then written, together


class Source(NamedTuple):
    """The models, and what goes with them where nothing else is said."""

    tokenizer: KronosTokenizer
    model: Kronos
    data: Sequence[Path] = ()
    columns: Mapping[str, str] | None = None
    repairs: RepairsConfig | None = None
    max_gap: int | None = None
    lookback: int | None = None
    horizon: int = DEFAULT_HORIZON
    max_context: int = DEFAULT_CONTEXT
    clip: float = 5.0
    temperature: float = 1.0
    top_p: float = 0.9
    rising: Rising = "hollow"

    @property
    def n_known(self) -> int:
        """How many candles to forecast from."""
        return self.lookback or self.max_context


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
    rising: RisingColour = None,
    out: Out = Path("forecasts"),
    as_json: AsJson = False,
) -> None:
    """Forecast candles: sampled futures, their mean and quantiles, as a table, a picture and a page."""
    with translate_errors("what has been forecast so far is in --out, in whole files"):
        limit_thread_spinning()
        start_logging()
        from kronos.forecast import Sampling
        from kronos.report.forecast.files import save_forecast

        levels = _read_quantiles(quantiles)
        given = {
            "data": [data] if data else None,
            "horizon": horizon,
            "lookback": lookback,
            "max_context": max_context,
            "rising": rising,
        }
        source = _load(run, tokenizer, model, **given, temperature=temperature, top_p=top_p)
        sampling = Sampling(source.temperature, top_k, source.top_p)
        predictor = _build_predictor(source, device, context_policy, dtype, compile)
        cuts, faults = _build_tasks(source, out, origin, exchange)
        out.mkdir(parents=True, exist_ok=True)
        forecasts: list[Forecast] = []
        saved: list[dict[str, Path]] = []
        # In groups, so that what is done is on disk whatever comes after; a forecast does not depend on its group.
        for names in tqdm(list(_group(cuts)), desc="series", unit="group", disable=None if len(cuts) > GROUP else True):
            group = {name: cuts[name] for name in names}
            for each in _forecast(predictor, group, source.n_known, paths, sampling, seed):
                save = partial(save_forecast, each, cuts[each.name], out, levels, table_format)
                try:
                    saved.append(save(save_paths, pictures, source.rising))
                    forecasts.append(each)
                except KronosError as error:
                    faults.append(f"{each.name}: {error}")
        _report_faults(faults, n_done=len(forecasts))
        if as_json:
            print_json(forecasts, cuts, saved, levels, faults)
        else:
            print_summary(forecasts, cuts, saved, out)
        if faults:
            raise typer.Exit(1)


def _group(cuts: dict[str, ForecastTask]) -> Iterator[list[str]]:
    names = list(cuts)
    return (names[first : first + GROUP] for first in range(0, len(names), GROUP))


def _forecast(
    predictor: KronosPredictor, cuts: dict[str, ForecastTask], n_known: int, n_paths: int, sampling: Sampling, seed: int
) -> list[Forecast]:
    forecasts = predictor.forecast_batch(
        [cut.history[-n_known:] for cut in cuts.values()],
        y_timestamp_list=[cut.future for cut in cuts.values()],
        n_paths=1 if sampling.greedy else n_paths,  # they would all be the same
        sampling=sampling,
        seed=seed,
        names=list(cuts),
    )
    return [replace(each, notes=(*cut.notes, *each.notes)) for each, cut in zip(forecasts, cuts.values())]


def _report_faults(faults: Sequence[str], n_done: int) -> None:
    """Say what could not be used; it is an error where nothing could."""
    if faults and not n_done:
        raise DataError("\n".join(faults))
    for fault in faults:
        logger.error("error: %s", fault)
    if faults:
        logger.error("error: %d of %d files could not be forecast", len(faults), len(faults) + n_done)


def _load(run: Path | None, tokenizer: str | None, model: str | None, **given: Any) -> Source:
    """Load the models; what is given on the command line goes before what the run says."""
    if (run is None) == (tokenizer is None or model is None) or (run is not None and (tokenizer or model)):
        raise ConfigError("give either --run, or both --tokenizer and --model; see --help.")
    from kronos.model import Kronos, KronosTokenizer
    from kronos.saved_run import find_run_of, load_saved_run

    if run is not None:
        config, own_tokenizer, own_model = load_saved_run(run)
        given["data"] = given["data"] or config.data.data_path
        source = Source(own_tokenizer, own_model)
    else:
        source = Source(KronosTokenizer.from_pretrained(str(tokenizer)), Kronos.from_pretrained(str(model)))
        found = find_run_of(Path(str(model)), source.tokenizer)
        if found is None:
            if given["max_context"] is None:
                logger.warning("--max-context is not given; %d is assumed, as of the published models", DEFAULT_CONTEXT)
            return source._replace(**_drop_none(given))
        config = found
    settings: dict[str, Any] = {
        "lookback": config.data.lookback_window,
        "horizon": config.data.predict_window,
        "max_context": config.data.max_context,
        "clip": config.data.clip,
        "columns": config.data.columns,
        "repairs": config.repairs,
        "max_gap": config.data.max_gap,
        "temperature": config.report.temperature,
        "top_p": config.report.top_p,
        "rising": config.report.rising,
    }
    return source._replace(**settings | _drop_none(given))


def _drop_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


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
        device=device,
        max_context=source.max_context,
        clip=source.clip,
        context_policy=context_policy,
        dtype=dtype,
        compile=compile,
    )
    predictor.check_horizon(source.horizon)
    return predictor


def _build_tasks(
    source: Source, out: Path, origin: str, exchange: str | None
) -> tuple[dict[str, ForecastTask], list[str]]:
    """Read and cut every file; say what is assumed."""
    from kronos.forecast.inputs import log_notes
    from kronos.forecast.origin import build_forecast_tasks

    files, known = _find_files(source.data, out), source.n_known
    read_as = (source.columns, source.repairs, source.max_gap)
    cuts, faults = build_forecast_tasks(files, origin, known, source.horizon, exchange, *read_as)
    if not cuts:
        _report_faults(faults, n_done=0)
    log_notes((name, cut.notes) for name, cut in cuts.items())
    short = {name: len(cut.history) for name, cut in cuts.items() if len(cut.history) < (source.lookback or 0)}
    log_notes(
        (name, [f"{n} candles up to the origin, fewer than the lookback of {known}"]) for name, n in short.items()
    )
    return cuts, faults


def _find_files(data: Sequence[Path], out: Path) -> list[Path]:
    from kronos.data.files.sources import find_files

    if not data:
        raise ConfigError("give --data: a file of candles, a folder of them or a glob.")
    files = find_files(data)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; choose a folder.")
    if any(out.resolve() == file.parent.resolve() for file in files):
        raise ConfigError(f"--out {out} is where the candles are; choose another folder, so that the two stay apart.")
    return files


def _read_quantiles(text: str) -> list[float]:
    from kronos.forecast.forecast import check_quantile

    try:
        return sorted({check_quantile(float(part)) for part in text.split(",")})
    except ValueError:
        raise ConfigError(f"--quantiles must be numbers separated by commas, like 0.1,0.5,0.9; got {text!r}.") from None
