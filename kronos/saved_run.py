"""Load the models of a run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from kronos.config import Config, load_config
from kronos.config.load import UNSHARDED
from kronos.config.section import DEFAULT_CONTEXT
from kronos.errors import CheckpointError, ConfigError
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import PretrainedModel, find_folder, hash_weights, locate_file, name_endpoint
from kronos.names import Message
from kronos.run_folder import RunFolder, StageFolder
from kronos.stage_record import StageRecord
from kronos.timing import timed

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=PretrainedModel)


class Published(NamedTuple):
    """What belongs to a published model."""

    tokenizer: str
    max_context: int


PUBLISHED = {
    "Kronos-mini": Published("NeoQuasar/Kronos-Tokenizer-2k", 2048),
    "Kronos-small": Published("NeoQuasar/Kronos-Tokenizer-base", 512),
    "Kronos-base": Published("NeoQuasar/Kronos-Tokenizer-base", 512),
    "nano": Published("nano", 144),
}


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
    config = load_run_config(folder)
    return SavedRun(config, *load_models(config))


def load_model(model_class: type[Model], source: str | Path, endpoint: str = "") -> Model:
    """Load a model from a folder, a hub name or the package. The best model of a finished stage must be as the stage left it.

    Args:
        endpoint: of the hub, as model_paths.hub_endpoint.

    Raises:
        CheckpointError: it is missing, damaged, or has changed.
    """
    stage_dir = Path(source).expanduser().resolve().parent
    record = StageRecord.read_beside(source)
    if record and record.finished and not record.fits_best_model(stage_dir):
        raise CheckpointError(
            "{folder}: the model is damaged, or was replaced: its files differ from their SHA-256 in {record}. Train the stage "
            "again with --skip-existing (the old files are moved aside), or copy the folder again from where it came.",
            folder=source,
            record=StageFolder(stage_dir).record,
        )
    return model_class.from_pretrained(source, **name_endpoint(endpoint))


def load_pair(model: str, tokenizer: str, endpoint: str = "") -> tuple[KronosTokenizer, Kronos]:
    """Load a base model and its tokenizer, each as `load_model` does.

    Raises:
        CheckpointError: one is missing or damaged, or the names are those of published models that do not belong together.
    """
    check_published_pair(tokenizer, model)
    return load_model(KronosTokenizer, tokenizer, endpoint), load_model(Kronos, model, endpoint)


def load_run_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """Load a run's configuration from its folder, wherever it has been moved to.

    Raises:
        ConfigError: it has no config.yaml, or an override is wrong.
    """
    if not RunFolder(folder).config.is_file():
        raise ConfigError(
            "{folder}: there is no run here. A run's folder is {{base_path}}/{{exp_name}}, with config.yaml and basemodel/.",
            folder=folder,
        )
    moved_to = f"model_paths.base_save_path={folder.absolute()}"
    return load_config(RunFolder(folder).config, [moved_to, UNSHARDED, *overrides])


def find_run_of(model_folder: Path, tokenizer: KronosTokenizer, overrides: Sequence[str] = ()) -> Config | None:
    """Return the configuration of the run that trained a base model, {run}/basemodel/best_model; None for other folders.

    Raises:
        CheckpointError: the tokenizer is not the one the base model was trained with.
    """
    stage_dir, run = model_folder.resolve().parent, RunFolder.of_model(model_folder)
    if StageRecord.read(stage_dir) is None or not run.config.is_file():
        return None
    _check_trained_with(stage_dir, tokenizer, "the one given")
    return load_run_config(run.path, overrides)


@timed("models")
def load_models(config: Config) -> tuple[KronosTokenizer, Kronos]:
    """Load the best base model of a run and the tokenizer it was trained with.

    Raises:
        CheckpointError: a model is missing, or the tokenizer is not the one the base model was trained with.
    """
    folder = config.model_paths.run_folder.basemodel
    tokenizer_path = find_tokenizer(config)
    tokenizer = load_model(KronosTokenizer, tokenizer_path, config.model_paths.hub_endpoint)
    record = _check_trained_with(folder.path, tokenizer, tokenizer_path)
    check_trained(config)
    if record and not record.finished:
        logger.warning("%s: the training has not finished; this is the best model so far", folder.path)
    return tokenizer, load_model(Kronos, folder.best_model)


def check_trained(config: Config) -> None:
    """Check that a run has a base model, before its candles are read.

    Raises:
        CheckpointError: it has none.
    """
    folder = config.model_paths.run_folder.basemodel
    if not folder.best_model.is_dir():
        raise CheckpointError(
            "{folder}: this run has no base model yet. Train it; --skip-existing resumes an interrupted training.",
            folder=folder.path,
        )


def _check_trained_with(stage_dir: Path, tokenizer: KronosTokenizer, name: str | Path) -> StageRecord | None:
    """Check that a base model was trained with this tokenizer, and return its record."""
    record = StageRecord.read(stage_dir)
    if record and record.tokenizer_hash != hash_weights(tokenizer):
        raise CheckpointError(
            "{folder}: this base model was trained with another tokenizer than {name}, and would misread its tokens. Use "
            "its own tokenizer, or retrain the base model (finetune_base_model.py).",
            folder=stage_dir,
            name=name,
        )
    return record


def find_tokenizer(config: Config) -> str | Path:
    """Return the tokenizer of a run's base model: that of the tokenizer stage, else the pretrained one.

    Raises:
        ConfigError: the tokenizer stage is unfinished, or there is no trained tokenizer at all.
    """
    model_paths = config.model_paths
    finetuned, own = model_paths.finetuned_tokenizer, model_paths.run_folder.tokenizer.best_model
    if finetuned != own or own.is_dir():
        record = StageRecord.read(finetuned.parent)
        if record and not record.finished:
            raise ConfigError(
                "{folder}: the tokenizer stage was interrupted. Finish it with --skip-existing (and without "
                "--skip-tokenizer) before the base model.",
                folder=finetuned.parent,
            )
        return finetuned
    if not (config.experiment.pre_trained_tokenizer and model_paths.pretrained_tokenizer):
        raise ConfigError(
            "the base model needs a trained tokenizer: {own} does not exist, and no pretrained one is given "
            "(model_paths.pretrained_tokenizer, experiment.pre_trained_tokenizer). Run the tokenizer stage first, or name "
            "a trained tokenizer in model_paths.finetuned_tokenizer.",
            own=own,
        )
    return model_paths.pretrained_tokenizer


def find_max_context(model: str) -> int | None:
    """Return the context that a published model was trained with; None if it is not known."""
    published = _find_published(model)
    return published.max_context if published else None


def describe_long_context(model: str, window: int, max_context: int) -> Message | None:
    """Say that a forecast attends to more candles than the model was trained with; None if it does not.

    Args:
        window: lookback and horizon together.
    """
    known, attended = find_max_context(model), min(window, max_context)
    if known is None or attended <= known:
        return None
    template = "{model} was trained with at most {known} candles, and makes bad forecasts from {attended}. Set max_context to {known}."
    return Message(template, model=model, known=known, attended=attended)


def choose_context(model: str, given: int | None = None) -> int:
    """Return the context that is given, or that a published model was trained with, or the usual one."""
    return find_max_context(model) or DEFAULT_CONTEXT if given is None else given


def check_published_pair(tokenizer: str | Path, model: str | Path) -> None:
    """Check that a published base model reads the tokens of this published tokenizer: all of them have the same bits.

    Names of the hub are checked; a folder of such a name may hold anything, and is warned about.

    Raises:
        CheckpointError: it reads those of another one.
    """
    published, name = _find_published(str(model)), Path(tokenizer).name.partition("@")[0]
    tokenizers = {Path(each.tokenizer).name for each in PUBLISHED.values()}
    if published is None or name not in tokenizers or name == Path(published.tokenizer).name:
        return
    values = {"model": model, "tokenizer": tokenizer, "own": published.tokenizer}
    if all(not find_folder(each).is_dir() for each in (tokenizer, model)):
        raise CheckpointError(
            "{model}: this base model was trained on the tokens of {own}, and would misread those of {tokenizer}. Give {own} as the "
            "tokenizer (--tokenizer, or model_paths.pretrained_tokenizer).",
            **values,
        )
    template = (
        "{model}: the published base model of this name was trained on the tokens of {own}, and would misread those of "
        "{tokenizer}. If it is that model, give {own} as the tokenizer."
    )
    logger.warning(Message(template, **values))


def find_tokenizer_of(model: str) -> str:
    """Return the tokenizer that belongs to a model: that of its run, or that of a published model.

    Raises:
        ConfigError: it is not known. CheckpointError: there is no such model.
    """
    path = Path(model).expanduser()
    if is_of_run(path):
        run = RunFolder.of_model(path)
        return str(find_tokenizer(load_run_config(run.path)) if run.config.is_file() else run.tokenizer.best_model)
    if published := _find_published(model):
        beside = path.parent / Path(published.tokenizer).name
        return str(beside) if path.is_dir() and beside.is_dir() else published.tokenizer
    if RunFolder(path).config.is_file():
        raise ConfigError("{model}: this is the folder of a run, not of a model. Give it as the run.", model=model)
    locate_file(model, "config.json", Kronos.nano_part)
    raise ConfigError(
        "{model}: the tokenizer of this model is not known. Give its tokenizer too, a folder or a hub name; the published ones "
        "are {known}.",
        model=model,
        known=Message.join(dict.fromkeys(each.tokenizer for each in PUBLISHED.values()), " and "),
    )


def is_of_run(model: Path) -> bool:
    """Whether a folder is {run}/basemodel/best_model."""
    run = RunFolder.of_model(model)
    sibling = run.tokenizer.best_model
    return model.is_dir() and model.resolve().name == sibling.name and (run.config.is_file() or sibling.is_dir())


def _find_published(model: str) -> Published | None:
    return PUBLISHED.get(Path(model).name.partition("@")[0])
