"""Both stages, in order: everything is checked before the first step of the first stage."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from accelerate.utils import set_seed

from kronos.config import Config
from kronos.data import Candles, Split, WindowDataset, read_candles, split_rows
from kronos.data.windows import SplitName
from kronos.errors import CheckpointError, ConfigError
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.pretrained import PretrainedModel, hash_weights, locate_file, read_model_config
from kronos.training.arguments import StageName
from kronos.training.record import StageRecord, collect_settings
from kronos.training.stage import Stage, TokenInputs, candle_inputs, run_stage

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=PretrainedModel)


@dataclass(frozen=True)
class RunResult:
    """What a run was made from, and its stages' records."""

    candles: Candles
    splits: dict[SplitName, Split]
    records: dict[StageName, StageRecord]
    tokenizer_path: str  # of the tokenizer that the base model goes with: a folder or a hub name


def run_pipeline(config: Config, stages: Collection[StageName], skip_existing: bool) -> RunResult:
    """Train the stages asked for, the tokenizer first.

    Args:
        config: the resolved configuration.
        stages: which stages to train.
        skip_existing: skip finished stages and resume interrupted ones.

    Raises:
        KronosError: something is wrong with the configuration, the candles, the models or the output folder.
    """
    logger.info("%s", " · ".join(filter(None, [config.experiment.name, config.experiment.description])))
    candles = read_candles(config.data.data_path)
    splits = split_rows(len(candles), config.data, candles.source)
    windows = {name: WindowDataset(candles, split.window_starts, config.data) for name, split in splits.items()}
    _describe(candles, splits, windows)
    tokenizer_path = (
        config.model_paths.tokenizer_dir / "best_model" if "tokenizer" in stages else find_tokenizer(config)
    )
    tokenizer = _build_tokenizer(config) if "tokenizer" in stages else KronosTokenizer.from_pretrained(tokenizer_path)
    base_model = _build_base_model(config) if "basemodel" in stages else None
    records: dict[StageName, StageRecord] = {}

    def run(name: StageName, model: PretrainedModel, tokenizer: KronosTokenizer | None = None) -> None:
        record = StageRecord(
            stage=name,
            settings=collect_settings(config, name, candles),
            tokenizer_hash=hash_weights(tokenizer) if tokenizer else None,
        )
        folder = {"tokenizer": config.model_paths.tokenizer_dir, "basemodel": config.model_paths.basemodel_dir}[name]
        prepare_batch = TokenInputs(tokenizer, config.training.seed) if tokenizer else candle_inputs
        stage = Stage(name, folder, model, prepare_batch, windows["train"], windows["val"], record)
        records[name] = run_stage(config, stage, skip_existing)

    if base_model:
        _check_same_bits(tokenizer, base_model)
    if "tokenizer" in stages:
        run("tokenizer", tokenizer)
        tokenizer = KronosTokenizer.from_pretrained(tokenizer_path)
    if base_model:
        _check_same_bits(tokenizer, base_model)
        logger.info("basemodel  uses the tokenizer %s", tokenizer_path)
        run("basemodel", base_model, tokenizer)
    return RunResult(candles, splits, records, str(tokenizer_path))


def find_tokenizer(config: Config) -> str | Path:
    """Return the tokenizer for a base model when stage 1 is off: what stage 1 left earlier, else the pretrained one.

    Raises:
        ConfigError: stage 1 is unfinished, or there is no trained tokenizer at all.
    """
    model_paths = config.model_paths
    finetuned, own = model_paths.finetuned_tokenizer, model_paths.tokenizer_dir / "best_model"
    if finetuned != own or own.is_dir():
        record = StageRecord.read(finetuned.parent)
        if record and not record.finished:
            raise ConfigError(
                f"{finetuned.parent}: the tokenizer stage was interrupted; finish it with --skip-existing (and without "
                "--skip-tokenizer) before the base model."
            )
        return finetuned
    if not config.experiment.pre_trained_tokenizer:
        raise ConfigError(
            f"the base model needs a trained tokenizer: {own} is not there, and experiment.pre_trained_tokenizer is "
            "false. Run the tokenizer stage first, or name a trained tokenizer in model_paths.finetuned_tokenizer."
        )
    return model_paths.pretrained_tokenizer


def _build_tokenizer(config: Config) -> KronosTokenizer:
    source = config.model_paths.pretrained_tokenizer
    preset = PRESETS[source].tokenizer if source in PRESETS else None
    return _build(KronosTokenizer, source, preset, config.experiment.pre_trained_tokenizer, config.training.seed)


def _build_base_model(config: Config) -> Kronos:
    source = config.model_paths.pretrained_predictor
    preset = PRESETS[source].base_model if source in PRESETS else None
    return _build(Kronos, source, preset, config.experiment.pre_trained_predictor, config.training.seed)


def _build(
    model_class: type[Model], source: str, preset: dict[str, object] | None, pre_trained: bool, seed: int
) -> Model:
    """Load a model with its weights or, from scratch, build the architecture of a folder, hub name or preset."""
    is_preset = preset is not None and not Path(source).is_dir()
    if pre_trained and is_preset:
        raise ConfigError(
            f"{source!r} is a preset, an architecture without weights: set experiment.pre_trained=false to train it from "
            "scratch, or give a model folder or hub name."
        )
    if pre_trained:
        return model_class.from_pretrained(source)
    set_seed(seed)
    if is_preset:
        return model_class.from_config(preset or {}, source)
    config_file = locate_file(source, "config.json")
    return model_class.from_config(read_model_config(config_file), config_file)


def _check_same_bits(tokenizer: KronosTokenizer, base_model: Kronos) -> None:
    theirs, ours = ((model.s1_bits, model.s2_bits) for model in (tokenizer, base_model))
    if theirs != ours:
        raise CheckpointError(
            f"the tokenizer writes {theirs[0]} + {theirs[1]} bits, but the base model reads {ours[0]} + {ours[1]}: they do "
            "not belong together (model_paths.pretrained_tokenizer, model_paths.pretrained_predictor)."
        )


def _describe(candles: Candles, splits: dict[SplitName, Split], windows: dict[SplitName, WindowDataset]) -> None:
    first, last = candles.timestamps[0], candles.timestamps[-1]
    logger.info("%s: %s candles, %s to %s", candles.source, f"{len(candles):,}", first, last)
    for name, split in splits.items():
        logger.info(
            "  %-5s  rows %s, %s windows",
            *(name, f"{split.start:,}–{split.stop - 1:,}", f"{len(windows[name]):,}"),
        )
