"""The header of a model card, which the Hugging Face Hub reads: licence, base model, tags, and the verdict as model-index."""

from __future__ import annotations

import math
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

from kronos.evaluation.results import Evaluation
from kronos.evaluation.skill import list_in_order
from kronos.files import hash_file
from kronos.model.pretrained import NANO_FOLDER, TAGS
from kronos.model.stored.identity import ModelIdentity
from kronos.report.words.answers import find_pretrained, name_baseline
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import name_metric, write_outcome

PUBLISHER = "NeoQuasar/"  # of the pretrained models; their licence is MIT
TASK = "time-series-forecasting"


def build_metadata(start: ModelIdentity | None, license: str = "") -> ModelCardData:
    """Return the header that the hub reads. A folder of this machine is no name of a base model.

    Args:
        start: the model that training began with; None: from scratch. license: instead of that of start.
    """
    base_model = start.name.partition("@")[0] if start and start.commit else None
    is_mit = bool(base_model and base_model.startswith(PUBLISHER)) or (start is not None and _is_nano(start))
    data = ModelCardData(
        library_name="kronos",
        pipeline_tag=TASK,
        license=license or ("mit" if is_mit else None),
        base_model=base_model,
        tags=TAGS,
    )
    if base_model:
        data["base_model_relation"] = "finetune"
    return data


def _is_nano(model: ModelIdentity) -> bool:
    """Whether these are the weights of the model in the package, whatever the current folder holds."""
    return model.sha256 in map(hash_file, NANO_FOLDER.glob(f"*/{SAFETENSORS_SINGLE_FILE}"))


def list_results(evaluation: Evaluation, words: Words, hides_data: bool = False) -> list[EvalResult] | None:
    """Return the verdict as the hub's model-index: the model's own figure, and its skill against each baseline."""
    metric = evaluation.metric
    dataset = words("card.dataset", interval=evaluation.interval, n_origins=evaluation.n_origins)
    if not hides_data:
        dataset = words(
            "card.dataset_span", dataset=dataset, first=evaluation.first_origin, last=evaluation.last_origin
        )
    values: list[tuple[str, str, float, dict[str, Any]]] = []
    own = evaluation.forecasters[0].log_return.get(metric)
    if own is not None:
        values.append((metric, words("card.own_figure", metric=name_metric(metric, words)), own.overall, {}))
    found = find_pretrained(evaluation)
    for each in [*([found] if found else []), *list_in_order(evaluation.comparisons, metric)]:
        interval = {"confidence": evaluation.confidence, "low": each.low, "high": each.high}
        if not all(map(math.isfinite, interval.values())):
            continue
        name = words(
            "card.skill", baseline=name_baseline(each.baseline, evaluation, words), outcome=write_outcome(each, words)
        )
        values.append(
            (f"skill_{metric}", name, each.skill, {"baseline": each.baseline} | interval | {"outcome": each.outcome})
        )
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type="candles",
            dataset_name=dataset,
            dataset_split=evaluation.split,
            dataset_revision=evaluation.provenance.candles if evaluation.provenance else None,
            metric_type=kind,
            metric_name=name,
            metric_value=value,
            metric_args=arguments or None,
        )
        for kind, name, value, arguments in values
        if math.isfinite(value)
    ]
    return results or None
