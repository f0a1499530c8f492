"""The model card of a run: README.md beside its best base model, with the verdict, as the Hugging Face Hub shows it."""

from __future__ import annotations

from pathlib import Path

import yaml

from kronos.config import Config
from kronos.evaluation.results import Evaluation
from kronos.files import write_text
from kronos.model.pretrained import HUB_NAME
from kronos.report.verdict.provenance import list_provenance
from kronos.report.verdict.summary import LEVEL, write_coverage
from kronos.report.words.answers import write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note
from kronos.run_folder import RunFolder

PUBLISHER = "NeoQuasar/"  # of the pretrained models; their licence is MIT
TAGS = ["time-series-forecasting", "finance", "kronos"]


def write_model_card(run: RunFolder, config: Config, evaluation: Evaluation) -> None:
    """Write the model card of a run's best base model. Each training writes one without a verdict.

    Raises:
        KronosError: the file cannot be written.
    """
    card = f"---\n{_write_metadata(config)}---\n\n{_write_text(evaluation, Words('en'))}"
    write_text(run.basemodel.best_model / "README.md", card)


def _write_metadata(config: Config) -> str:
    """Return the header that the hub reads. A path on this machine is no name of a base model."""
    metadata: dict[str, object] = {"library_name": "kronos", "tags": TAGS}
    base_model = config.model_paths.pretrained_predictor
    on_hub = None if Path(base_model).exists() else HUB_NAME.fullmatch(base_model)
    if config.experiment.pre_trained_predictor and on_hub:
        metadata |= {"license": "mit"} if base_model.startswith(PUBLISHER) else {}
        metadata |= {"base_model": on_hub[1]}  # without a revision
    return yaml.safe_dump(metadata, sort_keys=False)


def _write_text(evaluation: Evaluation, words: Words) -> str:
    n_origins = f"{evaluation.n_origins:,}"
    parts = [
        words("card.title", run=evaluation.run),
        words("card.use"),
        words("card.verdict"),
        write_headline(evaluation, words),
        words("card.origins", n=n_origins, first=evaluation.first_origin, last=evaluation.last_origin),
    ]
    coverage = evaluation.forecasters[0].log_return.get(f"coverage_{LEVEL}")
    if coverage:
        parts.append(write_coverage(coverage, evaluation.confidence, words))
    parts += [write_note(note, words) for note in evaluation.notes]
    if provenance := list_provenance(evaluation, words):
        parts += [words("card.provenance"), "\n".join(f"- {label}: {text}" for label, text in provenance)]
    return "\n\n".join([*parts, words("page.no_promise")]) + "\n"
