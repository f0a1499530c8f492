"""Fetch published models, verify that they are whole and can be read, and put them where they are used."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kronos.config import Config
from kronos.errors import ConfigError
from kronos.files import replacing_folder
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import HUB_NAME, find_folder, locate_model, name_endpoint
from kronos.model.stored.architecture import read_model_config
from kronos.model.stored.mirrors import PUBLISHER
from kronos.saved_run import PUBLISHED

DEFAULT = "Kronos-small"
ON_HUB = {name: each for name, each in PUBLISHED.items() if each.tokenizer.startswith(PUBLISHER)}


@dataclass(frozen=True)
class Downloaded:
    """A model that is here: its name on the hub, and the folder with its two files."""

    name: str
    is_tokenizer: bool
    commit: str
    sha256: str
    n_bytes: int
    folder: Path


def list_models_to_fetch(given: Sequence[str], config: Config | None) -> list[str]:
    """Return the hub names to fetch, each once: those given, those of a configuration, or Kronos-small.

    A published base model brings its tokenizer. Short names such as Kronos-mini are of the publisher.

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
    return list(dict.fromkeys(each for name in given or [DEFAULT] for each in _complete(name)))


def _complete(name: str) -> Iterator[str]:
    """Return the hub name of a model, after that of its tokenizer."""
    known = {*ON_HUB, *(Path(each.tokenizer).name for each in ON_HUB.values())}
    full = f"{PUBLISHER}/{name}" if name.partition("@")[0] in known else name
    if not HUB_NAME.fullmatch(full):
        raise ConfigError(
            "{name}: no model of this name is published. Choose from {known}, or give owner/name.",
            name=name,
            known=", ".join(sorted(known)),
        )
    published = ON_HUB.get(full.removeprefix(f"{PUBLISHER}/").partition("@")[0])
    if published and full.startswith(f"{PUBLISHER}/"):
        yield published.tokenizer
    yield full


def _is_on_hub(name: str) -> bool:
    return bool(HUB_NAME.fullmatch(name)) and not find_folder(name).exists()


def fetch_model(name: str, to: Path | None = None, endpoint: str = "") -> Downloaded:
    """Fetch a model into the hub's cache, or from there into a folder {to}/{name}, and check that it can be loaded.

    Raises:
        CheckpointError: it cannot be fetched, or is no Kronos model. WriteError: the disk is full, or a folder is protected.
    """
    config_file, weights_file = locate_model(name, **name_endpoint(endpoint))
    is_tokenizer = "d_in" in read_model_config(config_file)
    folder, model_class = config_file.parent, KronosTokenizer if is_tokenizer else Kronos
    repository, commit = name.partition("@")[0], folder.name
    options = {"local_files_only": True}
    identity = model_class.from_pretrained(f"{repository}@{commit}", **options).identity
    assert identity is not None
    if to is not None:
        folder = to / repository.rpartition("/")[2]
        with replacing_folder(folder) as new:
            for file in (config_file, weights_file):
                shutil.copyfile(file, new / file.name)
    return Downloaded(repository, is_tokenizer, commit, identity.sha256, weights_file.stat().st_size, folder)
