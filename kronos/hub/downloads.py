"""Fetch published models, verify that they are whole and can be read, and put them where they are used."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE

from kronos.config import Config
from kronos.errors import ConfigError
from kronos.files import replacing_folder
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import HUB_NAME, fetch_model, find_folder, name_endpoint
from kronos.model.stored.architecture import describes_tokenizer
from kronos.model.stored.mirrors import PUBLISHER
from kronos.saved_run import PUBLISHED

DEFAULT = "Kronos-small"
ON_HUB = {f"{PUBLISHER}/{name}": each for name, each in PUBLISHED.items() if each.tokenizer.startswith(PUBLISHER)}
FILES = (CONFIG_NAME, SAFETENSORS_SINGLE_FILE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Downloaded:
    """A model that is here: its name on the hub, with the revision that was given, and the folder with its two files."""

    name: str
    is_tokenizer: bool
    commit: str
    sha256: str
    n_bytes: int
    folder: Path


def list_models_to_fetch(given: Sequence[str], config: Config | None) -> list[str]:
    """Return the hub names to fetch, each once: those given, those of a configuration, or Kronos-small.

    A published base model brings its tokenizer, unless that is given too. Short names such as Kronos-mini are of the
    publisher.

    Raises:
        ConfigError: a name is no hub name, or the configuration names no model of the hub.
    """
    if not given and config is not None:
        paths = config.model_paths
        named = [each for each in (paths.pretrained_tokenizer, paths.pretrained_predictor) if _is_on_hub(each)]
        if not named:
            raise ConfigError(
                "the configuration names no model of the hub, so there is nothing to fetch: its models are {models}. Name one, for "
                "example: kronos download Kronos-small.",
                models=", ".join(filter(None, (paths.pretrained_tokenizer, paths.pretrained_predictor))) or "not set",
            )
        return list(dict.fromkeys(named))
    names = [_complete(name) for name in given or [DEFAULT]]
    known = {_name_repository(name) for name in names}
    wanted = []
    for name in names:
        published = ON_HUB.get(_name_repository(name))
        wanted += [published.tokenizer] if published and published.tokenizer not in known else []
        wanted.append(name)
    return list(dict.fromkeys(wanted))


def _complete(name: str) -> str:
    """Return the hub name of a model."""
    known = {Path(each).name for name, own in ON_HUB.items() for each in (name, own.tokenizer)}
    full = f"{PUBLISHER}/{name}" if _name_repository(name) in known else name
    if not HUB_NAME.fullmatch(full):
        raise ConfigError(
            "{name}: no model of this name is published. Choose from {known}, or give owner/name.",
            name=name,
            known=", ".join(sorted(known)),
        )
    return full


def _name_repository(name: str) -> str:
    return name.partition("@")[0]


def _is_on_hub(name: str) -> bool:
    return bool(HUB_NAME.fullmatch(name)) and not find_folder(name).exists()


def choose_folders(names: Sequence[str], to: Path) -> dict[str, Path]:
    """Return for each model its folder {to}/{name}. What is there is replaced, if it is nothing but a model.

    Raises:
        ConfigError: a folder holds something else, or two models have the same folder.
    """
    folders = {name: to / Path(_name_repository(name)).name for name in names}
    before: dict[str, str] = {}
    for name, folder in folders.items():
        other = before.setdefault(folder.name.casefold(), name)
        if other != name:
            raise ConfigError(
                "{name} and {other} would both be put into {folder}. Fetch one of them into another folder, with --to.",
                name=name,
                other=other,
                folder=folder,
            )
        held = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
        if others := [each for each in held if each not in FILES]:
            raise ConfigError(
                "{folder}: this folder would be replaced, but it holds more than a model ({file}). Choose another folder with --to, "
                "or move it away.",
                folder=folder,
                file=others[0],
            )
    return folders


def download_model(name: str, folder: Path | None = None, endpoint: str = "") -> Downloaded:
    """Fetch a model into the hub's cache, check that it can be loaded, and copy it into a folder if one is given.

    Raises:
        CheckpointError: it cannot be fetched, or is no Kronos model. WriteError: the disk is full, or a folder is protected.
    """
    files = fetch_model(name, **name_endpoint(endpoint))
    config_file, weights_file = files
    model_class = KronosTokenizer if describes_tokenizer(config_file) else Kronos
    repository, commit = _name_repository(name), config_file.parent.name
    identity = model_class.from_pretrained(f"{repository}@{commit}", local_files_only=True).identity
    assert identity is not None
    if folder is not None:
        with replacing_folder(folder) as new:
            for file in files:
                shutil.copyfile(file, new / file.name)
    elif find_folder(name).is_dir():
        logger.warning(
            "%s: the folder of this name here is used instead of the hub's model. Rename it to use that", name
        )
    is_tokenizer = model_class is KronosTokenizer
    folder = folder or config_file.parent
    return Downloaded(name, is_tokenizer, commit, identity.sha256, weights_file.stat().st_size, folder)


def pair_models(models: Sequence[Downloaded]) -> Iterator[Mapping[bool, Downloaded]]:
    """Return what is used together, tokenizers as True and base models as False: each base model with its tokenizer.

    A base model whose tokenizer is not known, or not among several, stands alone.
    """
    tokenizers = {_name_repository(each.name): each for each in models if each.is_tokenizer}
    base_models = [each for each in models if not each.is_tokenizer]
    for each in base_models:
        published = ON_HUB.get(_name_repository(each.name))
        own = tokenizers.get(published.tokenizer) if published else None
        if own is None and len(tokenizers) == len(base_models) == 1:
            (own,) = tokenizers.values()
        yield {True: own, False: each} if own else {False: each}
    if not base_models:
        yield from ({True: each} for each in tokenizers.values())
