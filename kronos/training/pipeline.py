"""Run both stages in order. Everything is checked before the first step of the first stage."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from transformers import TrainerCallback

from kronos.candles import CANDLE_COLUMNS
from kronos.config import Config
from kronos.config.recipes import describe_recipe
from kronos.config.training import LOSS_NAMES, STAGES, StageName
from kronos.data import CandleSet, Split, WindowDataset, split_candles
from kronos.data.audit import audit_candles, audit_to_json, describe_candles, describe_splits
from kronos.data.windows.load import Audited
from kronos.data.windows.splits import SplitName, find_moments
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import CheckpointError, ConfigError
from kronos.files import write_sealed
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.pretrained import (
    PretrainedModel,
    check_pair,
    hash_weights,
    locate_file,
    name_endpoint,
    names_nano,
)
from kronos.model.stored.architecture import read_model_config
from kronos.saved_run import check_published_pair, find_tokenizer, load_model
from kronos.stage_record import StageRecord
from kronos.timing import timed
from kronos.training.arguments import check_schedule
from kronos.training.criterion import BY_LOSS, BuildScore, Criterion, Score, bind_score
from kronos.training.fit.blend import apply_blend
from kronos.training.fit.lora_and_freezing import adapt_model
from kronos.training.inputs.augment import CandleInputs
from kronos.training.inputs.replay import ReplayDataset, add_replay, load_replay
from kronos.training.inputs.tokens import TokenInputs
from kronos.training.safety.out_of_memory import finds_micro_batch
from kronos.training.saved.last_seen import SEEN_UNTIL, find_seen_in_all
from kronos.training.saved.same_on_all_ranks import check_same_record, check_shared_folder
from kronos.training.saved.stage_settings import REPLAY_KEY, collect_settings
from kronos.training.stage import Stage, rank_0_first, run_stage
from kronos.training.step_counts import count_steps
from kronos.training.tokenizer_gate import apply_gate

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=PretrainedModel)


@dataclass(frozen=True)
class RunResult:
    """The candles and splits of a run, and the records of its stages."""

    candles: CandleSet
    splits: dict[SplitName, Split]
    records: dict[StageName, StageRecord]


@dataclass(frozen=True)
class RunInputs:
    """The inputs of a run: candles, windows, and the models before training."""

    audited: Audited
    splits: dict[SplitName, Split]
    windows: dict[SplitName, WindowDataset]
    tokenizer: KronosTokenizer
    base_model: Kronos | None


def run_pipeline(
    config: Config,
    skip_existing: bool,
    callbacks: Sequence[TrainerCallback] = (),
    build_score: BuildScore | None = None,
    on_inputs: Callable[[Config, RunInputs], None] | None = None,
) -> RunResult:
    """Train the requested stages (experiment.train_tokenizer, experiment.train_basemodel), the tokenizer first.

    Args:
        config: the resolved configuration.
        skip_existing: skip finished stages and resume interrupted ones.
        callbacks: further callbacks for the Trainer of each stage.
        build_score: builds the score if training.best_by is no loss: `kronos.evaluation.ValidationScore`.
        on_inputs: called once everything is loaded and checked, before the first step: `kronos.report.advice.log_advice`.

    Raises:
        KronosError: something is wrong with the configuration, the candles, the models or the output folder.
    """
    title = [config.model_paths.exp_name, config.experiment.name, config.experiment.description]
    logger.debug("%s", " · ".join(dict.fromkeys(filter(None, title))))
    logger.debug("%s", describe_recipe(config.recipe, config.model_dump(mode="json")))
    check_shared_folder(config.model_paths.base_save_path)
    inputs = prepare_inputs(config)
    candles, splits, tokenizer, base_model = inputs.audited.candles, inputs.splits, inputs.tokenizer, inputs.base_model
    score = _build_score(config, candles, splits["val"], build_score) if base_model else None
    for line in (describe_candles(candles), *describe_splits(splits, config.data)):
        logger.info("%s", line)
    if on_inputs:
        on_inputs(config, inputs)
    if PartialState().is_main_process:
        seen = find_seen_in_all(config, candles, splits, skip_existing)
        audit = audit_to_json(inputs.audited) | {SEEN_UNTIL: seen}
        write_sealed(config.model_paths.run_folder.audit, audit)
    records: dict[StageName, StageRecord] = {}
    if config.experiment.train_tokenizer:
        stage = build_stage("tokenizer", config, inputs, tokenizer)
        untouched = copy.deepcopy(tokenizer)  # the stage trains the model in place
        record = run_stage(config, stage, skip_existing, callbacks)
        records["tokenizer"] = apply_gate(stage, record, untouched, config.training.keep_worse_tokenizer)
        tokenizer = load_model(KronosTokenizer, stage.best_model)
    if base_model:
        check_pair(tokenizer, base_model, len(CANDLE_COLUMNS))
        logger.debug("basemodel  uses the tokenizer %s", find_tokenizer(config))
        best_by = config.training.best_by
        criterion = bind_score(best_by, score, tokenizer) if score else Criterion(best_by)
        stage = build_stage("basemodel", config, inputs, base_model, tokenizer, criterion)
        record = run_stage(config, stage, skip_existing, callbacks)
        records["basemodel"] = apply_blend(config, stage, record, tokenizer)
    else:
        _warn_about_stale_base_model(config, tokenizer)
    return RunResult(candles, splits, records)


@timed("reading")
def prepare_inputs(config: Config) -> RunInputs:
    """Load and check everything that a run needs before its first step. Writes nothing to the run's folder.

    Raises:
        KronosError: something is wrong with the configuration, the candles or the models.
    """
    on = config.experiment
    if not (on.train_tokenizer or on.train_basemodel):
        raise ConfigError(
            "nothing to train: both stages are off. Set experiment.train_tokenizer or experiment.train_basemodel to true, or "
            "remove --skip-tokenizer or --skip-basemodel."
        )
    audited = load_run_candles(config)
    splits = split_candles(audited.candles, config.data)
    windows = build_windows(config, audited.candles, splits)
    if config.data.replay:
        replayed, moments = load_replay(config, load_run_candles), find_moments(audited.candles, config.data)
        windows["train"] = add_replay(windows["train"], replayed, moments[0])
    _check_schedules(config, windows["train"])
    endpoint = config.model_paths.hub_endpoint
    tokenizer = (
        _build_tokenizer(config)
        if on.train_tokenizer
        else load_model(KronosTokenizer, find_tokenizer(config), endpoint)
    )
    base_model = _build_base_model(config) if on.train_basemodel else None
    if base_model and on.pre_trained_predictor and on.pre_trained_tokenizer:
        check_published_pair(config.model_paths.pretrained_tokenizer, config.model_paths.pretrained_predictor)
    check_pair(tokenizer, base_model, len(CANDLE_COLUMNS))
    return RunInputs(audited, splits, windows, tokenizer, base_model)


def _check_schedules(config: Config, train: WindowDataset) -> None:
    on = {"tokenizer": config.experiment.train_tokenizer, "basemodel": config.experiment.train_basemodel}
    for name in STAGES:
        n_steps = count_steps(config, name, train)
        if on[name] and n_steps:  # check_batch_fits reports too few windows
            check_schedule(config.training, name, n_steps)


def build_windows(config: Config, candles: CandleSet, splits: dict[SplitName, Split]) -> dict[SplitName, WindowDataset]:
    return {
        name: WindowDataset(candles, split.starts, config.data, split.symbol_bounds) for name, split in splits.items()
    }


@timed("reading")
def load_run_candles(config: Config) -> Audited:
    """Load and audit the candles. Rank 0 goes first and caches large ones on disk for the others."""
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            remove_temporaries(config.data.cache_dir)
            audited = audit_candles(config.data, config.repairs)
    return audited if is_rank_0 else audit_candles(config.data, config.repairs)


def build_stage(
    name: StageName,
    config: Config,
    inputs: RunInputs,
    model: PretrainedModel,
    tokenizer: KronosTokenizer | None = None,
    criterion: Criterion = BY_LOSS,
) -> Stage:
    """Build a stage; that of a base model needs its frozen tokenizer."""
    train = inputs.windows["train"]
    if name == "basemodel" and config.training.loss_on == "origins":
        train = train.with_many_origins()
    replayed = {REPLAY_KEY: train.other.content_hash()[:12]} if isinstance(train, ReplayDataset) else {}
    record = StageRecord(
        stage=name,
        settings=collect_settings(config, name, inputs.audited.candles) | replayed,
        tokenizer_hash=hash_weights(tokenizer) if tokenizer else None,
        start_hash=None if config.training.lora else hash_weights(model),
        start_model=model.identity,
        tokenizer=tokenizer.identity if tokenizer else None,
        n_processes=PartialState().num_processes,
        n_parts=None if finds_micro_batch(config) else config.training.accumulation_steps,
        best_by=criterion.name,
    )
    check_same_record(record)
    settings = config.training, config.data
    prepare_batch = TokenInputs(tokenizer, *settings) if tokenizer else CandleInputs(*settings)
    folder = config.model_paths.run_folder.stage(name).path
    return Stage(name, folder, model, prepare_batch, train, inputs.windows["val"], record, criterion)


def _build_score(config: Config, candles: CandleSet, val: Split, build_score: BuildScore | None) -> Score | None:
    best_by = config.training.best_by
    if best_by in LOSS_NAMES:
        return None
    if build_score is None:
        raise ConfigError(
            "training.best_by is {best_by}, but run_pipeline was called without build_score. Pass "
            "build_score=kronos.evaluation.ValidationScore, or set training.best_by=horizon_loss.",
            best_by=best_by,
        )
    return build_score(config, candles, val)


def _warn_about_stale_base_model(config: Config, tokenizer: KronosTokenizer) -> None:
    folder = config.model_paths.run_folder.basemodel.path
    record = StageRecord.read(folder)
    if record and record.tokenizer_hash != hash_weights(tokenizer):
        logger.warning(
            "the base model in %s was trained with another tokenizer. Retrain it to use the two together.", folder
        )


def _build_tokenizer(config: Config) -> KronosTokenizer:
    source = config.model_paths.pretrained_tokenizer
    preset = PRESETS[source].tokenizer if source in PRESETS else None
    model = _build(KronosTokenizer, source, preset, config.experiment.pre_trained_tokenizer, config)
    return adapt_model(model, "tokenizer", config.training)


def _build_base_model(config: Config) -> Kronos:
    source = config.model_paths.pretrained_predictor
    preset = PRESETS[source].base_model if source in PRESETS else None
    model = _build(Kronos, source, preset, config.experiment.pre_trained_predictor, config)
    return adapt_model(model, "basemodel", config.training)


@timed("models")
def _build(
    model_class: type[Model], source: str, preset: dict[str, object] | None, pre_trained: bool, config: Config
) -> Model:
    """Load a pretrained model, or build the untrained architecture of a folder, hub name or preset."""
    is_preset = preset is not None and not Path(source, "config.json").is_file()
    if pre_trained and is_preset and not names_nano(source):
        raise ConfigError(
            "{source!r} is a preset, an architecture without weights. Set experiment.pre_trained=false to train it from "
            "scratch, or name a model folder, a model on the hub or nano.",
            source=source,
        )
    endpoint = config.model_paths.hub_endpoint
    if pre_trained:
        return load_model(model_class, source, endpoint)
    origin: str | Path = source if is_preset else locate_file(source, "config.json", **name_endpoint(endpoint))
    sizes = preset or {} if is_preset else read_model_config(Path(origin))
    _check_fits_memory(model_class, sizes, origin)
    set_seed(config.training.seed)
    return model_class.from_config(sizes, origin)


def _check_fits_memory(model_class: type[PretrainedModel], sizes: dict[str, Any], origin: str | Path) -> None:
    """Check that the weights of an untrained model fit into the machine's memory, before they are drawn."""
    with torch.device("meta"):
        weights = list(model_class.from_config(sizes, origin).parameters())
    needed, memory = sum(each.nbytes for each in weights), psutil.virtual_memory().total
    if needed > memory:
        raise CheckpointError(
            "{origin}: the weights of a {model} of these sizes take {needed:,.0f} GB, but this machine has {memory:,.0f} GB of "
            "memory. Choose smaller sizes (d_model, ff_dim, n_layers, s1_bits, s2_bits).",
            origin=origin,
            model=model_class.__name__,
            needed=needed / 1e9,
            memory=memory / 1e9,
        )
