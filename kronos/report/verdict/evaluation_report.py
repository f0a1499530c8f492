"""From a trained run to its verdict: the evaluation, metrics.json and the page."""

import logging
from pathlib import Path

from kronos.config import Config
from kronos.data import CandleSet
from kronos.evaluation.baselines import Splits, build_own
from kronos.evaluation.describe import SEED
from kronos.evaluation.evaluation import evaluate_run
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.origins.held_out import HeldOut
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import Evaluation
from kronos.report.verdict.examples import ExampleForecast
from kronos.report.verdict.page import write_report
from kronos.run_folder import ReportFolder
from kronos.saved_run import load_models

logger = logging.getLogger(__name__)


def report_on(
    config: Config, held_out: HeldOut, own_candles: CandleSet | None, splits: Splits, folder: Path, command: str
) -> Evaluation | None:
    """Evaluate a run and write metrics.json, index.html and the pictures into a folder; all ranks must call this.

    Args: those of `evaluate_run`.

    Returns:
        What was found; None on other ranks than the first.

    Raises:
        KronosError: as `evaluate_run`, or a file cannot be written.
    """
    tokenizer, model = load_models(config)
    evaluation = evaluate_run(config, tokenizer, model, held_out, own_candles, splits, command)
    if evaluation is None:
        return None
    evaluation.write(ReportFolder(folder).results)
    own = build_own(config, tokenizer, model)
    examples = _forecast_examples(own, evaluation, held_out.origins)
    write_report(config.model_paths.base_save_path, evaluation, config, examples, folder)
    return evaluation


def _forecast_examples(own: KronosForecaster, evaluation: Evaluation, origins: Origins) -> list[ExampleForecast]:
    """Make the forecasts of the examples again, for all six features of a candle: the evaluation keeps closes."""
    candles, horizon = origins.candles, origins.horizon
    rows = [example.row for example in evaluation.examples]
    windows = [candles.frame(row - origins.lookback + 1, row + 1 + horizon) for row in rows]
    forecasts = own.predictor.forecast_batch(
        [window[:-horizon] for window in windows],
        y_timestamp_list=[window.index[-horizon:] for window in windows],
        n_paths=evaluation.n_paths,
        sampling=own.sampling,
        seed=SEED,
        names=[example.origin for example in evaluation.examples],
        verbose=False,
    )
    return [
        ExampleForecast(example, window[:-horizon], forecast, window[-horizon:])
        for example, window, forecast in zip(evaluation.examples, windows, forecasts)
    ]
