"""Where a report goes: none with other settings replaces the main one."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kronos.config import Config
from kronos.run_folder import ReportFolder
from kronos.saved_run import load_run_config

logger = logging.getLogger(__name__)

SECTIONS = ("data", "repairs", "evaluation", "report")
# They change no figure, or name the candles, which have a folder of their own.
OTHERS = (
    "data.data_path",
    "data.cache_dir",
    "data.refetch",
    "data.external_access",
    "report.language",
    "report.rising",
)


def list_settings(config: Config, since: datetime | None = None) -> dict[str, Any]:
    """Return what the figures depend on beside the candles and the model: values by key."""
    values = {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in getattr(config, section).model_dump(mode="json").items()
    }
    values |= {
        "since": since and str(since),
        "model_paths.pretrained_tokenizer": config.model_paths.pretrained_tokenizer,
    }
    return {key: value for key, value in values.items() if key not in OTHERS}


def choose_main_report(config: Config) -> ReportFolder:
    """Return the folder of a report on a run's own candles: the main one if the settings are the run's own."""
    run = config.model_paths.run_folder
    own = list_settings(load_run_config(run.path)) if run.config.is_file() else {}
    return _choose_beside(run.report, own, list_settings(config))


def choose_model_report(config: Config, since: datetime | None = None) -> ReportFolder:
    """Return the folder of a report on a model without a run: the main one if the settings are those of the first report."""
    main = config.model_paths.run_folder.report
    return _choose_beside(main, main.read_settings(), list_settings(config, since))


def _choose_beside(report: ReportFolder, earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> ReportFolder:
    changed = {key: value for key, value in settings.items() if key in earlier and value != earlier[key]}
    if not changed:
        return report
    other = report.with_settings(changed)
    logger.info(
        "other settings than before (%s): the report is written to %s, and %s stays as it is",
        *(", ".join(changed), other.path, report.path),
    )
    return other
