"""Which models are at hand, whether the hub can be reached, and whether the published forecasts are reproduced."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, is_offline_mode
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE

from kronos.doctor.diagnoses import Diagnosis
from kronos.doctor.published import MODEL, TOKENIZER, Match, compare_published, list_pairs_to_compare
from kronos.errors import KronosError, first_line
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import PretrainedModel, fetch_model, find_folder
from kronos.model.stored.architecture import describes_tokenizer
from kronos.model.stored.hub import UNREACHABLE, ask, choose_token
from kronos.model.stored.mirrors import MIRROR, PUBLISHER
from kronos.names import find_hub_host
from kronos.saved_run import PUBLISHED

HUB_SECONDS = 5.0
Model = TypeVar("Model", bound=PretrainedModel)
FOLDERS = ("models", "pretrained", "pretrained_models")  # where people put downloaded models


def check_models(endpoint: str, compare: bool) -> Iterator[Diagnosis]:
    """Find the models, the hub, and whether published forecasts are reproduced.

    Args:
        endpoint: of the hub; empty: that of HF_ENDPOINT.
        compare: fetch the weights if they are not at hand; otherwise forecasts are compared only if they are.
    """
    yield _check_nano()
    cached = list(_find_cached())
    for name, commit, folder in cached:
        yield _check_readable("cached", name, folder, commit)
    if not cached:
        yield Diagnosis("models", "none_cached", "note", {"folder": constants.HF_HUB_CACHE})
    for name in _list_published():
        if find_folder(name).is_dir():
            yield Diagnosis("models", "hides_hub", "warning", {"name": name})
    for folder in _find_folders():
        yield _check_readable("folder", str(folder), folder)
    yield _check_hub(endpoint or constants.ENDPOINT, bool(cached))
    yield from _check_forecasts(endpoint, compare)


def _check_nano() -> Diagnosis:
    try:
        Kronos.from_pretrained("nano"), KronosTokenizer.from_pretrained("nano")
    except KronosError as error:
        return Diagnosis("models", "unreadable", "broken", {"name": "nano", "error": str(error)})
    return Diagnosis("models", "nano")


def _list_published() -> Iterator[str]:
    """Return the names of the published models on the hub."""
    names = [each for name, known in PUBLISHED.items() for each in (f"{PUBLISHER}/{name}", known.tokenizer)]
    yield from dict.fromkeys(name for name in names if name.startswith(PUBLISHER) and not name.endswith("/nano"))


def _find_cached() -> Iterator[tuple[str, str, Path]]:
    """Return the published models in the hub's cache: name, commit and folder."""
    for name in _list_published():
        try:
            config, _ = fetch_model(name, local_files_only=True)
        except KronosError:
            continue
        yield name, config.parent.name, config.parent


def _find_folders() -> Iterator[Path]:
    for parent in FOLDERS:
        for config in sorted(Path(parent).glob(f"*/{CONFIG_NAME}")):
            if (config.parent / SAFETENSORS_SINGLE_FILE).exists():
                yield config.parent


def _check_readable(code: str, name: str, folder: Path, commit: str = "") -> Diagnosis:
    """Load a model, which checks its names, shapes, numbers and, in the cache, its hash."""
    try:
        model_class = KronosTokenizer if describes_tokenizer(folder / CONFIG_NAME) else Kronos
        options = {"local_files_only": True} if commit else {}
        identity = model_class.from_pretrained(f"{name}@{commit}" if commit else folder, **options).identity
    except KronosError as error:
        return Diagnosis("models", "unreadable", "warning", {"name": name, "error": str(error)})
    values = {"name": name, "folder": str(folder), "sha256": identity.sha256 if identity else ""}
    return Diagnosis("models", code, values=values | ({"commit": commit[:12]} if commit else {}))


def _check_hub(endpoint: str, has_models: bool) -> Diagnosis:
    if is_offline_mode():
        return Diagnosis("hub", "hub_offline", "note")
    if find_hub_host(endpoint) is None:
        return Diagnosis("hub", "hub_no_address", "warning", {"endpoint": endpoint, "mirror": MIRROR})
    url = hf_hub_url(MODEL.partition("@")[0], CONFIG_NAME, endpoint=endpoint)
    token = choose_token(None, endpoint)
    try:
        ask(lambda: get_hf_file_metadata(url, token=token, timeout=HUB_SECONDS), HUB_SECONDS)
    except UNREACHABLE as error:
        reason = first_line(error)
        values = {"endpoint": endpoint, "reason": reason, "mirror": MIRROR}
        return Diagnosis("hub", "hub_unreachable", "note" if has_models else "warning", values)
    return Diagnosis("hub", "hub", values={"endpoint": endpoint})


def _check_forecasts(endpoint: str, compare: bool) -> Iterator[Diagnosis]:
    error: KronosError | None = None
    for tokenizer, model in list_pairs_to_compare():
        options: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        options |= {} if compare else {"local_files_only": True}
        try:
            models = _load(KronosTokenizer, tokenizer, options), _load(Kronos, model, options)
        except KronosError as missing:
            error = error or missing
            continue
        yield from (_report(match, model) for match in compare_published(*models))
        return
    if compare:
        yield Diagnosis("forecasts", "forecasts_failed", "broken", {"error": str(error)})
    else:
        names = {"model": MODEL.partition("@")[0], "tokenizer": TOKENIZER.partition("@")[0]}
        yield Diagnosis("forecasts", "forecasts_skipped", "note", names)


def _load(model_class: type[Model], name: str, options: dict[str, Any]) -> Model:
    """Load a model of the hub, even if a folder here has its name."""
    config, _ = fetch_model(name, **options)
    return model_class.from_pretrained(f"{name.partition('@')[0]}@{config.parent.name}", local_files_only=True)


def _report(match: Match, model: str) -> Diagnosis:
    values = {"n": match.n_known, "error": f"{match.error:.1e}", "tolerance": f"{match.tolerance:g}", "model": model}
    if match.matches:
        return Diagnosis("forecasts", "forecasts", values=values)
    # Weights of another commit may be others.
    return Diagnosis("forecasts", "forecasts_differ", "broken" if model == MODEL else "warning", values)
