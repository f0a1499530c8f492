"""Train a run anew, starting from its own models, and put the new one in use if it is not worse."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronos.config import Config
from kronos.config.changes import OTHER_CANDLES
from kronos.config.load import dump_config, list_keys
from kronos.data import ReadingOptions, read_frames
from kronos.data.against_run import RunCandles, compare_with_run
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.disk.reading import read_json
from kronos.errors import ConfigError, DataError, KronosError
from kronos.evaluation.results import Evaluation
from kronos.files import hash_file, write_text
from kronos.refresh.decision import OLD, Decision, decide_replacement
from kronos.refresh.folders import finish_exchange, name_new, name_previous, put_in_use, take_back
from kronos.run import EvaluationFailed, run_training
from kronos.run_folder import RunFolder
from kronos.saved_run import check_trained, find_tokenizer, load_run_config
from kronos.urls import CandleSource

FILES_COMPARED = 10  # with the candles of the run in use: all have one interval
MARGIN = 0.02  # of the CRPS: so much worse still counts as not worse
RECORD = "refresh.json"  # in the new run's folder: from which run it was trained, and the decision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refreshed:
    """What came of a refresh. report: the page that compares the new run with the old one."""

    decision: Decision
    run: Path
    report: Path


def refresh(
    run: Path,
    candles: Sequence[CandleSource],
    margin: float = MARGIN,
    overrides: Sequence[str] = (),
    command: str = "",
) -> Refreshed:
    """Train a new run on candles, and put it in use if it is not worse than the old one on candles that neither has seen.

    An interrupted refresh is resumed. The old run stays in use until the new one replaces it, and is kept beside it.

    Args:
        run: the folder of the run in use.
        candles: those that have come, with or without those that the run was trained on.
        margin: how much worse, as a share of the CRPS, still counts as not worse.
        overrides: other settings of the new run, section.key=value each.

    Raises:
        KronosError: the candles are too few to compare the runs on, or as for a training.
    """
    finish(run)
    config = _configure(run, candles, overrides)
    new, origin = RunFolder(name_new(run)), {"from": _identify(run), "request": _identify_request(config)}
    _check_interval(run, config)
    is_begun = _is_begun(new.path, origin)
    if not is_begun:
        shutil.rmtree(new.path, ignore_errors=True)
    write_text(new.path / RECORD, json.dumps(origin))
    try:
        run_training(config, skip_existing=is_begun, command=command)
    except EvaluationFailed as failed:
        raise KronosError(
            "{error}\nThe new run is trained; only its comparison with the old one failed. Run the same command again: it goes on there.",
            error=failed.__cause__,
        ) from None
    evaluation = Evaluation.read(new.report.results)
    decision = decide_replacement(evaluation, margin)
    write_text(new.path / RECORD, json.dumps(origin | {"decision": decision.to_json()}, allow_nan=False))
    if not decision.replaces:
        return Refreshed(decision, run, new.report.page)
    _rename_start(run, new)
    put_in_use(run)
    return Refreshed(decision, run, RunFolder(run).report.page)


def _configure(run: Path, candles: Sequence[CandleSource], overrides: Sequence[str]) -> Config:
    """Return the configuration of the new run: the old one's, with its models as the start and other candles."""
    old = load_run_config(run)
    check_trained(old)
    baselines = list(dict.fromkeys([OLD, *old.evaluation.rivals]))
    fixed = {
        "data.data_path": list(candles),
        "experiment.train_basemodel": True,
        "experiment.pre_trained_tokenizer": True,
        "experiment.pre_trained_predictor": True,
        "model_paths.pretrained_tokenizer": str(find_tokenizer(old)),
        "model_paths.pretrained_predictor": str(RunFolder(run).basemodel.best_model),
        "model_paths.finetuned_tokenizer": "",
        "model_paths.base_save_path": name_new(run).absolute(),
        "evaluation.enabled": True,
        "evaluation.rivals": baselines,
    }
    if taken := fixed.keys() & set(list_keys(overrides)):
        raise ConfigError("{keys}: a refresh sets this itself. Leave it out.", keys=", ".join(sorted(taken)))
    others = {key: value for key, value in OTHER_CANDLES.items() if key not in list_keys(overrides)}
    return load_run_config(run, overrides).override(others | fixed, "refresh")


def go_back(run: Path) -> None:
    """Put the run before the last refresh in use again.

    Raises:
        ConfigError: there is none. WriteError: the file system refuses.
    """
    finish(run)
    take_back(run)


def finish(run: Path) -> None:
    """Finish what a refresh has begun whose process ended while it put a run in use."""
    finish_exchange(run, lambda left: _read_record(run).get("from") == _identify(left) != "")


def _check_interval(run: Path, config: Config) -> None:
    """Check that candles have the interval of those that the run was trained on; log in what else they differ.

    Raises:
        DataError: they have another interval.
    """
    trained = RunCandles.read(RunFolder(run))
    files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files[:FILES_COMPARED]
    frames, _ = read_frames(files, ReadingOptions.of(config.data), config.repairs, config.data.max_gap)
    for each in frames:
        for difference in compare_with_run(each.kind, trained) if trained and each.kind else ():
            if difference.code == "interval":
                raise DataError("{symbol}: {difference}", symbol=each.symbol, difference=difference.message)
            logger.info("%s: %s", each.symbol, difference)


def _is_begun(new: Path, origin: Mapping[str, str]) -> bool:
    """Return whether the same refresh was interrupted, before its end or before the new run was put in use."""
    record = _read_record(new)
    decision = record.pop("decision", None)
    if record != origin or not (decision is None or decision.get("replaces")):
        if record and decision is None:
            logger.info("%s: an interrupted refresh of other candles, settings or models is given up", new)
        return False
    logger.info("%s: the interrupted refresh is resumed", new)
    return True


def _identify_request(config: Config) -> str:
    """Return the SHA-256 of a configuration and its candles: training is resumed on the same ones only."""
    files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files
    digests = [hash_file(file) for file in files if file.is_file()]
    return hashlib.sha256("\n".join([dump_config(config), *digests]).encode()).hexdigest()


def _rename_start(run: Path, new: RunFolder) -> None:
    """Let the new run's configuration name the models it was trained from where they will be: in the previous run."""
    config = load_run_config(new.path)
    paths = {}
    for key in ("pretrained_tokenizer", "pretrained_predictor"):
        source = Path(getattr(config.model_paths, key) or "").absolute()
        if source.is_relative_to(run.absolute()):
            paths[f"model_paths.{key}"] = str(name_previous(run).absolute() / source.relative_to(run.absolute()))
    write_text(new.config, dump_config(config.override(paths, "refresh")))


def _identify(run: Path) -> str:
    """Return the SHA-256 of a run's base model; empty if there is none."""
    weights = RunFolder(run).basemodel.best_model / "model.safetensors"
    return hash_file(weights) if weights.is_file() else ""


def _read_record(run: Path) -> dict[str, Any]:
    try:
        record = read_json(run / RECORD)
    except (OSError, ValueError, KronosError):
        return {}
    return record if isinstance(record, dict) else {}
