"""From a trained run to its verdict on disk: the evaluation, metrics.json, the page and its pictures."""

import logging
import shlex
from contextlib import nullcontext

import numpy as np
from accelerate import PartialState

from kronos.config import Config
from kronos.data import CandleSet
from kronos.evaluation.baselines import Splits
from kronos.evaluation.describe import SEED, describe_provenance
from kronos.evaluation.evaluation import evaluate_run
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.next_steps import TrainingFacts, choose_next_steps
from kronos.evaluation.origins.held_out import HeldOut
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import FORMAT, Evaluation
from kronos.evaluation.stored_calibration import describe_conditions
from kronos.report.forecast.held_out import draw_held_out_forecasts, forecast_held_out
from kronos.report.verdict.examples import ExampleForecast
from kronos.report.verdict.model_card import write_model_card
from kronos.report.verdict.page import write_report
from kronos.report.words.answers import name_baseline, write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note
from kronos.run_folder import ReportFolder
from kronos.stage_record import StageRecord

logger = logging.getLogger(__name__)


def write_evaluation(
    config: Config,
    own: KronosForecaster,
    held_out: HeldOut,
    own_candles: CandleSet | None,
    splits: Splits,
    report: ReportFolder,
    command: str,
) -> Evaluation | None:
    """Evaluate a run and replace its report as a whole: metrics.json, losses.csv, index.html and the pictures.

    All ranks must call this.

    The verdict is logged. If it is the one on the run's own candles, it is also written to the model card.

    Args:
        report: the folder to write.
        config, own, held_out, own_candles, splits, command: as in `evaluate_run`.

    Returns:
        The evaluation; None on all ranks but the first.

    Raises:
        KronosError: as `evaluate_run`, or a file cannot be written.
    """
    with report.replacing() if PartialState().is_main_process else nullcontext(report) as new:
        losses = new.losses if config.evaluation.losses else None
        evaluation = evaluate_run(config, own, held_out, own_candles, splits, command, losses)
        if evaluation is None:
            return None
        evaluation = _conclude(evaluation, config, own, held_out.origins.candles)
        evaluation.write(new.results)
        examples = _forecast_examples(own, evaluation, held_out.origins)
        write_report(config.model_paths.base_save_path, evaluation, config, examples, new.path)
        run = config.model_paths.run_folder
        is_main = report == run.report and evaluation.kind == "run"
        if is_main and own_candles is not None:
            draw_held_out_forecasts(config, own_candles, splits, own, new)
    words = Words(config.report.language)
    for each in evaluation.left_out:
        reason = write_note(each.reason, words, "reasons")
        baseline = name_baseline(each.baseline, evaluation, words)
        logger.warning("%s", words("verdict.left_out", baseline=baseline, name=each.baseline, reason=reason))
    logger.debug("verdict: %s", write_headline(evaluation, words))
    if is_main:
        write_model_card(run, config, evaluation)
    return evaluation


def _conclude(evaluation: Evaluation, config: Config, own: KronosForecaster, candles: CandleSet) -> Evaluation:
    """Add what a reader needs beside the figures: the headline, the next steps, and of which models and candles they are."""
    command = write_command(evaluation, config)
    training = TrainingFacts.of(config, StageRecord.read(config.model_paths.run_folder.basemodel.path))
    conclusions: dict[str, object] = {
        "format": FORMAT,
        "headline": write_headline(evaluation, Words("en")),
        "next_steps": choose_next_steps(evaluation, training, command),
        "judge_new": command,
        "conditions": describe_conditions(own.predictor, own.sampling, evaluation.lookback, evaluation.horizon),
        "provenance": describe_provenance(own, candles),
    }
    return evaluation.model_copy(update=conclusions)


def write_command(evaluation: Evaluation, config: Config) -> str:
    """Return the command that judges the models on candles later than those judged here and those that they have seen."""
    if evaluation.kind == "run":
        models = ["--run", str(config.model_paths.run_folder.path)]
    else:
        models = ["--model", config.model_paths.pretrained_predictor]
        models += ["--tokenizer", config.model_paths.pretrained_tokenizer]
    times = [
        evaluation.last_actual,
        *(str(note.values["until"]) for note in evaluation.notes if "until" in note.values),
    ]
    since = ["--since", max(times)] if any(times) else []
    return shlex.join(["kronos", "evaluate", *models, "--data", "new.csv", *since])


def _forecast_examples(own: KronosForecaster, evaluation: Evaluation, origins: Origins) -> list[ExampleForecast]:
    """Forecast the examples once more, all columns of a candle: the evaluation keeps close prices only."""
    rows = np.array([example.row for example in evaluation.examples])
    chosen = Origins(origins.candles, rows, origins.lookback, origins.horizon)
    names = [example.origin for example in evaluation.examples]
    shown = forecast_held_out(own, chosen, names, evaluation.n_paths, SEED, verbose=False)
    return [
        ExampleForecast(example, each.history, each.forecast, each.actual)
        for example, each in zip(evaluation.examples, shown)
    ]
