"""The models that a run left."""

from pathlib import Path
from typing import NamedTuple

from kronos.config import Config, load_config
from kronos.errors import CheckpointError, ConfigError
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.training.record import StageRecord


class SavedRun(NamedTuple):
    """A run's configuration and its best models."""

    config: Config
    tokenizer: KronosTokenizer
    model: Kronos


def load_saved_run(folder: Path) -> SavedRun:
    """Load a run from its folder, {base_path}/{exp_name}, wherever it has been moved to.

    Raises:
        ConfigError: it has no config.yaml. CheckpointError: a model is missing, or the two do not belong together.
    """
    config = load_config(folder / "config.yaml", [f"model_paths.base_save_path={folder}"])
    return SavedRun(config, *load_models(config))


def load_models(config: Config) -> tuple[KronosTokenizer, Kronos]:
    """Load the best base model of a run and the tokenizer it was trained with.

    Raises:
        CheckpointError: a model is missing, or the tokenizer is not the one the base model was trained with.
    """
    folder = config.model_paths.stage_dir("basemodel")
    tokenizer_path = find_tokenizer(config)
    tokenizer = KronosTokenizer.from_pretrained(tokenizer_path)
    record = StageRecord.read(folder)
    if record and record.tokenizer_hash != hash_weights(tokenizer):
        raise CheckpointError(
            f"{folder}: this base model was trained with another tokenizer than {tokenizer_path}, so that it would misread "
            "its tokens: train it anew (finetune_base_model.py)."
        )
    return tokenizer, Kronos.from_pretrained(folder / "best_model")


def find_tokenizer(config: Config) -> str | Path:
    """Return the tokenizer of a run's base model: what the tokenizer stage left, else the pretrained one.

    Raises:
        ConfigError: the tokenizer stage is unfinished, or there is no trained tokenizer at all.
    """
    model_paths = config.model_paths
    finetuned, own = model_paths.finetuned_tokenizer, model_paths.stage_dir("tokenizer") / "best_model"
    if finetuned != own or own.is_dir():
        record = StageRecord.read(finetuned.parent)
        if record and not record.finished:
            raise ConfigError(
                f"{finetuned.parent}: the tokenizer stage was interrupted; finish it with --skip-existing (and without "
                "--skip-tokenizer) before the base model."
            )
        return finetuned
    if not (config.experiment.pre_trained_tokenizer and model_paths.pretrained_tokenizer):
        raise ConfigError(
            f"the base model needs a trained tokenizer: {own} is not there, and no pretrained one is given "
            "(model_paths.pretrained_tokenizer, experiment.pre_trained_tokenizer). Run the tokenizer stage first, or name a trained tokenizer in model_paths.finetuned_tokenizer."
        )
    return model_paths.pretrained_tokenizer
