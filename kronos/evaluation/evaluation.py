"""Evaluate a run: score its forecasts from held-out origins, and compare them with those of its baselines."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from accelerate import PartialState

from kronos.candles import Array
from kronos.config import Config
from kronos.data import CandleSet
from kronos.errors import DataError
from kronos.evaluation.baselines import Splits, build_baselines
from kronos.evaluation.comparing import compare_all, describe_times, find_evidence
from kronos.evaluation.describe import (
    SEED,
    choose_examples,
    describe_blend,
    describe_choice,
    describe_origins,
    describe_settings,
)
from kronos.evaluation.forecasters.base import Forecaster, KronosForecaster, NotApplicable, translate_failures
from kronos.evaluation.forecasters.quantiles import QuantileForecaster
from kronos.evaluation.invented_drift import measure_all
from kronos.evaluation.losses import LossTable, open_loss_table
from kronos.evaluation.origins.held_out import HeldOut
from kronos.evaluation.origins.locked import find_locked_origins
from kronos.evaluation.origins.walk_forward import Origins, WalkForward
from kronos.evaluation.records import Note, ValueAtRisk
from kronos.evaluation.results import CalibrationResult, Evaluation, InventedDrift, LeftOut, Money
from kronos.evaluation.scores.calibration import Calibration, fit_calibration, measure_calibration, measure_volatility
from kronos.evaluation.scores.direction import compute_up_probability
from kronos.evaluation.scores.money import Horizons, measure_money
from kronos.evaluation.scores.value_at_risk import measure_value_at_risk
from kronos.evaluation.scoring import Scored, score, to_returns
from kronos.evaluation.skill import PRETRAINED
from kronos.evaluation.stored_calibration import describe_conditions, write_calibration
from kronos.timing import timed
from kronos.training.saved.tokenizer_record import read_health

logger = logging.getLogger(__name__)

SMALL_BYTES = 100_000_000  # of forecasts: three of them, and what is computed from them, fit into memory


def evaluate_run(
    config: Config,
    own: KronosForecaster,
    held_out: HeldOut,
    own_candles: CandleSet | None,
    splits: Splits,
    command: str,
    losses_path: Path | None = None,
) -> Evaluation | None:
    """Forecast from the held-out origins with a run's models and with its baselines, and compare.

    All ranks share the work. The forecasts are stored in {run}/evaluation and reused.

    Args:
        own: the run's models.
        own_candles, splits: those of the run, to train baselines on; None and empty if they are not available.
        command: the command line, for the report.
        losses_path: where to write each forecast with its losses; None: nowhere.

    Returns:
        The evaluation; None on all ranks but the first.

    Raises:
        KronosError: a baseline's name is unknown, the disk is full, no price is positive, or the run's forecasts are no prices.
    """
    usable = _select_usable(held_out.origins)
    baselines, left_out = build_baselines(config, usable, own_candles, splits)
    walk = WalkForward(config.model_paths.run_folder.evaluation, config.evaluation.n_paths, SEED)
    origins = walk.choose(own, usable, _share_of_budget(config, baselines))
    logger.info("evaluation: origins in the %s split: %d; paths each: %d", held_out.split, len(origins), walk.n_paths)
    baselines = _prepare_all(walk, baselines, origins, left_out)
    calibration = _choose_calibration(config, held_out, len(origins))
    walk.prepare(own, calibration)
    invented_drift = _measure_drift(config, own, baselines, usable)
    if not PartialState().is_main_process:
        return None
    with open_loss_table(losses_path, origins) as table:
        scored = _score_all(walk, [own, *baselines], origins, left_out, config.evaluation.confidence, table)
    fitted, notes = _calibrate(config, walk, own, calibration)
    calibrated, value_at_risk = _measure_own(fitted, walk, own, origins, config.evaluation.confidence)
    money, money_notes = _measure_money(config, walk, own, origins)
    losses = {each.figures.name: each.losses for each in scored[1:]}
    comparisons = compare_all(scored[0].losses, losses, describe_times(origins), config.evaluation)
    return Evaluation(
        **describe_origins(origins, held_out),
        **describe_settings(config, own, command),
        notes=[
            *held_out.notes,
            *describe_blend(config),
            *describe_choice(config, origins, usable, held_out),
            *notes,
            *money_notes,
            *(each.about for each in baselines if isinstance(each, QuantileForecaster)),
        ],
        forecasters=[each.figures for each in scored],
        comparisons=comparisons,
        left_out=left_out,
        evidence=find_evidence(comparisons, config.evaluation.metric, origins),
        money=money,
        value_at_risk=value_at_risk,
        calibration=calibrated,
        tokenizer=read_health(config.model_paths.run_folder.tokenizer.path),
        invented_drift=invented_drift,
        examples=choose_examples(scored[0], config.evaluation.metric, origins),
    )


def _select_usable(origins: Origins) -> Origins:
    """Return the origins with log returns."""
    usable = origins.select_positive()
    if not len(usable):
        raise DataError(
            "{source}: no evaluation, because around each of the {n:,} origins a price is at or below 0 and has no log return. "
            "Give candles with positive prices.",
            source=origins.candles.source,
            n=len(origins),
        )
    return usable


def _share_of_budget(config: Config, baselines: Sequence[Forecaster]) -> float | None:
    """Return the seconds for the run's own forecasts: an equal share for it and for each slow baseline."""
    minutes = config.evaluation.budget_minutes
    n_slow = (
        1
        + sum(isinstance(baseline, KronosForecaster | QuantileForecaster) for baseline in baselines)
        + config.evaluation.calibrate
    )
    return None if minutes is None else 60 * minutes / n_slow


def _prepare_all(
    walk: WalkForward, baselines: Sequence[Forecaster], origins: Origins, left_out: list[LeftOut]
) -> list[Forecaster]:
    """Make the forecasts of the baselines. Return those that can forecast; add the others to left_out."""
    able = []
    for baseline in baselines:
        try:
            walk.prepare(baseline, origins, is_baseline=True)
            able.append(baseline)
        except NotApplicable as error:
            left_out.append(LeftOut(baseline=baseline.name, reason=error.reason))
    return able


@timed("drift")
def _measure_drift(
    config: Config, own: KronosForecaster, baselines: Sequence[Forecaster], usable: Origins
) -> tuple[InventedDrift, ...]:
    """Measure the drift that the run's models invent, and that the model they started from invents."""
    if not config.evaluation.invented_drift:
        return ()
    start = [each for each in baselines if isinstance(each, KronosForecaster) and each.name == PRETRAINED]
    return tuple(measure_all(config.model_paths.run_folder.random_walks, [own, *start], usable, config.evaluation))


def _choose_calibration(config: Config, held_out: HeldOut, n: int) -> Origins:
    """Return up to n earlier origins to calibrate bands on; none unless evaluation.calibrate is true."""
    usable = held_out.calibration.select_positive()
    chosen = np.random.default_rng(SEED).permutation(len(usable))[: n if config.evaluation.calibrate else 0]
    return usable.take(np.sort(chosen))


@timed("scoring")
def _calibrate(
    config: Config, walk: WalkForward, own: KronosForecaster, earlier: Origins
) -> tuple[Calibration | None, list[Note]]:
    """Return a calibration on earlier origins, which is stored, and notes on it."""
    if not len(earlier):
        return None, [Note(code="not_calibrated")] if config.evaluation.calibrate else []
    past, actual = (to_returns(closes, earlier) for closes in (walk.forecast(own, earlier), earlier.actual))
    fitted = fit_calibration(past, actual, measure_volatility(earlier.closes))
    conditions = describe_conditions(own.predictor, own.sampling, earlier.lookback, earlier.horizon)
    write_calibration(config.model_paths.run_folder.calibration, fitted, conditions)
    return fitted, fitted.notes()


@timed("scoring")
def _measure_own(
    calibration: Calibration | None, walk: WalkForward, own: KronosForecaster, origins: Origins, confidence: float
) -> tuple[CalibrationResult | None, ValueAtRisk | None]:
    """Measure the calibrated bands, and the value at risk, which is calibrated if they are."""
    paths, actual = (to_returns(closes, origins) for closes in (walk.forecast(own, origins), origins.actual))
    symbols, volatility = origins.candles.symbol_numbers(origins.rows), measure_volatility(origins.closes)
    times = origins.starts, origins.ends, confidence
    value_at_risk = measure_value_at_risk(paths, actual, symbols, times, volatility, calibration)
    if calibration is None:
        return None, value_at_risk
    return measure_calibration(calibration, paths, actual, volatility), value_at_risk


def _measure_money(
    config: Config, walk: WalkForward, own: KronosForecaster, origins: Origins
) -> tuple[Money | None, list[Note]]:
    """Return what trading rules earn on the run's forecasts, if asked for, and notes on origins that they skip."""
    if config.evaluation.costs_bp is None:
        return None, []
    locked = find_locked_origins(origins, config.data.board)
    notes = [Note(code="locked", values={"n": int(locked.sum()), "n_all": len(origins)})] if locked.any() else []
    origins = origins.take(np.flatnonzero(~locked))
    if not len(origins):
        return None, notes
    returns = to_returns(walk.forecast(own, origins), origins)[..., -1:]  # (N, P, 1), at the end of the horizon
    horizons = Horizons(
        median=np.median(returns[..., 0], axis=1),
        up=compute_up_probability(returns)[:, 0],
        actual=to_returns(origins.actual, origins)[:, -1],
        symbols=origins.candles.symbol_numbers(origins.rows),
        starts=origins.starts,
        ends=origins.ends,
    )
    money = measure_money(horizons, config.evaluation.costs_bp, config.evaluation.confidence)
    if money.n_origins < len(origins):
        notes.append(Note(code="money_without_overlaps", values={"n": money.n_origins, "n_all": len(origins)}))
    return money, notes


@timed("scoring")
def _score_all(
    walk: WalkForward,
    forecasters: Sequence[Forecaster],
    origins: Origins,
    left_out: list[LeftOut],
    confidence: float,
    table: LossTable | None = None,
) -> list[Scored]:
    """Score forecasters, the run's own first. Add those that cannot forecast these candles to left_out.

    Two are scored at once, because NumPy leaves the other CPU to the other thread; of large forecasts one.
    """
    scored: list[Scored] = []
    begun: deque[tuple[Forecaster, Array, Future[Scored]]] = deque()

    def end_one() -> None:
        forecaster, paths, result = begun.popleft()
        scored.append(result.result())
        if table:
            table.add(forecaster.name, to_returns(paths, origins), scored[-1].raw, forecaster.moves)

    with ThreadPoolExecutor(2) as threads:
        for each in forecasters:
            try:
                started = time.thread_time()  # other threads score at the same time
                guard = nullcontext() if each is forecasters[0] else translate_failures()
                with timed("baselines" if each.key is None else "forecasts"), guard:
                    paths = _forecast(walk, each, origins)
            except NotApplicable as error:
                if each is forecasters[0]:  # without the run's own forecasts there is nothing to compare
                    raise DataError(
                        "no evaluation: some closes that {name} forecasts are not finite or not above 0.",
                        name=each.name,
                    ) from None
                left_out.append(LeftOut(baseline=each.name, reason=error.reason))
                continue
            seconds = time.thread_time() - started if each.key is None else walk.measure_seconds(each, origins)
            begun.append((each, paths, threads.submit(score, each, paths, origins, seconds, confidence)))
            while len(begun) > (2 if paths.nbytes < SMALL_BYTES else 0):
                end_one()
        while begun:
            end_one()
    return scored


def _forecast(walk: WalkForward, forecaster: Forecaster, origins: Origins) -> Array:
    """Return closes (N, P, H).

    Raises:
        NotApplicable: a forecast is not a price: NaN, infinite, or not above 0; or there are not H closes for each origin.
    """
    paths = walk.forecast(forecaster, origins)
    if paths.ndim != 3 or paths.shape[::2] != origins.actual.shape:
        raise NotApplicable("failed", error=f"its forecasts have the shape {paths.shape}")
    wrong = ~(np.isfinite(paths) & (paths > 0)).all(axis=(1, 2))
    if wrong.any():
        raise NotApplicable("no_price", n=int(wrong.sum()), n_all=len(origins))
    return paths
