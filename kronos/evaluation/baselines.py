"""Build the forecasters of an evaluation: the run's own, and the baselines in evaluation.rivals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import gather_object

from kronos.config import Config
from kronos.config.evaluation import BASELINES
from kronos.config.training import StageName
from kronos.data import CandleSet
from kronos.data.quality.findings import format_time
from kronos.data.windows.splits import Split, SplitName
from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.evaluation.forecasters.base import (
    Forecaster,
    KronosForecaster,
    NotApplicable,
    PastCloses,
    translate_failures,
)
from kronos.evaluation.forecasters.foundation import FOUNDATION_MODELS
from kronos.evaluation.forecasters.garch import build_garch
from kronos.evaluation.forecasters.lstm import build_lstm, find_lstm
from kronos.evaluation.forecasters.majority import build_majority
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.forecasters.volatility import build_ewma, build_time_of_day
from kronos.evaluation.origins.past import collect_past
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Label, Note
from kronos.evaluation.results import LeftOut
from kronos.forecast import KronosPredictor, Sampling
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.names import shorten_names
from kronos.run_folder import RunFolder
from kronos.saved_run import SavedRun, load_model, load_saved_run
from kronos.stage_record import StageRecord
from kronos.timing import timed
from kronos.training.pipeline import build_windows
from kronos.training.safety.stopping import LostPeerError
from kronos.training.saved.last_seen import read_last_seen

logger = logging.getLogger(__name__)

OWN = "finetuned"

# Baselines that are fitted on earlier closes before the evaluation.
FITTED_BASELINES: Mapping[str, Callable[[PastCloses], Forecaster]] = {
    "majority": build_majority,
    "ewma": build_ewma,
    "garch": build_garch,
    "time_of_day": build_time_of_day,
}
# The splits of the run's own candles, to fit baselines on; empty if they are not available.
Splits = Mapping[SplitName, Split]


def has_pretrained(config: Config) -> bool:
    """Whether both models of a run started from pretrained ones."""
    on, paths = config.experiment, config.model_paths
    pre_trained = on.pre_trained_tokenizer and on.pre_trained_predictor
    return pre_trained and bool(paths.pretrained_tokenizer and paths.pretrained_predictor)


def build_own(config: Config, tokenizer: KronosTokenizer, model: Kronos) -> KronosForecaster:
    """Return the run's models as a forecaster."""
    label = OWN if has_pretrained(config) else "from_scratch"
    return build_kronos(OWN, label, SavedRun(config, tokenizer, model), config)


@timed("baselines")
def build_baselines(
    config: Config, origins: Origins, candles: CandleSet | None, splits: Splits
) -> tuple[list[Forecaster], list[LeftOut]]:
    """Build the baselines in evaluation.rivals.

    Args:
        origins: the origins to forecast from.
        candles, splits: those of the run, to train baselines on; None and empty if they are not available.

    Returns:
        The baselines, and those that cannot be compared, with the reason.

    Raises:
        ConfigError: a baseline is neither known nor a run's folder.
    """
    past = cache(lambda: collect_past(config.data, origins, candles, splits))
    known: dict[str, Callable[[], Forecaster]] = {
        "pretrained": lambda: _build_pretrained(config),
        "lstm": lambda: _build_lstm(config, candles, splits),
        **{name: lambda baseline=baseline: baseline for name, baseline in NAIVE_FORECASTERS.items()},  # type: ignore[misc]
        **{name: partial(build, config.evaluation) for name, build in FOUNDATION_MODELS.items()},
        **{name: lambda fit=fit: fit(past()) for name, fit in FITTED_BASELINES.items()},  # type: ignore[misc]
    }
    builders = {name: known[name] for name in config.evaluation.rivals if name in known}
    check_baselines(config)
    for folder, name in _name_runs(config).items():
        builders[name] = lambda name=name, folder=folder: _build_run(config, name, folder, origins)  # type: ignore[misc]
    baselines: list[Forecaster] = []
    left_out: list[LeftOut] = []
    for name, build in builders.items():
        built, reason = _try(build)
        failed = next(filter(None, gather_object([reason])), None)  # perhaps on another rank only
        if failed:
            left_out.append(LeftOut(baseline=name, reason=failed))
        elif built:
            baselines.append(built)
    return baselines, left_out


def _try(build: Callable[[], Forecaster]) -> tuple[Forecaster | None, Note | None]:
    try:
        with translate_failures():
            return build(), None
    except NotApplicable as error:
        return None, error.reason


def list_names() -> list[str]:
    """Return the names of all registered baselines; folders of other runs are not among them."""
    return list(dict.fromkeys([*BASELINES, *NAIVE_FORECASTERS, *FITTED_BASELINES, *FOUNDATION_MODELS]))


def check_baselines(config: Config) -> None:
    """Check the names in evaluation.rivals, before training.

    Raises:
        ConfigError: one is neither known nor a run's folder.
    """
    for name in config.evaluation.rivals:
        if name not in list_names() and not RunFolder(Path(name)).config.is_file():
            raise ConfigError(
                "evaluation.rivals: {name!r} is not a known baseline. Choose from {known}, or give the folder of a run "
                "({{base_path}}/{{exp_name}}) that contains config.yaml.",
                name=name,
                known=", ".join(list_names()),
            )


def _build_pretrained(config: Config) -> Forecaster:
    if not has_pretrained(config):
        raise NotApplicable("from_scratch")
    try:
        paths = config.model_paths
        tokenizer = load_model(KronosTokenizer, paths.pretrained_tokenizer, paths.hub_endpoint)
        model = load_model(Kronos, paths.pretrained_predictor, paths.hub_endpoint)
    except KronosError as error:
        raise NotApplicable("not_loadable", error=str(error)) from None
    _check_untouched(config, {"tokenizer": tokenizer, "basemodel": model})
    return build_kronos("pretrained", "pretrained", SavedRun(config, tokenizer, model), config)


def _check_untouched(config: Config, models: Mapping[StageName, KronosTokenizer | Kronos]) -> None:
    """Check that pretrained_* still names the models that the run started from, if its records have their hashes.

    Raises:
        NotApplicable: pretrained_* names other models.
    """
    for name, model in models.items():
        record = StageRecord.read(config.model_paths.run_folder.stage(name).path)
        if record and record.start_hash not in (None, hash_weights(model)):
            raise NotApplicable("pretrained_changed", stage=name)


def _build_lstm(config: Config, candles: CandleSet | None, splits: Splits) -> Forecaster:
    folder = config.model_paths.run_folder.lstm.path
    if candles is None:
        if trained := find_lstm(folder):
            return trained
        raise NotApplicable("lstm_without_candles")
    logger.debug("evaluation: training the LSTM baseline on the run's own windows; its log lines start with lstm")
    try:
        trained = build_lstm(config, build_windows(config, candles, dict(splits)), candles, folder)
    except DataError as error:  # too few windows
        raise NotApplicable("lstm_not_trainable", error=str(error)) from None
    except Exception as error:
        if PartialState().num_processes == 1 or isinstance(error, KronosError | NotApplicable):
            raise
        raise LostPeerError(  # the others wait for this rank's gradients, not for its failure
            "the LSTM baseline failed on rank {rank} ({error}). Evaluate with one process, or without lstm in "
            "evaluation.rivals.",
            rank=PartialState().process_index,
            error=f"{type(error).__name__}: {error}",
        ) from error
    if record := StageRecord.read(folder):
        figures = record.figure_name, record.start_figure, record.best_figure
        logger.info("lstm  trained as a baseline: %s %.5f → %.5f", *figures)
    return trained


def _name_runs(config: Config) -> dict[Path, str]:
    """Return the folders of other runs in evaluation.rivals, each with a unique name."""
    folders = [Path(name).resolve() for name in config.evaluation.rivals if name not in list_names()]
    own = config.model_paths.base_save_path.resolve()
    listed = list(dict.fromkeys([own, *folders]))
    names = dict(zip(listed, shorten_names(listed)))
    return {each: str(each) if names[each] in (OWN, *list_names()) else names[each] for each in dict.fromkeys(folders)}


def _build_run(config: Config, name: str, folder: Path, origins: Origins) -> Forecaster:
    if folder == config.model_paths.base_save_path.resolve():
        raise NotApplicable("same_run")
    try:
        run = load_saved_run(folder)
    except (CheckpointError, ConfigError) as error:
        raise NotApplicable("not_loadable", error=str(error)) from None
    other = run.config
    if other.data.max_context <= origins.horizon:
        raise NotApplicable("short_context", max_context=other.data.max_context, horizon=origins.horizon)
    seen = read_last_seen(other)
    if seen is None:
        raise NotApplicable("unknown_end", audit=other.model_paths.run_folder.audit.name)
    if seen > origins.starts.min():
        raise NotApplicable("seen_candles", until=format_time(seen))
    return build_kronos(name, name, run, config)


def build_kronos(name: str, label: Label, run: SavedRun, evaluated: Config) -> KronosForecaster:
    """Return a forecaster with the input settings of its own run and the sampling settings of the evaluated run."""
    predictor = KronosPredictor.from_run(run, device=PartialState().device)
    return KronosForecaster(
        name, label, predictor, Sampling(evaluated.report.temperature, top_p=evaluated.report.top_p)
    )
