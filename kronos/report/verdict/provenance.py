"""Word which models and candles a verdict is of."""

from pathlib import Path

from kronos.evaluation.results import Evaluation
from kronos.model.stored.identity import ModelIdentity
from kronos.report.words.catalogue import Words

MODELS = ("tokenizer", "base_model", "start_tokenizer", "start_base_model")
CANDLES = ("candles", "train_candles")


def list_provenance(evaluation: Evaluation, words: Words) -> list[tuple[str, str]]:
    """Return a label and a text for each known model and set of candles; nothing for a verdict of an earlier version."""
    known = dict(evaluation.provenance) if evaluation.provenance else {}
    models = {key: _write_model(known[key], words) for key in MODELS if known.get(key)}
    candles = {key: str(known[key]) for key in CANDLES if known.get(key)}
    return [(words(f"provenance.{key}"), text) for key, text in (models | candles).items()]


def _write_model(model: ModelIdentity, words: Words) -> str:
    """Name a model as the hub does; of a folder only the last part, because a model card is published."""
    name = model.name if model.commit else Path(model.name).name
    commit = words("provenance.commit", commit=model.commit) if model.commit else ""
    return words("provenance.model", name=name, commit=commit, sha256=model.sha256)
