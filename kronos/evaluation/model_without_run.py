"""Evaluate a model that no run here has trained: its tokenizer, its settings, and the candles that it is judged on."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kronos.candles import CANDLE_COLUMNS
from kronos.config import Config, load_config
from kronos.config.load import build_config
from kronos.data import CandleSet, split_candles
from kronos.data.windows.splits import Split, SplitName
from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.evaluation.baselines import build_kronos
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.origins.held_out import SPLIT_KEYS, HeldOut, choose_held_out, find_instant, note_seen
from kronos.evaluation.records import Note
from kronos.evaluation.results import MODEL
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import check_pair, check_trained_with
from kronos.names import Message, name_file, shorten_name
from kronos.run_folder import RunFolder, hash_subject
from kronos.saved_run import (
    SavedRun,
    check_published_pair,
    choose_context,
    describe_long_context,
    find_tokenizer_of,
    is_of_run,
    load_model,
)
from kronos.training.saved.last_seen import read_last_seen_of
from kronos.urls import MAX_NAME, CandleSource, Url, name_source

logger = logging.getLogger(__name__)

FOLDER = "evaluations"  # {FOLDER}/{model}-{data}
KEPT_SHARE = (
    0.2  # of the candles, the first ones, to fit baselines on; the more are kept, the fewer are left to judge on
)
VAL_SHARE = 0.25  # of these, to choose the best LSTM


def build_model_config(
    model: str,
    tokenizer: str | None,
    data: CandleSource | Sequence[CandleSource] | None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Config:
    """Build the configuration of an evaluation without a run.

    Args:
        model, tokenizer: folders or hub names; the tokenizer is by default the one that belongs to the model.
        data: the candles; by default data.data_path of the file.
        file: a YAML file with settings, for example that of the training to come.
        overrides, options: settings, "section.key=value" each, or values by dotted key.

    Raises:
        ConfigError: the tokenizer or the candles are not known, or a setting is wrong.
    """
    if data is None and file is None:
        raise ConfigError(
            "--model needs --data (a file, a folder, a glob or a URL of candles), or --config with data.data_path."
        )
    unnamed = name_file(f"unnamed-{model}")
    own = [
        f"model_paths.pretrained_predictor={model}",
        f"model_paths.pretrained_tokenizer={tokenizer or _find_tokenizer(model)}",
        f"model_paths.base_path={FOLDER}",
        f"model_paths.exp_name={unnamed}",
        *("model_paths.base_save_path=", "model_paths.finetuned_tokenizer=", "experiment.pre_trained=true"),
        *("experiment.pre_trained_tokenizer=true", "experiment.pre_trained_predictor=true"),
        f"data.max_context={choose_context(model)}",
        *([f"data.data_path={_write_sources(data)}"] if data else []),
        *overrides,
    ]
    config = (load_config(file, own) if file else build_config({}, own)).override(options or {}, "evaluate")
    baselines = [each for each in config.evaluation.rivals if each != "pretrained"]  # it is the model itself
    changes: dict[str, object] = {"evaluation.rivals": baselines}
    if config.model_paths.exp_name == unnamed:
        changes["model_paths.exp_name"] = _choose_name(model, config)
    if "lookback_window" not in config.data.model_fields_set:  # what the model would not see is of no use
        changes["data.lookback_window"] = min(config.data.lookback_window, config.data.max_context)
    return config.override(changes)


def _choose_name(model: str, config: Config) -> str:
    """Return {model}-{data}, with a hash behind it if that folder holds a verdict on others of these names."""
    data = config.data.data_path
    name = name_file(f"{shorten_name(name_model(model), MAX_NAME)}-{name_source(data[0])}")
    subject, folder = hash_subject(data, model), RunFolder(config.model_paths.base_path / name)
    return name if folder.report.is_for(subject) else f"{name}-{subject}"


def _write_sources(data: CandleSource | Sequence[CandleSource]) -> str:
    """Return sources as an override takes them; an empty path is no folder, but "." is."""
    if isinstance(data, Url):
        return data.address
    if isinstance(data, Path):
        return str(data if data != Path() else Path.cwd())
    return json.dumps([_write_sources(each) for each in data], ensure_ascii=False)


def name_model(model: str) -> str:
    """Return a short name: the last part of a hub name or folder, or the run that a {run}/basemodel/best_model is of."""
    path = Path(model).expanduser()
    return path.resolve().parent.parent.name if is_of_run(path) else path.resolve().name


def load_judged_models(config: Config) -> tuple[KronosTokenizer, Kronos]:
    """Load the model to judge and its tokenizer.

    Raises:
        CheckpointError: one cannot be loaded, or they do not belong together.
    """
    paths, data = config.model_paths, config.data
    if warning := describe_long_context(paths.pretrained_predictor, data.window, data.max_context):
        logger.warning("%s", warning)
    try:
        model = load_model(Kronos, paths.pretrained_predictor, paths.hub_endpoint)
    except CheckpointError as error:
        raise _explain("--model", error) from None
    try:
        tokenizer = load_model(KronosTokenizer, paths.pretrained_tokenizer, paths.hub_endpoint)
    except CheckpointError as error:
        raise _explain("--tokenizer", error) from None
    check_published_pair(paths.pretrained_tokenizer, paths.pretrained_predictor)
    try:
        check_pair(tokenizer, model, len(CANDLE_COLUMNS))
        check_trained_with(model, tokenizer)
    except CheckpointError as error:
        raise CheckpointError(
            "--tokenizer {tokenizer}, --model {model}: {error} Give --tokenizer the tokenizer that the model was trained with.",
            tokenizer=paths.pretrained_tokenizer,
            model=paths.pretrained_predictor,
            error=error,
        ) from None
    return tokenizer, model


def split_for_model(config: Config, candles: CandleSet, since: datetime | None) -> Config:
    """Return the configuration with the splits of an evaluation without a run.

    The first fifth of the candles is kept to fit the baselines on, or as much as one window of train and one horizon of
    validation need; the rest has the origins. If the configuration sets splits with a test split, they are kept.

    Args:
        since: the local time after which candles are forecast; the candles up to it are kept.

    Raises:
        DataError: too few candles are kept, or left.
    """
    data = config.data
    if since is None and SPLIT_KEYS & data.model_fields_set and (data.test_ratio or data.val_end or data.test_symbols):
        return config
    longest, least = max(map(len, candles.symbols), default=0), data.window + data.predict_window
    share = max(KEPT_SHARE, least / longest) if longest else 1.0
    if since is not None and longest:
        share = float((candles.instants <= find_instant(candles, since)).mean())
    n_kept = round(share * longest)
    if n_kept < least or longest - n_kept < data.predict_window:
        raise DataError(
            "{source}: too few candles ({n:,}). At least {least:,} are kept to fit the baselines on (a window and a horizon), and at "
            "least {horizon:,} must be left to forecast{since}. Give more candles, or shorter windows (data.lookback_window, "
            "data.predict_window).",
            source=candles.source if candles.symbols else data.data_path[0],
            n=longest,
            least=least,
            horizon=data.predict_window,
            since="" if since is None else Message("; {n:,} are not later than --since", n=n_kept),
        )
    val = share * max(data.predict_window, min(round(VAL_SHARE * n_kept), n_kept - data.window)) / n_kept
    ratios = {"data.train_ratio": share - val, "data.val_ratio": val, "data.test_ratio": 1 - share}
    return config.override(
        ratios | {"data.train_end": None, "data.val_end": None, "data.val_symbols": (), "data.test_symbols": ()}
    )


def build_judged(config: Config, tokenizer: KronosTokenizer, model: Kronos) -> KronosForecaster:
    """Return the judged model as a forecaster."""
    name = name_model(config.model_paths.pretrained_predictor)
    return build_kronos(MODEL, name, SavedRun(config, tokenizer, model), config)


def choose_for_model(config: Config, candles: CandleSet) -> tuple[HeldOut, dict[SplitName, Split]]:
    """Choose the origins that a model without a run is judged on. Return them and the splits, to fit baselines on."""
    splits = split_candles(candles, config.data)
    held_out = choose_held_out(config, candles, splits)
    model = Path(config.model_paths.pretrained_predictor).expanduser()
    seen = read_last_seen_of(RunFolder.of_model(model)) if is_of_run(model) else None
    notes = [*held_out.notes]
    if seen is None:
        notes.append(Note(code="weights_may_have_seen"))
    elif int(candles.instants[held_out.origins.rows + 1].min()) <= seen:
        notes.append(note_seen("on_seen", candles, seen))
    return replace(held_out, notes=tuple(notes)), splits


def _find_tokenizer(model: str) -> str:
    try:
        return find_tokenizer_of(model)
    except CheckpointError as error:
        raise _explain("--model", error) from None


def _explain(option: str, error: CheckpointError) -> CheckpointError:
    return CheckpointError("{option} {error}", option=option, error=error)
