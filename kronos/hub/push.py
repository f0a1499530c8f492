"""Write the folders of a run's models with their cards, and upload them to the hub."""

import logging
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, is_offline_mode
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from kronos.config import Config
from kronos.config.schema import Language
from kronos.errors import CheckpointError, ConfigError, KronosError, first_line
from kronos.evaluation.results import Evaluation
from kronos.files import hash_file, replacing_folder, write_text
from kronos.model import KronosTokenizer
from kronos.model.pretrained import HUB_NAME, find_folder, locate_model
from kronos.model.stored.hub import UNREACHABLE, ask, check_address, choose_token
from kronos.report.verdict.model_card import Publication, write_card, write_tokenizer_card
from kronos.report.words.catalogue import Words
from kronos.saved_run import find_tokenizer, load_saved_run

REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
FILES = (CONFIG_NAME, SAFETENSORS_SINGLE_FILE, "README.md")
ANSWER_SECONDS = 30.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A folder to upload: config.json, model.safetensors and README.md, for one repository."""

    repository: str
    folder: Path


def name_published(to: str, tokenizer_to: str, license: str, hide_data: bool) -> Publication:
    """Return the names of the repositories and what the cards may tell.

    Raises:
        ConfigError: a name is none of the hub.
    """
    tokenizer = tokenizer_to or f"{to}-tokenizer"
    for option, name in (("--to", to), ("--tokenizer-to", tokenizer)):
        if not REPOSITORY.fullmatch(name) or ".." in name or "--" in name:
            raise ConfigError(
                "{option} {name}: no name of the hub. Give user/name, such as me/kronos-600977.",
                option=option,
                name=name,
            )
    if tokenizer == to:
        raise ConfigError(
            "--tokenizer-to is --to. A model and its tokenizer need a repository each: both have a config.json."
        )
    if license and not LICENSE.fullmatch(license):
        raise ConfigError(
            "--license {license}: no identifier of the hub, such as mit, apache-2.0 or other.", license=license
        )
    return Publication(to, tokenizer, license, hide_data)


def prepare(run: Path, published: Publication, language: Language = "en") -> tuple[Publication, list[Prepared]]:
    """Write the folders to upload into {run}/push, and return them, the tokenizer's first.

    A tokenizer that is on the hub already is named in the card instead; `published` is returned with its name.

    Raises:
        ConfigError: there is no run. CheckpointError: its models are missing, damaged or do not belong together.
    """
    config = load_saved_run(run).config  # which checks the models
    folder, words = config.model_paths.run_folder, Words(language)
    source = find_tokenizer(config)
    on_hub = HUB_NAME.fullmatch(str(source)) if not find_folder(source, KronosTokenizer.nano_part).is_dir() else None
    if on_hub:
        published = Publication(published.model, on_hub[1], published.license, published.hide_data)
    card = write_card(folder, config, read_verdict(config), words, published)
    prepared = []
    if not on_hub:
        own = write_tokenizer_card(folder, config, words, published)
        files = locate_model(source, KronosTokenizer.nano_part)
        prepared.append(_fill(folder.path / "push" / "tokenizer", files, own, published.tokenizer))
    prepared.append(
        _fill(folder.path / "push" / "model", locate_model(folder.basemodel.best_model), card, published.model)
    )
    return published, prepared


def read_verdict(config: Config) -> Evaluation | None:
    """Return the verdict on a run's best model; None if there is none, or it is on other weights."""
    run = config.model_paths.run_folder
    if not run.report.results.is_file():
        return None
    evaluation = Evaluation.read(run.report.results)
    judged = evaluation.provenance.base_model if evaluation.provenance else None
    if judged is None or judged.sha256 != hash_file(run.basemodel.best_model / SAFETENSORS_SINGLE_FILE):
        logger.warning(
            "%s: this verdict is not on the present weights, or of an earlier version. The card says that the model was not evaluated. "
            "To evaluate it: kronos evaluate --run %s",
            run.report.results,
            shlex.quote(str(run.path)),
        )
        return None
    return evaluation


def _fill(folder: Path, files: tuple[Path, Path], card: str, repository: str) -> Prepared:
    with replacing_folder(folder) as new:
        for file in files:
            shutil.copyfile(file, new / file.name)
        write_text(new / "README.md", card)
    return Prepared(repository, folder)


def upload(prepared: Sequence[Prepared], private: bool, endpoint: str = "") -> Iterator[str]:
    """Upload each folder in one commit, and return the address of its repository. All repositories are checked first.

    Args:
        private: only you can see the repositories. One that is public already is refused then.

    Raises:
        KronosError: the hub cannot be reached, or refuses.
    """
    _check_hub(prepared[0].folder.parent, endpoint)
    api = HfApi(endpoint=endpoint or None)
    _ask(api.whoami, prepared[0], endpoint)
    for each in prepared:
        _ask(partial(api.create_repo, each.repository, private=private, exist_ok=True), each, endpoint)
        if private and not _ask(partial(api.model_info, each.repository), each, endpoint).private:
            raise ConfigError(
                "{name} exists and is public, but --private was given. Choose another name, or make it private in its settings on "
                "the hub. Nothing was uploaded.",
                name=each.repository,
            )
    options = {"allow_patterns": list(FILES), "commit_message": "Upload a fine-tuned Kronos model"}
    for each in prepared:
        upload_folder = partial(api.upload_folder, repo_id=each.repository, folder_path=each.folder, **options)
        _translate(upload_folder, each, endpoint)
        yield f"{endpoint or constants.ENDPOINT}/{each.repository}"


def _check_hub(folder: Path, endpoint: str) -> None:
    """Check that the hub may be asked, and may have the user's token."""
    if is_offline_mode():
        raise KronosError("HF_HUB_OFFLINE is set, so nothing is uploaded. Unset it; {folder} is ready.", folder=folder)
    check_address(endpoint or constants.ENDPOINT)
    if endpoint and choose_token(None, endpoint) is False:
        raise ConfigError(
            "--endpoint {endpoint}: your token is not sent there, because it may belong to another hub ({own}). To upload to "
            "{endpoint}, set HF_ENDPOINT to it and HF_TOKEN to a token of that hub. {folder} is ready.",
            endpoint=endpoint,
            own=constants.ENDPOINT,
            folder=folder,
        )


def _ask(question: Callable[[], T], prepared: Prepared, endpoint: str) -> T:
    return _translate(lambda: ask(question, ANSWER_SECONDS), prepared, endpoint)


def _translate(question: Callable[[], T], prepared: Prepared, endpoint: str) -> T:
    """Return the answer of the hub, or raise what is wrong and how to fix it."""
    values = {"name": prepared.repository, "endpoint": endpoint or constants.ENDPOINT, "folder": prepared.folder}
    try:
        return question()
    except LocalTokenNotFoundError:
        status, error = 401, None
    except HFValidationError as refused:
        raise ConfigError("{name}: {error}", name=prepared.repository, error=refused) from None
    except (*UNREACHABLE, ValueError) as failed:  # the client does not understand the answer
        status, error = failed.response.status_code if isinstance(failed, HfHubHTTPError) else 0, failed
    if status == 401:
        raise KronosError(
            "{name}: the hub ({endpoint}) does not know who you are. Run hf auth login, or set HF_TOKEN, with a token that may write "
            "(https://huggingface.co/settings/tokens).",
            **values,
        ) from error
    if status in (403, 404):
        raise KronosError(
            "{name}: your token may not write there. Use a token with write access, and your own name or that of your organisation "
            "in front of the slash.",
            **values,
        ) from error
    reason = first_line(error).rstrip(".")
    raise CheckpointError(
        "{name}: not uploaded to {endpoint}: {reason}. Run the same command again, or upload {folder} with hf upload. Mirrors such as "
        "hf-mirror.com take no uploads.",
        reason=reason,
        **values,
    ) from error
