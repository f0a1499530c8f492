"""The header of a model card, which the Hugging Face Hub reads: licence, base model, tags, and the verdict as model-index."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from kronos.evaluation.results import Evaluation
from kronos.evaluation.skill import list_in_order
from kronos.model.pretrained import HUB_NAME, TAGS, names_nano
from kronos.report.words.answers import find_pretrained, name_baseline
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import name_metric, write_outcome

PUBLISHER = "NeoQuasar/"  # of the pretrained models; their licence is MIT
TASK = "time-series-forecasting"


def build_metadata(start: str, pre_trained: bool, license: str = "") -> ModelCardData:
    """Return the header that the hub reads. A path on this machine is no name of a base model.

    Args:
        start: what the training began with. pre_trained: whether with its weights. license: instead of that of start.
    """
    on_hub = HUB_NAME.fullmatch(start) if pre_trained and not Path(start).exists() else None
    is_mit = pre_trained and (names_nano(start) or bool(on_hub and start.startswith(PUBLISHER)))
    data = ModelCardData(
        library_name="kronos",
        pipeline_tag=TASK,
        license=license or ("mit" if is_mit else None),
        base_model=on_hub[1] if on_hub else None,  # without a revision
        tags=TAGS,
    )
    if on_hub:
        data["base_model_relation"] = "finetune"
    return data


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
