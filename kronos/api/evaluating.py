"""Evaluate a run or a model."""

import os
from datetime import date, datetime, time
from os import PathLike
from pathlib import Path
from typing import Any

from kronos.api.candles import FRAMES, Candles, name_sources
from kronos.api.options import check_path, name_keys, take_sizes
from kronos.api.session import called_from_python
from kronos.api.verdicts import Verdict
from kronos.config import Config
from kronos.config.changes import (
    FIXED,
    FOR_EVALUATION,
    FOR_MODELS,
    FOR_READING,
    NO_EFFECT_ON_MODELS,
    OTHER_CANDLES,
    check_changes,
)
from kronos.config.load import build_reading_config
from kronos.errors import ConfigError
from kronos.evaluation.model_without_run import build_model_config, load_judged_models
from kronos.run import FinishedRun, run_evaluation, run_model_evaluation
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.saved_run import load_run_config
from kronos.urls import CandleSource

NAME = "evaluate"  # where options are given, for errors


def evaluate(
    run: str | PathLike[str],
    data: Candles | None = None,
    *,
    tokenizer: str | PathLike[str] | None = None,
    since: str | datetime | None = None,
    lookback: int | None = None,
    horizon: int | None = None,
    **options: Any,
) -> Verdict:
    """Evaluate a run, or any model, on candles that it was not trained on.

    Args:
        run: a run or its folder; or a model: its folder, its hub name or "nano". A model needs data.
        data: other candles than the run's own, as for `finetune`.
        tokenizer: of a model; by default the one that belongs to it.
        since: forecast only candles after this local time, such as "2024-09-02" or "2024-09-02 09:35".
        lookback, horizon: for a model, in candles; a run has its own.
        options: keys of the configuration, as for `finetune`, for example stride=12 or rivals=["last_close"].

    Raises:
        ConfigError: an option is wrong. DataError: there is nothing to forecast. CheckpointError: a model cannot be loaded.
        WriteError: a folder cannot be written. KronosError: another process uses the run.
    """
    with called_from_python():
        named, after = name_keys(options), None if since is None else _read_since(since)
        named |= take_sizes(named, lookback, horizon)
        check_path("run", run)
        if tokenizer is not None:
            check_path("tokenizer", tokenizer)
        path = Path(run).expanduser()
        if RunFolder(path).config.is_file():
            if tokenizer is not None:
                raise ConfigError("tokenizer needs a model. A run has its own tokenizer.")
            return _evaluate_run(path, data, after, named)
        if data is None:
            raise ConfigError(
                "{run}: there is no run here. Give the folder of a run; or, to evaluate a model, also data.", run=path
            )
        return _evaluate_model(os.fspath(run), tokenizer, data, after, named)


def _evaluate_run(path: Path, data: Candles | None, since: datetime | None, options: dict[str, Any]) -> Verdict:
    if data is None and since is not None:
        raise ConfigError("since needs data. A run is evaluated on the test split of its own candles.")
    others = data is not None
    check_changes(options, (*FOR_EVALUATION, *FOR_READING) if others else FOR_EVALUATION, FIXED)
    config = load_run_config(path).override((OTHER_CANDLES if others else {}) | options, NAME)
    sources = None if data is None else _name_sources(data, config.data.cache_dir)
    with lock_run_folder(config.model_paths.run_folder):
        return _wrap(run_evaluation(config, sources, since), config)


def _evaluate_model(
    model: str,
    tokenizer: str | PathLike[str] | None,
    data: Candles,
    since: datetime | None,
    options: dict[str, Any],
) -> Verdict:
    check_changes(options, FOR_MODELS, NO_EFFECT_ON_MODELS)
    where = {key: value for key, value in options.items() if key == "data.cache_dir"}
    sources = _name_sources(data, build_reading_config([]).override(where, NAME).data.cache_dir)
    named = None if tokenizer is None else os.fspath(tokenizer)
    config = build_model_config(model, named, sources, options=options)
    models = load_judged_models(config)
    with lock_run_folder(config.model_paths.run_folder):
        return _wrap(run_model_evaluation(config, models, since), config)


def _name_sources(data: Candles, cache_dir: Path) -> list[CandleSource]:
    return name_sources(data, cache_dir.absolute() / FRAMES)


def _read_since(since: object) -> datetime:
    try:
        moment = datetime.fromisoformat(since) if isinstance(since, str) else since
    except ValueError:
        moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime) or moment != moment:  # NaT
        raise ConfigError('since is {since!r}. Write it like "2024-09-02 09:35" or "2024-09-02".', since=since)
    if moment.tzinfo is not None:
        raise ConfigError("since is {since}. Leave the time zone out: times are local to the exchange.", since=since)
    return datetime.fromisoformat(moment.isoformat())  # not a Timestamp


def _wrap(finished: FinishedRun, config: Config) -> Verdict:
    assert finished.evaluation is not None
    return Verdict(finished.evaluation, finished.report.page, config.report.language)
