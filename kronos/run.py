"""The story of a run: train, evaluate, report."""

import logging
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from accelerate import PartialState

from kronos.config import Config
from kronos.config.training import StageName
from kronos.data import split_candles
from kronos.data.audit import audit_to_json
from kronos.errors import CheckpointError, KronosError
from kronos.evaluation import ValidationScore
from kronos.evaluation.baselines import build_own, check_baselines
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.model_without_run import build_judged, choose_for_model, split_for_model
from kronos.evaluation.origins.held_out import choose_held_out, choose_new, choose_of_training, find_instant, is_own
from kronos.evaluation.results import Evaluation
from kronos.evaluation.runs.earlier import note_judged_before
from kronos.evaluation.runs.place import choose_main_report, choose_model_report, list_settings
from kronos.evaluation.runs.unlike import note_unlike_candles
from kronos.files import write_sealed
from kronos.model import Kronos, KronosTokenizer
from kronos.report.advice import log_advice, log_missing_gpu
from kronos.report.forecast.held_out import draw_held_out_forecasts
from kronos.report.verdict.evaluation_report import write_evaluation
from kronos.report.words.catalogue import Words
from kronos.report.words.times import list_times
from kronos.run_folder import ReportFolder
from kronos.saved_run import check_trained, load_models
from kronos.stage_record import StageRecord
from kronos.timing import read_clock, run_clock, timed
from kronos.training.arguments import start_process
from kronos.training.pipeline import RunResult, load_run_candles, run_pipeline
from kronos.urls import CandleSource, Url

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """What a run left.

    Attributes:
        report: where the verdict is.
        evaluation: the verdict's values; None if evaluation is off, and on other ranks than the first.
        records: the records of the trained stages.
        pictures: pictures of held-out forecasts.
    """

    report: ReportFolder
    evaluation: Evaluation | None
    records: dict[StageName, StageRecord] = field(default_factory=dict)
    pictures: Sequence[Path] = ()


class EvaluationFailed(KronosError):
    """The models are trained and saved, but their evaluation failed; the cause tells why."""


@run_clock()
@timed("other")
def run_training(
    config: Config,
    skip_existing: bool = False,
    world_size: int = 1,
    command: str = "",
) -> FinishedRun:
    """Train the stages that are on, then evaluate the run on held-out candles, and draw forecasts.

    Args:
        skip_existing: skip finished stages and resume an interrupted one.
        world_size: how many processes were launched; all must call this.
        command: how the run was launched, for the report.

    Raises:
        EvaluationFailed: the run is trained, and its evaluation can be done again.
        KronosError: something is wrong with the configuration, the candles, the models or the folder of the run.
    """
    with_base_model = config.experiment.train_basemodel
    evaluated = with_base_model and config.evaluation.enabled
    if evaluated:
        check_baselines(config)
    start_process(config, world_size)
    advise = partial(log_advice, skip_existing=skip_existing, command=command)
    trained = run_pipeline(config, skip_existing, build_score=ValidationScore, on_inputs=advise)
    own = build_own(config, *load_models(config)) if with_base_model else None
    evaluation = _evaluate_trained(config, trained, own, command) if evaluated and own else None
    is_first = _end_process_group()
    report = config.model_paths.run_folder.report
    if is_first and own and not evaluated and not _is_judged(own, report):
        with report.replacing() as new:
            draw_held_out_forecasts(config, trained.candles, trained.splits, own, new)
    _log_times(Words(config.report.language))
    return FinishedRun(report, evaluation, trained.records, report.forecasts if is_first else [])


@run_clock()
@timed("other")
def run_evaluation(
    config: Config,
    data: CandleSource | Sequence[CandleSource] | None = None,
    since: datetime | None = None,
    world_size: int = 1,
    command: str = "",
) -> FinishedRun:
    """Evaluate a trained run: on the held-out part of its own candles, or on other candles.

    Args:
        data: other candles than the run's own: files, folders, globs or URLs (kronos.urls.parse_source).
        since: forecast only candles after this local time; None: after all that the run has seen.
        world_size, command: as in `run_training`.

    Raises:
        KronosError: the run is not trained, a baseline is unknown, or there is nothing to forecast.
    """
    check_trained(config)
    check_baselines(config)
    start_process(config, world_size)
    log_missing_gpu(config)
    if data is not None:
        sources = [data] if isinstance(data, Path | Url) else data
        named = [each if each != Path() else Path.cwd() for each in sources]  # an empty path is no folder, but "." is
        config = config.override({"data.data_path": named})
    candles = load_run_candles(config).candles
    own_candles, splits = None, {}
    if since is None and is_own(config, candles):
        own_candles, splits = candles, split_candles(candles, config.data)
        held_out = choose_held_out(config, candles, splits)
    else:
        held_out = choose_new(config, candles, find_instant(candles, since) if since else None)
    on_own = own_candles is not None
    report = _choose_report(config, on_own, are_others_given=data is not None)
    run = config.model_paths.run_folder
    notes = [] if data is None and on_own else note_judged_before(run, report, held_out.origins)
    notes += note_unlike_candles(config, candles, with_own=not on_own)
    held_out = replace(held_out, notes=(*held_out.notes, *notes), settings=list_settings(config, since))
    own = build_own(config, *load_models(config))
    evaluation = write_evaluation(config, own, held_out, own_candles, splits, report, command)
    _end_process_group()
    _log_times(Words(config.report.language))
    return FinishedRun(report, evaluation)


def _choose_report(config: Config, on_own: bool, are_others_given: bool) -> ReportFolder:
    """Choose the folder of a run's report: the main one is on its own candles, with its own settings."""
    if on_own and not are_others_given:
        return choose_main_report(config)
    report = config.model_paths.run_folder.report_on(config.data.data_path)
    if not are_others_given:
        logger.warning(
            "the candles have changed since training: only candles after those of the training are forecast, and the "
            "report is written to %s",
            report.path,
        )
    return report


@run_clock()
@timed("other")
def run_model_evaluation(
    config: Config,
    models: tuple[KronosTokenizer, Kronos],
    since: datetime | None = None,
    world_size: int = 1,
    command: str = "",
) -> FinishedRun:
    """Evaluate a model that no run here has trained, against the baselines.

    Args:
        config: of `kronos.evaluation.model_without_run.build_model_config`.
        models: the tokenizer and the base model.
        since: forecast only candles after this local time; None: all but the first part, which the baselines are fitted on.
        world_size, command: as in `run_training`.

    Raises:
        KronosError: a baseline is unknown, the candles cannot be read, or there are too few.
    """
    check_baselines(config)
    start_process(config, world_size)
    log_missing_gpu(config)
    audited, run = load_run_candles(config), config.model_paths.run_folder
    report = choose_model_report(config, since)
    settings = list_settings(config, since)
    config = split_for_model(config, audited.candles, since)
    held_out, splits = choose_for_model(config, audited.candles)
    unlike = note_unlike_candles(config, audited.candles, with_own=False)
    held_out = replace(held_out, notes=(*held_out.notes, *unlike), settings=settings)
    if PartialState().is_main_process:
        write_sealed(run.audit, audit_to_json(audited))
    own = build_judged(config, *models)
    evaluation = write_evaluation(config, own, held_out, audited.candles, splits, report, command)
    _end_process_group()
    _log_times(Words(config.report.language))
    return FinishedRun(report, evaluation)


def _evaluate_trained(config: Config, trained: RunResult, own: KronosForecaster, command: str) -> Evaluation | None:
    """Evaluate a run that has just been trained. An error says that the models are saved, and how to resume."""
    run = config.model_paths.run_folder
    try:
        held_out = choose_of_training(config, trained.candles, trained.splits)
        held_out = replace(held_out, settings=list_settings(config))
        return write_evaluation(config, own, held_out, trained.candles, trained.splits, run.report, command)
    except (KronosError, OSError) as error:
        raise EvaluationFailed(
            "{error}\nThe models are trained and saved in {folder}; only their evaluation failed. To resume it: "
            "kronos evaluate --run {quoted}",
            error=error,
            folder=run.path,
            quoted=shlex.quote(str(run.path)),
        ) from error


def _is_judged(own: KronosForecaster, report: ReportFolder) -> bool:
    """Whether a report holds a verdict on these models, which pictures alone must not replace."""
    with suppress(CheckpointError):  # there is none, or it is damaged
        judged, model = Evaluation.read(report.results).provenance, own.predictor.model.identity
        known = judged.base_model if judged else None
        return bool(known and model and known.sha256 == model.sha256)
    return False


def _log_times(words: Words) -> None:
    """Log where the time of the command went, and the total last."""
    for label, text in list_times(read_clock(), words):
        logger.debug("time  %-30s %s", label, text)


def _end_process_group() -> bool:
    """Let the other processes end; return whether this is the first one, which goes on."""
    state = PartialState()
    state.destroy_process_group()
    return bool(state.is_main_process)
