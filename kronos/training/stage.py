"""One stage: a model, windows, the Trainer. Tokenizer and base model differ only in what stands here as data."""

import gc
import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from kronos.config import Config
from kronos.config.load import dump_config
from kronos.data import WindowDataset
from kronos.data.windows import keep_batch
from kronos.errors import ConfigError, DataError
from kronos.files import write_text
from kronos.model import KronosTokenizer
from kronos.model.pretrained import PretrainedModel
from kronos.training.arguments import StageName, build_arguments
from kronos.training.callbacks import BestModelCallback, ProgressCallback
from kronos.training.record import StageRecord, describe_differences
from kronos.training.sampler import count_windows
from kronos.training.trainer import Batch, KronosTrainer, PrepareBatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """What a stage trains, on what, and where it leaves the result."""

    name: StageName
    folder: Path
    model: PretrainedModel
    prepare_batch: PrepareBatch
    train: WindowDataset
    val: WindowDataset
    record: StageRecord

    @property
    def best_model(self) -> Path:
        return self.folder / "best_model"


def candle_inputs(batch: Batch, step: int | None) -> Batch:
    """The tokenizer's inputs: the candles themselves."""
    return {"candles": batch["candles"]}


class TokenInputs:
    """The base model's inputs: subtokens from a frozen tokenizer and, in training, the noise to sample s1 with."""

    def __init__(self, tokenizer: KronosTokenizer, seed: int) -> None:
        self._tokenizer = tokenizer.eval()
        self._seed = seed

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        candles = batch["candles"]
        with torch.no_grad():
            s1_ids, s2_ids = self._tokenizer.to(candles.device).encode(candles, half=True)
        inputs = {"s1_ids": s1_ids, "s2_ids": s2_ids, "stamp": batch["stamp"]}
        if step is not None:
            noise = draw_uniforms(self._seed, step, batch["window"], s1_ids.shape[1] - 1)
            inputs["s1_uniforms"] = noise.to(candles.device)
        return inputs


def draw_uniforms(seed: int, step: int, windows: Tensor, n_positions: int) -> Tensor:
    """Draw noise (B, T) in [0, 1) that belongs to a window at a step: the same on any rank, in any batch."""
    rows = [
        np.random.Generator(np.random.Philox(key=[seed, window], counter=step)).random(n_positions, dtype=np.float32)
        for window in windows.tolist()
    ]
    return torch.from_numpy(np.stack(rows))


def run_stage(
    config: Config, stage: Stage, skip_existing: bool, callbacks: Sequence[TrainerCallback] = ()
) -> StageRecord:
    """Train a stage, resume an interrupted one, or skip a finished one.

    Args:
        skip_existing: skip or resume what is there; otherwise start afresh, setting aside what is there.

    Returns:
        The finished stage's record.

    Raises:
        ConfigError: an interrupted run had other settings.
        DataError: fewer train windows than one batch needs.
    """
    check_batch_fits(config, stage)
    checkpoint = None
    if skip_existing and (found := StageRecord.read(stage.folder)):
        if found.finished and found.tokenizer_hash == stage.record.tokenizer_hash and stage.best_model.is_dir():
            return _skip(stage, found)
        if found.finished:
            logger.info(
                "%s  finished before, but with another tokenizer, or its best model is gone: starts anew", stage.name
            )
        else:
            checkpoint = _resume_point(stage, found)
    PartialState().wait_for_everyone()  # until all have looked at what is there
    with rank_0_first() as is_rank_0:
        if is_rank_0 and checkpoint is None:
            _set_aside(stage.folder)
            stage.folder.mkdir(parents=True)
            stage.record.write(stage.folder)
    return _train(config, stage, checkpoint, callbacks)


def _train(config: Config, stage: Stage, checkpoint: Path | None, callbacks: Sequence[TrainerCallback]) -> StageRecord:
    start_record = StageRecord.read(stage.folder) or stage.record
    if PartialState().is_main_process:
        for folder in (config.model_paths.base_save_path, stage.folder):
            write_text(folder / "config.yaml", dump_config(config))
    best_model = BestModelCallback(stage.folder, start_record)
    first_step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    steps_an_epoch = count_windows(stage.train, config.data) // _global_batch(config)
    # At the end of an epoch a checkpoint may have been written before the validation that belongs there.
    evaluate_first = first_step % steps_an_epoch == 0
    arguments = build_arguments(config, stage.name, stage.folder / "checkpoints", evaluate_first)
    progress = ProgressCallback(stage.name, stage.folder / "metrics.jsonl")
    trainer = build_trainer(config, stage, arguments, [progress, best_model, *callbacks])
    set_seed(config.training.seed, device_specific=True)  # dropout differs between ranks
    _announce(stage, trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    record = best_model.record.model_copy(update={"finished": True})
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            record.write(stage.folder)
    _report_outcome(stage, record)
    del trainer
    gc.collect()
    return record


def build_trainer(
    config: Config, stage: Stage, arguments: TrainingArguments, callbacks: Sequence[TrainerCallback]
) -> KronosTrainer:
    """Put a stage's model and windows into a Trainer."""
    trainer = KronosTrainer(
        prepare_batch=stage.prepare_batch,
        data_config=config.data,
        model=stage.model,
        args=arguments,
        train_dataset=stage.train,
        eval_dataset=stage.val,
        data_collator=keep_batch,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _global_batch(config: Config) -> int:
    return config.training.batch_size * int(PartialState().num_processes)


def check_batch_fits(config: Config, stage: Stage) -> None:
    needed = _global_batch(config)
    if (n_windows := count_windows(stage.train, config.data)) < needed:
        if n_windows < len(stage.train):
            raise DataError(
                f"data.windows_per_epoch is {n_windows}, less than a step takes ({needed} windows): set it to at least that."
            )
        ranks = PartialState().num_processes
        shared = f" on each of {ranks} processes" if ranks > 1 else ""
        raise DataError(
            f"training.batch_size is {config.training.batch_size}{shared}, but there are only {n_windows} train windows: "
            f"set training.batch_size to at most {max(n_windows // ranks, 1)}, or give more candles or a smaller "
            "data.train_stride."
        )


def _skip(stage: Stage, found: StageRecord) -> StageRecord:
    logger.info("%s  finished before, skipped: %s", stage.name, stage.best_model)
    if differences := describe_differences(found.settings, stage.record.settings):
        logger.warning(
            "%s  it was trained with other settings (%s); run without --skip-existing to train anew",
            stage.name,
            differences,
        )
    return found


def _resume_point(stage: Stage, found: StageRecord) -> Path | None:
    """Return the checkpoint to go on from; None where the run was interrupted before its first."""
    checkpoint = newest_checkpoint(stage.folder / "checkpoints")
    if checkpoint is None:
        logger.info("%s  interrupted before its first checkpoint, starts again", stage.name)
        return None
    differences = describe_differences(
        found.settings | {"tokenizer": found.tokenizer_hash},
        stage.record.settings | {"tokenizer": stage.record.tokenizer_hash},
    )
    if differences:
        raise ConfigError(
            f"{stage.folder}: the interrupted {stage.name} stage was started with other settings ({differences}). Restore "
            "them to go on with it, or run without --skip-existing to start anew (what is there is set aside)."
        )
    logger.info("%s  interrupted before, goes on from %s", stage.name, checkpoint)
    return checkpoint


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint-N folder; trainer_state.json is what is written last."""
    by_step = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in by_step if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _set_aside(folder: Path) -> None:
    """Make room for a new stage without losing what may be there."""
    if not folder.exists():
        return
    found = StageRecord.read(folder)
    checkpoints = folder / "checkpoints"
    untrained = found and not found.finished and not found.best_step and newest_checkpoint(checkpoints) is None
    if untrained or not any(folder.iterdir()):
        shutil.rmtree(folder)
        return
    if found and found.finished:
        shutil.rmtree(checkpoints, ignore_errors=True)  # large, and nothing will be resumed from them
    aside = folder.with_name(f"{folder.name}.previous")
    for n in itertools.count(2):
        if not aside.exists():
            break
        aside = folder.with_name(f"{folder.name}.previous-{n}")
    folder.rename(aside)
    logger.info("an earlier %s was there; it is now %s", folder.name, aside)


@contextmanager
def rank_0_first() -> Iterator[bool]:
    """Let rank 0 do the body's work while the others wait; gives whether this is rank 0."""
    state = PartialState()
    try:
        yield state.is_main_process
    finally:
        state.wait_for_everyone()


def _announce(stage: Stage, trainer: KronosTrainer) -> None:
    n_processes = trainer.args.world_size
    n_parameters = sum(parameter.numel() for parameter in stage.model.parameters())
    logger.info(
        "%s  %s parameters, %s train windows an epoch, %s validation windows, %d process%s on %s",
        *(
            stage.name,
            f"{n_parameters:,}",
            f"{count_windows(stage.train, trainer.data_config):,}",
            f"{len(stage.val):,}",
        ),
        *(n_processes, "es" if n_processes > 1 else "", trainer.args.device.type),
    )


def _report_outcome(stage: Stage, record: StageRecord) -> None:
    if record.improved:
        logger.info(
            "%s  done: validation loss %.5f at step %d, %.5f before training; saved in %s",
            *(stage.name, record.best_loss, record.best_step, record.start_loss, stage.best_model),
        )
    else:
        logger.warning(
            "%s  did not improve: validation was never better than before training (%.5f); %s holds the untouched model",
            *(stage.name, record.start_loss, stage.best_model),
        )
