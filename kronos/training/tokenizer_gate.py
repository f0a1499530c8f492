"""Measure the tokenizer before and after training, and keep the old one if training made it worse."""

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import PartialState
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

from kronos.candles import Array
from kronos.data import WindowDataset
from kronos.data.windows.normalize import Statistics
from kronos.files import write_sealed
from kronos.model import KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.names import Message
from kronos.stage_record import StageRecord
from kronos.timing import timed
from kronos.training.callbacks import save_model
from kronos.training.inputs.tokens import encode_candles
from kronos.training.saved.tokenizer_record import TokenizerFigures, TokenizerHealth, read_health
from kronos.training.stage import Stage, rank_0_first

logger = logging.getLogger(__name__)

N_WINDOWS = 512
BATCH_SIZE, BATCH_SIZE_ON_GPU = 8, 64  # small enough to fit on any device that training fits on
N_PRICES = 4  # open, high, low, close: the first columns of a candle
ORIGIN_KEYS = ("model_paths.pretrained_tokenizer", "experiment.pre_trained_tokenizer", "training.seed")


def measure_tokenizer(
    tokenizer: KronosTokenizer, windows: WindowDataset, n_windows: int = N_WINDOWS
) -> TokenizerFigures:
    """Measure a tokenizer in eval mode, on its own device, on up to n_windows windows spread evenly over all."""
    n = min(n_windows, len(windows))
    chosen = [i * len(windows) // n for i in range(n)]
    device = next(tokenizer.parameters()).device
    size = BATCH_SIZE_ON_GPU if device.type == "cuda" else BATCH_SIZE
    parts = [_measure_batch(tokenizer, windows, chosen[i : i + size], device) for i in range(0, n, size)]
    errors, clipped, s1, s2 = (np.concatenate([part[k] for part in parts], axis=None) for k in range(4))
    s1_used, s1_perplexity = measure_codes(s1, 2**tokenizer.s1_bits)
    s2_used, s2_perplexity = measure_codes(s2, 2**tokenizer.s2_bits)
    return TokenizerFigures(
        n_windows=n,
        error_bp=1e4 * float(errors.mean()) if errors.size else math.nan,
        s1_used=s1_used,
        s2_used=s2_used,
        s1_perplexity=s1_perplexity,
        s2_perplexity=s2_perplexity,
        clip_rate=float(clipped.mean()),
        tokenizer_hash=hash_weights(tokenizer),
    )


def _measure_batch(
    tokenizer: KronosTokenizer, windows: WindowDataset, indices: list[int], device: torch.device
) -> tuple[Array, Array, Array, Array]:
    """Return the relative errors (N,) of prices above 0, the clipped inputs (B, T, F), and the codes s1, s2 (B, T)."""
    batch, config = windows.__getitems__(indices), windows.config
    with torch.no_grad():
        s1, s2 = encode_candles(tokenizer, batch["candles"].to(device))
        reconstructed = tokenizer.decode((s1, s2), half=True)
    rows = batch["window"][:, None] + np.arange(config.window)
    actual = windows.candles.values[rows]  # (B, T, F)
    statistics = Statistics.compute(actual[:, : config.lookback_window])
    prices = actual[..., :N_PRICES]
    error = np.abs(statistics.denormalise(reconstructed.double().cpu().numpy())[..., :N_PRICES] - prices)
    positive = prices > 0
    clipped = np.abs(batch["candles"].numpy()) >= np.float32(config.clip)
    return error[positive] / prices[positive], clipped, s1.cpu().numpy(), s2.cpu().numpy()


def measure_codes(codes: Array, n_codes: int) -> tuple[float, float]:
    """Return the share of codes 0 … n_codes - 1 that occur, and the perplexity: exp of the entropy of their frequencies."""
    counts = np.bincount(codes, minlength=n_codes)
    frequencies = counts[counts > 0] / counts.sum()
    return len(frequencies) / n_codes, float(np.exp(-(frequencies * np.log(frequencies)).sum()))


@timed("health")
def apply_gate(stage: Stage, record: StageRecord, untouched: KronosTokenizer, keep_worse: bool) -> StageRecord:
    """Restore the untouched tokenizer in best_model if the trained one reconstructs prices worse.

    The trained one then moves to rejected_model. Figures in health.json are reused, but the decision is made again: with
    keep_worse a rejected tokenizer returns. Rank 0 does the work while the others wait; all ranks must call this.

    Args:
        stage: the tokenizer stage.
        record: of the finished stage.
        untouched: the tokenizer that a stage with these settings begins with.
        keep_worse: keep a worse tokenizer with a warning.

    Returns:
        The record, with the hashes of the tokenizer that was kept.

    Raises:
        KronosError: a model cannot be read or written.
    """
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            return _decide_and_save(stage, record, untouched, keep_worse)
    return record


def _decide_and_save(stage: Stage, record: StageRecord, untouched: KronosTokenizer, keep_worse: bool) -> StageRecord:
    best = KronosTokenizer.from_pretrained(stage.best_model)
    trained, before = best, untouched if _began_with_it(stage, record) else None
    rejected_model = stage.files.rejected_model
    if (rejected_model / SAFETENSORS_SINGLE_FILE).is_file():  # written last
        trained = KronosTokenizer.from_pretrained(rejected_model)
        before = (
            before if hash_weights(best) == hash_weights(trained) else best
        )  # equal: interrupted before the exchange
    health = _read_or_measure(stage, before, trained)
    kept: Literal["before", "after"] = "before" if health.got_worse and before and not keep_worse else "after"
    health = health.model_copy(update={"kept": kept})
    record.begin_change(stage.folder)
    if kept == "before" and before:
        _save(trained, rejected_model)  # first: the trained model is always in one of the two folders
        _save(before, stage.best_model)
    else:
        _save(trained, stage.best_model)
        (rejected_model / SAFETENSORS_SINGLE_FILE).unlink(missing_ok=True)
        shutil.rmtree(rejected_model, ignore_errors=True)
    record = record.seal(stage.folder)
    write_sealed(stage.files.health, json.loads(health.model_dump_json()))
    _report(stage, health)
    return record


def _began_with_it(stage: Stage, record: StageRecord) -> bool:
    """Whether a finished stage began with the tokenizer that the current settings name."""
    return all(record.settings.get(key) == stage.record.settings.get(key) for key in ORIGIN_KEYS)


def _read_or_measure(stage: Stage, before: KronosTokenizer | None, trained: KronosTokenizer) -> TokenizerHealth:
    """Return the figures of both tokenizers, from health.json if it is about these two, else measured."""
    stored = read_health(stage.folder)
    if stored and _is_of(stored.after, trained) and (before is None or _is_of(stored.before, before)):
        return stored
    device = PartialState().device
    after = measure_tokenizer(trained.to(device), stage.val)
    if before is None or _is_of(after, before):
        return TokenizerHealth(before=after if before else None, after=after, kept="after")
    return TokenizerHealth(before=measure_tokenizer(before.to(device).eval(), stage.val), after=after, kept="after")


def _is_of(figures: TokenizerFigures | None, tokenizer: KronosTokenizer) -> bool:
    return figures is not None and figures.tokenizer_hash == hash_weights(tokenizer)


def _save(tokenizer: KronosTokenizer, folder: Path) -> None:
    there = (folder / SAFETENSORS_SINGLE_FILE).is_file()
    if not there or hash_weights(KronosTokenizer.from_pretrained(folder)) != hash_weights(tokenizer):
        save_model(tokenizer, folder)


def _report(stage: Stage, health: TokenizerHealth) -> None:
    logger.info("tokenizer  %s", describe_health(health))
    rejected_model = stage.files.rejected_model
    if health.kept == "before":
        logger.warning(
            "tokenizer  training made it worse (%s). %s contains the untouched tokenizer again; the trained one is in %s. To use "
            "it anyway, rerun with --skip-existing training.keep_worse_tokenizer=true.",
            *(describe_error(health), stage.best_model, rejected_model),
        )
    elif health.got_worse:
        logger.warning(
            "tokenizer  training made it worse (%s). It is kept because of training.keep_worse_tokenizer=true.",
            describe_error(health),
        )
    elif health.before is None:
        logger.warning(
            "tokenizer  not compared with the tokenizer before training, because the stage began with other settings"
        )


def describe_error(health: TokenizerHealth) -> Message:
    """Format the reconstruction error before and after training."""
    return Message("reconstruction error {error} bp", error=_format_change(health, "error_bp", "{:.1f}"))


def describe_health(health: TokenizerHealth) -> Message:
    """Format all figures in one line, before → after training."""
    after = health.after
    template = "{share:.1%} of inputs clipped ({n} validation windows)"
    clipped = Message(template, share=after.clip_rate, n=after.n_windows)
    used = [
        Message("{codes} codes used {change}", codes=codes, change=_format_change(health, f"{codes}_used", "{:.0%}"))
        for codes in ("s1", "s2")
    ]
    perplexities = [
        Message(
            "{codes} perplexity {change}", codes=codes, change=_format_change(health, f"{codes}_perplexity", "{:.1f}")
        )
        for codes in ("s1", "s2")
    ]
    return Message.join([describe_error(health), *used, *perplexities, clipped], ", ")


def _format_change(health: TokenizerHealth, name: str, form: str) -> str:
    figures = [each for each in (health.before, health.after) if each]
    return " → ".join(form.format(getattr(each, name)) for each in figures)
