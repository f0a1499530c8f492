"""An evaluated run among others: what it is called, and how it was set up otherwise than they."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronos.evaluation.results import Evaluation

RULES = ("metric", "confidence", "margin")  # of the verdict

# Names and places of a run; and sections about pictures and evaluation, for which metrics.json says what was used.
NO_SETTINGS = re.compile(
    r"model_paths\.(exp_name|base_path|base_save_path)|experiment\.(name|description|skip_existing|trackers|use_comet)"
    r"|data\.cache_dir|(evaluation|report|device)\..*"
)


@dataclass(frozen=True)
class EvaluatedRun:
    """A run, by a name that is its own here; settings: its configuration by dotted key, None where there is none."""

    name: str
    folder: Path
    evaluation: Evaluation
    settings: dict[str, Any] | None


def flatten_settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration by dotted key; what is not set (None, an empty mapping) is left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten_settings(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat


def find_other_settings(runs: Sequence[EvaluatedRun]) -> dict[str, tuple[Any, ...]]:
    """Return the settings that differ among the runs that have any; a run without has None."""
    all_settings = [_collect_settings(run) for run in runs]
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    rows = {key: tuple(settings.get(key) for settings in all_settings) for key in keys}
    known = {key: [value for run, value in zip(runs, row) if _may_have(run, key)] for key, row in rows.items()}
    return {key: rows[key] for key in keys if differ(known[key])}


def differ(values: Sequence[Any]) -> bool:
    """Whether values are not all equal."""
    return any(value != values[0] for value in values)


def _may_have(run: EvaluatedRun, key: str) -> bool:
    return run.settings is not None or key in _used_in_evaluation(run.evaluation)


def _collect_settings(run: EvaluatedRun) -> dict[str, Any]:
    own = {key: value for key, value in (run.settings or {}).items() if not NO_SETTINGS.fullmatch(key)}
    return own | _used_in_evaluation(run.evaluation)


def _used_in_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    rules = {f"evaluation.{key}": getattr(evaluation, key) for key in RULES}
    sampling = {"report.temperature": evaluation.temperature, "report.top_p": evaluation.top_p}
    return rules | sampling | {"seed of the paths": evaluation.seed, "version": evaluation.version}
