"""Describe the candles, origins, settings and environment of an evaluation."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import numpy as np
import psutil
import torch
import transformers
from accelerate import PartialState

from kronos.config import Config
from kronos.data import CandleSet
from kronos.data.quality.series import format_interval
from kronos.evaluation.forecasters.base import Forecaster, KronosForecaster
from kronos.evaluation.origins.clock import count_all_clock_times, count_clock_times, note_few_clock_times
from kronos.evaluation.origins.held_out import HeldOut
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Note, Provenance
from kronos.evaluation.results import FORMAT, MODEL, Example
from kronos.evaluation.scoring import Scored
from kronos.run_folder import hash_subject
from kronos.stage_record import StageRecord
from kronos.training.saved.stage_settings import CANDLES_KEY, hash_candles, renew_candle_hashes
from kronos.version import __version__

SEED = 0  # not training.seed: all runs use the same draws


def format_origin(origins: Origins, place: int) -> str:
    """Return the local time of an origin."""
    return _format_row(origins.candles, int(origins.rows[place]))


def format_last_actual(origins: Origins) -> str:
    """Return the local time of the last candle that can be forecast; a limited time may leave out its origin."""
    return _format_row(origins.candles, int(origins.rows[origins.ends.argmax()]) + origins.horizon)


def _format_row(candles: CandleSet, row: int) -> str:
    """Return the local time of a candle, with seconds if it has any: --since accepts both."""
    time = candles.timestamps(row, row + 1)[0]
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"


def describe_origins(origins: Origins, held_out: HeldOut) -> dict[str, object]:
    """Return the fields of an `Evaluation` about candles and origins."""
    candles, in_time = origins.candles, origins.starts.argsort(kind="stable")
    numbers = np.unique(candles.symbol_numbers(origins.rows))
    interval = candles.symbols[int(numbers[0])].interval
    return {
        "candles": candles.source,
        "split": held_out.split,
        "settings": held_out.settings,
        "interval": format_interval(interval),
        "n_symbols": len(numbers),
        "first_origin": format_origin(origins, int(in_time[0])),
        "last_origin": format_origin(origins, int(in_time[-1])),
        "lookback": origins.lookback,
        "horizon": origins.horizon,
        "last_actual": format_last_actual(held_out.origins),
        "n_origins": len(origins),
        "stride": held_out.stride,
        "clock_times": count_clock_times(origins),
        "n_clock_times": count_all_clock_times(origins),
    }


def describe_settings(config: Config, own: Forecaster, command: str) -> dict[str, object]:
    """Return the fields of an `Evaluation` about its settings and environment."""
    settings = config.evaluation
    return {
        "format": FORMAT,
        "kind": "model" if own.name == MODEL else "run",
        "subject": hash_subject(
            config.data.data_path, "" if own.name != MODEL else config.model_paths.pretrained_predictor
        ),
        "run": own.label if own.name == MODEL else config.model_paths.exp_name,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
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
    """Return the software and hardware that the figures were computed with."""
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


def describe_provenance(own: KronosForecaster, candles: CandleSet) -> Provenance:
    """Return which models and candles an evaluation is of."""
    models = own.predictor.tokenizer.identity, own.predictor.model.identity
    records = [StageRecord.read_beside(each.name) if each else None for each in models]
    starts = [record.start_model if record else None for record in records]
    evaluated = {CANDLES_KEY: hash_candles(candles)}
    trained = renew_candle_hashes(records[1].settings, evaluated, candles) if records[1] else {}
    return Provenance(
        tokenizer=models[0],
        base_model=models[1],
        start_tokenizer=starts[0],
        start_base_model=starts[1],
        candles=evaluated[CANDLES_KEY],
        train_candles=trained.get(CANDLES_KEY),
    )


def describe_blend(config: Config) -> list[Note]:
    """Return a note if the run's base model is a blend with the pretrained one (training.blend)."""
    record = StageRecord.read(config.model_paths.run_folder.basemodel.path)
    if record is None or record.blend is None:
        return []
    if record.blend in (0, 1):
        return [Note(code="blend_fine_tuned" if record.blend else "blend_pretrained")]
    return [Note(code="blend", values={"share": record.blend, "rest": 1 - record.blend})]


def describe_choice(config: Config, origins: Origins, usable: Origins, held_out: HeldOut) -> list[Note]:
    """Return notes on origins that were not used, and on times of day without an origin."""
    notes = []
    if n_lost := len(held_out.origins) - len(usable):
        notes.append(Note(code="not_positive", values={"n": n_lost}))
    if len(origins) < len(usable) and config.evaluation.budget_minutes is not None:
        values = {"n": len(origins), "n_usable": len(usable), "minutes": config.evaluation.budget_minutes}
        notes.append(Note(code="over_budget", values=values))
    return notes + note_few_clock_times(held_out.origins, held_out.stride)


def choose_examples(own: Scored, metric: str, origins: Origins) -> list[Example]:
    """Choose the origins of the best, the median and the worst forecast by a metric; direction is replaced by CRPS."""
    figures = own.losses["crps" if metric == "direction" else metric].mean(axis=1)
    order = figures.argsort(kind="stable")
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    chosen = {int(place): kind for kind, place in reversed(places.items())}  # with fewer than three origins, each once
    return [
        Example(
            kind=kind,
            symbol=origins.candles.symbol_at(int(origins.rows[place])).symbol,
            origin=format_origin(origins, place),
            row=int(origins.rows[place]),
            figure=float(figures[place]),
        )
        for place, kind in reversed(chosen.items())
    ]
