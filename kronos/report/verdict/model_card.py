"""The model card of a run: README.md beside its best base model, with the verdict, as the Hugging Face Hub shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

from kronos.config import Config
from kronos.config.affects import find_affects
from kronos.config.training import TrainingConfig
from kronos.evaluation.results import Evaluation
from kronos.evaluation.skill import PRETRAINED, find_skill
from kronos.files import find_sealed, write_text
from kronos.model import KronosTokenizer
from kronos.model.pretrained import find_folder
from kronos.model.stored.identity import ModelIdentity, identify
from kronos.names import make_printable
from kronos.report.verdict.card_metadata import build_metadata, list_results
from kronos.report.verdict.provenance import list_provenance
from kronos.report.verdict.public import make_public
from kronos.report.verdict.summary import LEVEL, write_coverage
from kronos.report.words.answers import find_pretrained, name_baseline, write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_level, format_percent
from kronos.report.words.sentences import name_metric, write_note, write_outcome
from kronos.run_folder import RunFolder
from kronos.saved_run import find_tokenizer
from kronos.stage_record import StageRecord

WINDOWS = ("lookback_window", "predict_window", "max_context", "clip")
ALWAYS_SHOWN = (
    "tokenizer_epochs",
    "basemodel_epochs",
    "batch_size",
    "tokenizer_learning_rate",
    "predictor_learning_rate",
)
SKILL_KINDS = ("level", "width")  # of `find_skill`: the model is better than the simple forecasts

OUR_CODE = """\
```python
from kronos import KronosPredictor

predictor = KronosPredictor.from_pretrained("{model}", "{tokenizer}", max_context={max_context}, clip={clip})
forecast = predictor.forecast(candles[-{lookback}:], horizon={horizon})
print(forecast.median)
```"""
UPSTREAM_CODE = """\
```python
from model import Kronos, KronosPredictor, KronosTokenizer

tokenizer = KronosTokenizer.from_pretrained("{tokenizer}")
model = Kronos.from_pretrained("{model}")
predictor = KronosPredictor(model, tokenizer, max_context={max_context}, clip={clip})
forecast = predictor.predict(df, x_timestamp, y_timestamp, pred_len={horizon}, T=1.0, top_p=1.0, sample_count=30)
```"""


@dataclass(frozen=True)
class Publication:
    """Where the models of a run are to be found, and what the cards may tell.

    model, tokenizer: hub names. license: of both; empty: that of the models that training began with. hide_data: leave out
    the names of symbols and the times of the candles.
    """

    model: str
    tokenizer: str
    license: str = ""
    hide_data: bool = False


@dataclass(frozen=True)
class _Card:
    """What a card is written from. evaluation: None if there is none of these weights."""

    run: RunFolder
    config: Config
    evaluation: Evaluation | None
    words: Words
    published: Publication | None = None

    @property
    def hides_data(self) -> bool:
        return self.published is not None and self.published.hide_data

    @property
    def license(self) -> str:
        return self.published.license if self.published else ""


def list_symbols(run: RunFolder) -> list[dict[str, Any]]:
    """Return the audited symbols: name, number of candles, first and last time, interval; never where they lie."""
    found = (find_sealed(run.audit) or {}).get("symbols")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def write_model_card(run: RunFolder, config: Config, evaluation: Evaluation) -> None:
    """Write the model card of a run's best base model. Each training writes one without a verdict.

    Raises:
        KronosError: the file cannot be written.
    """
    card = write_card(run, config, evaluation, Words("en"))
    write_text(run.basemodel.best_model / "README.md", card)


def write_card(
    run: RunFolder, config: Config, evaluation: Evaluation | None, words: Words, published: Publication | None = None
) -> str:
    """Return the card of a run's base model. What it says first is whether the model is of use."""
    symbols = [str(each.get("symbol")) for each in list_symbols(run)]
    hides_data = published is not None and published.hide_data
    evaluation = evaluation and make_public(evaluation, words, symbols if hides_data else None)
    card = _Card(run, config, evaluation, words, published)
    data = build_metadata(_find_start(run.basemodel.best_model), card.license)
    if evaluation is not None:
        data.model_name = published.model.rpartition("/")[2] if published else make_printable(evaluation.run)
        data.eval_results = list_results(evaluation, words, card.hides_data)
    name = published.model.rpartition("/")[2] if published else evaluation.run if evaluation else run.path.name
    parts = [words("card.title", run=name), *_write_warning(evaluation, words), *_write_use(card)]
    parts += [*_write_verdict(card), *_write_candles(card), *_write_settings(card), *_write_origin(card)]
    return _join(data, [*parts, words("page.no_promise")])


def write_tokenizer_card(run: RunFolder, config: Config, words: Words, published: Publication) -> str:
    """Return the card of a run's tokenizer."""
    card = _Card(run, config, None, words, published)
    data = build_metadata(_find_start(find_tokenizer(config), KronosTokenizer.nano_part), card.license)
    parts = [words("card.tokenizer_title", run=published.tokenizer.rpartition("/")[2])]
    parts += [words("card.tokenizer_of", model=published.model), *_write_use(card), *_write_origin(card)]
    return _join(data, [*parts, words("page.no_promise")])


def _find_start(model: str | Path, nano_part: str = "") -> ModelIdentity | None:
    """Return the model that training began with, as recorded; of one that was not trained here, the model itself."""
    folder = find_folder(model, nano_part)
    if record := StageRecord.read_beside(folder):
        return record.start_model
    weights = folder / SAFETENSORS_SINGLE_FILE
    return identify(model, weights, from_hub=False) if weights.is_file() else None


def _join(data: ModelCardData, parts: Sequence[str]) -> str:
    header = yaml.safe_dump(data.to_dict(), sort_keys=False, allow_unicode=True)  # type: ignore[no-untyped-call]
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


def _write_warning(evaluation: Evaluation | None, words: Words) -> Iterator[str]:
    """Say first what speaks against the model."""
    if evaluation is None:
        yield words("card.not_evaluated")
        return
    found = find_pretrained(evaluation)
    if found is not None and found.outcome == "hurt":
        yield words("card.hurt")
    if find_skill(evaluation).kind not in SKILL_KINDS:
        yield words("card.no_skill")


def _write_use(card: _Card) -> Iterator[str]:
    """Write how to load the models: with ours, and with the reference implementation's code."""
    words, published, data = card.words, card.published, card.config.data
    if published is None:
        yield words("card.use")
        return
    names = {
        "model": published.model,
        "tokenizer": published.tokenizer,
        "max_context": data.max_context,
        "clip": data.clip,
    }
    yield words("card.use_heading")
    yield words("card.pair", model=published.model, tokenizer=published.tokenizer)
    yield words("card.use_ours")
    yield OUR_CODE.format(horizon=data.predict_window, lookback=data.lookback_window, **names)
    yield words("card.use_upstream")
    yield UPSTREAM_CODE.format(horizon=data.predict_window, **names)


def _write_verdict(card: _Card) -> Iterator[str]:
    evaluation, words = card.evaluation, card.words
    if evaluation is None:
        return
    yield words("card.verdict")
    yield write_headline(evaluation, words)
    values = {"n": f"{evaluation.n_origins:,}", "first": evaluation.first_origin, "last": evaluation.last_origin}
    yield words("card.origins_hidden" if card.hides_data else "card.origins", **values)
    if coverage := evaluation.forecasters[0].log_return.get(f"coverage_{LEVEL}"):
        yield write_coverage(coverage, evaluation.confidence, words)
    if card.published is not None:
        yield "\n".join(_write_table(evaluation, words))
    yield from dict.fromkeys(
        write_note(note, words) for note in evaluation.notes
    )  # without their data, some are the same


def _write_table(evaluation: Evaluation, words: Words) -> Iterator[str]:
    """Write the skill against each baseline by the verdict's metric as rows of Markdown."""
    columns = words(
        "card.columns", metric=name_metric(evaluation.metric, words), level=format_level(evaluation.confidence)
    )
    yield columns
    yield "|---|---|---|---|"
    for each in sorted(
        (each for each in evaluation.comparisons if each.metric == evaluation.metric),
        key=lambda each: each.baseline != PRETRAINED,
    ):
        skill, low, high = (format_percent(value, sign=True) for value in (each.skill, each.low, each.high))
        name = make_printable(name_baseline(each.baseline, evaluation, words)).replace("|", "\\|")
        yield f"| {name} | {skill} | {low} … {high} | {write_outcome(each, words)} |"


def _write_candles(card: _Card) -> Iterator[str]:
    """Write which candles the model was trained on: symbols, span, interval and number; of hidden ones the number only."""
    words, symbols = card.words, list_symbols(card.run)
    if card.published is None or not symbols:
        return
    n = sum(int(each.get("candles", 0)) for each in symbols)
    intervals = ", ".join(sorted({str(each.get("interval")) for each in symbols}))
    yield words("card.candles")
    yield words("card.candles_counts", n=n, n_symbols=len(symbols), interval=intervals)
    if card.hides_data:
        yield words("card.candles_hidden")
        return
    shown = [
        f"- {each.get('symbol')}: {each.get('first')} – {each.get('last')} ({each.get('candles'):,})"
        for each in symbols[:20]
    ]
    more = [words("card.more_symbols", n=len(symbols) - len(shown))] if len(symbols) > len(shown) else []
    yield "\n".join([*map(make_printable, shown), *more])


def _write_settings(card: _Card) -> Iterator[str]:
    """Write the settings that decide on the weights, as YAML: those that are always of interest, and what is no default."""
    if card.published is None:
        return
    defaults, training = TrainingConfig().model_dump(mode="json"), card.config.training.model_dump(mode="json")
    shown = {
        key: value
        for key, value in training.items()
        if key in ALWAYS_SHOWN or (value != defaults[key] and _decides_weights(key))
    }
    data: Mapping[str, Any] = card.config.data.model_dump(mode="json")
    settings = {"recipe": card.config.recipe, "data": {key: data[key] for key in WINDOWS}, "training": shown}
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip()
    yield card.words("card.settings")
    yield f"```yaml\n{text}\n```"


def _decides_weights(key: str) -> bool:
    affects = find_affects(TrainingConfig, key)
    return affects is not None and affects.what == "weights"


def _write_origin(card: _Card) -> Iterator[str]:
    """Write the models and candles by their hashes, and whose work the model is."""
    if card.evaluation is not None and (provenance := list_provenance(card.evaluation, card.words)):
        yield card.words("card.provenance")
        yield "\n".join(f"- {label}: {text}" for label, text in provenance)
    if card.published is not None:
        yield card.words("card.credit")
