"""The evaluation of a run: forecasts from held-out origins, its own and its rivals', and what they say."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import psutil
import torch
import transformers
from accelerate import PartialState

from kronos.config import Config
from kronos.data import CandleSet
from kronos.data.inspect import say_interval
from kronos.errors import DataError
from kronos.evaluate.calibration import fit_calibration, measure_calibration, measure_volatility
from kronos.evaluate.forecasters import Forecaster, KronosForecaster, NotApplicable
from kronos.evaluate.held_out import HeldOut
from kronos.evaluate.results import CalibrationResult, Comparison, Evaluation, Example, LeftOut, Texts
from kronos.evaluate.rivals import Splits, build_own, build_rivals
from kronos.evaluate.scoring import COMPARED_BY, Scored, score, select_positive, to_returns
from kronos.evaluate.verdict import build_headline, compare
from kronos.evaluate.walk_forward import Origins, WalkForward
from kronos.model import Kronos, KronosTokenizer
from kronos.training.tokenizer_health import read_health
from kronos.version import __version__

logger = logging.getLogger(__name__)

SEED = 0  # not training.seed: the draws are the same in any run
FOLDER = "evaluation"


def evaluate_run(
    config: Config,
    tokenizer: KronosTokenizer,
    model: Kronos,
    held_out: HeldOut,
    own_candles: CandleSet | None,
    splits: Splits,
    command: str,
) -> Evaluation | None:
    """Forecast from the held-out origins with a run's models and with its rivals, and compare.

    All ranks share the forecasts, which are kept in {run}/evaluation and not made again.

    Args:
        own_candles, splits: the run's own, for rivals that are trained; None and empty where they are not at hand.
        command: how it was launched, for the report.

    Returns:
        What was found; None on other ranks than the first.

    Raises:
        KronosError: a rival's name is unknown, the disk is full, or no price is positive.
    """
    usable = select_positive(held_out.origins)
    if not len(usable):
        raise DataError(
            "no evaluation: around none of the origins are all closes above 0, so that they have no returns."
        )
    own = build_own(config, tokenizer, model)
    rivals, left_out = build_rivals(config, usable, own_candles, splits)
    walk = WalkForward(config.model_paths.base_save_path / FOLDER, config.evaluation.n_paths, SEED)
    origins = walk.choose(own, usable, _share_of_budget(config, rivals))
    logger.info("evaluation: %d origins in the %s split, %d paths each", len(origins), held_out.split, walk.n_paths)
    for rival in rivals:
        walk.prepare(rival, origins)
    calibration = _choose_calibration(config, held_out, len(origins))
    if calibration is not None:
        walk.prepare(own, calibration)
    if not PartialState().is_main_process:
        return None
    scored = _score_all(walk, [own, *rivals], origins, left_out)
    for each in left_out:
        logger.warning("not compared with %s: %s", each.rival, each.reason["en"])
    comparisons = _compare_all(config, scored, origins)
    return Evaluation(
        **_describe_candles(origins, held_out),
        **_describe_settings(config, origins, command),
        notes=[*held_out.notes, *_describe_choice(config, origins, usable, held_out)],
        headline=build_headline(
            [each for each in comparisons if each.metric == config.evaluation.metric],
            left_out,
            held_out.split == "val",
            config.evaluation.confidence,
        ),
        forecasters=[each.figures for each in scored],
        comparisons=comparisons,
        left_out=left_out,
        calibration=_calibrate(walk, own, calibration, origins),
        tokenizer=read_health(config.model_paths.stage_dir("tokenizer")),
        examples=_choose_examples(scored[0], config.evaluation.metric, origins),
    )


def _share_of_budget(config: Config, rivals: Sequence[Forecaster]) -> float | None:
    """Return the seconds that the run's own forecasts may take, so that its slow rivals can take as many."""
    minutes = config.evaluation.budget_minutes
    n_slow = 1 + sum(isinstance(rival, KronosForecaster) for rival in rivals) + config.evaluation.calibrate
    return None if minutes is None else 60 * minutes / n_slow


def _choose_calibration(config: Config, held_out: HeldOut, n: int) -> Origins | None:
    """Return up to n earlier origins that bands are calibrated on, if that is asked for."""
    usable = select_positive(held_out.calibration)
    if not config.evaluation.calibrate or not len(usable):
        return None
    chosen = np.random.default_rng(SEED).permutation(len(usable))[:n]
    return usable.take(np.sort(chosen))


def _calibrate(
    walk: WalkForward, own: Forecaster, earlier: Origins | None, origins: Origins
) -> CalibrationResult | None:
    if earlier is None:
        return None
    known, came = (to_returns(closes, earlier) for closes in (walk.forecast(own, earlier), earlier.truth))
    fitted = fit_calibration(known, came, measure_volatility(earlier.closes))
    paths, truth = (to_returns(closes, origins) for closes in (walk.forecast(own, origins), origins.truth))
    return measure_calibration(fitted, paths, truth, measure_volatility(origins.closes))


def _score_all(
    walk: WalkForward, forecasters: Sequence[Forecaster], origins: Origins, left_out: list[LeftOut]
) -> list[Scored]:
    """Score forecasters, the run's own first; those that turn out not to be applicable are noted among the left out."""
    scored = []
    for each in forecasters:
        try:
            scored.append(score(each, walk.forecast(each, origins), origins))
        except NotApplicable as error:
            left_out.append(LeftOut(rival=each.name, reason=error.reason))
    return scored


def _compare_all(config: Config, scored: Sequence[Scored], origins: Origins) -> list[Comparison]:
    """Compare the first with all others: by evaluation.metric, then by the other metrics."""
    own, *rivals = scored
    times = origins.starts, origins.ends
    return [
        compare(
            metric,
            rival.figures.name,
            rival.figures.label,
            own.losses[metric],
            rival.losses[metric],
            *times,
            config.evaluation,
        )
        for metric in dict.fromkeys([config.evaluation.metric, *COMPARED_BY])
        for rival in rivals
    ]


def _choose_examples(own: Scored, metric: str, origins: Origins) -> list[Example]:
    """Choose the origins of the best, the median and the worst forecast by an error: of direction by the CRPS."""
    figures = own.losses["crps" if metric == "direction" else metric].mean(axis=1)
    order = figures.argsort(kind="stable")
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    chosen = {int(place): kind for kind, place in reversed(places.items())}  # of fewer than three origins, each once
    return [
        Example(
            kind=kind,
            symbol=origins.candles.symbol_at(int(origins.rows[place])).symbol,
            origin=_say_origin(origins, place),
            row=int(origins.rows[place]),
            figure=float(figures[place]),
        )
        for place, kind in reversed(chosen.items())
    ]


def _say_origin(origins: Origins, place: int) -> str:
    row = int(origins.rows[place])
    return f"{origins.candles.timestamps(row, row + 1)[0]:%Y-%m-%d %H:%M}"


def _describe_candles(origins: Origins, held_out: HeldOut) -> dict[str, object]:
    candles, in_time = origins.candles, origins.starts.argsort(kind="stable")
    numbers = np.unique(candles.symbol_numbers(origins.rows))
    interval = candles.symbols[int(numbers[0])].interval
    return {
        "candles": candles.source,
        "split": held_out.split,
        "interval": say_interval(interval),
        "n_symbols": len(numbers),
        "first_origin": _say_origin(origins, int(in_time[0])),
        "last_origin": _say_origin(origins, int(in_time[-1])),
        "lookback": origins.lookback,
        "horizon": origins.horizon,
        "n_origins": len(origins),
    }


def _describe_settings(config: Config, origins: Origins, command: str) -> dict[str, object]:
    settings = config.evaluation
    return {
        "run": config.model_paths.exp_name,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "stride": settings.stride or origins.horizon,
        "n_paths": settings.n_paths,
        "temperature": config.report.temperature,
        "top_p": config.report.top_p,
        "seed": SEED,
        "metric": settings.metric,
        "confidence": settings.confidence,
        "margin": settings.margin,
        "environment": describe_environment(),
        "command": command,
    }


def describe_environment() -> dict[str, str]:
    """Return what the figures were computed with."""
    device = PartialState().device
    return {
        "kronos-finetune": __version__,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "transformers": transformers.__version__,
        "NumPy": np.__version__,
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {psutil.cpu_count()} cores",
        "processes": str(PartialState().num_processes),
    }


def _describe_choice(config: Config, origins: Origins, usable: Origins, held_out: HeldOut) -> list[Texts]:
    """Say which of the possible origins were not used."""
    notes: list[Texts] = []
    if n_lost := len(held_out.origins) - len(usable):
        notes.append(
            {
                "en": f"{n_lost:,} origins are left out: a close at or below 0 has no log return.",
                "zh": f"排除了 {n_lost:,} 个预测起点：收盘价小于或等于 0，没有对数收益率。",
            }
        )
    if len(origins) < len(usable):
        minutes = config.evaluation.budget_minutes
        notes.append(
            {
                "en": f"Of {len(usable):,} possible origins {len(origins):,} were used, chosen at random: as many as fitted "
                f"into {minutes:g} minutes (evaluation.budget_minutes).",
                "zh": f"在 {len(usable):,} 个可用的预测起点中随机选取了 {len(origins):,} 个：这是 {minutes:g} 分钟内"
                "所能完成的数量（evaluation.budget_minutes）。",
            }
        )
    return notes
