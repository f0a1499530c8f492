"""Blend the fine-tuned base model with the pretrained one: (1 - a) pretrained + a fine-tuned weights.

Wortsman et al., Robust fine-tuning of zero-shot models, arXiv 2109.01903, equation 1. The share a has the lowest loss on
the validation split. It is 0 unless this loss is below the pretrained model's by more than one standard error.
"""

import copy
import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, send_to_device
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from scipy import stats
from torch import Tensor, nn

from kronos.candles import Array
from kronos.config import Config
from kronos.config.training import HORIZON_LOSS_NAME
from kronos.data import CandleSet
from kronos.files import write_sealed
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.names import Message
from kronos.saved_run import load_model
from kronos.stage_record import StageRecord
from kronos.timing import timed
from kronos.training.callbacks import save_model
from kronos.training.saved.blend_record import BlendFigures, BlendRecord, Obstacle, read_blend
from kronos.training.stage import Stage, rank_0_first

logger = logging.getLogger(__name__)

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the fine-tuned weights
N_WINDOWS = 2048  # validation windows at most, spread evenly; more would overlap more and tell little more
BATCH_SIZE, BATCH_SIZE_ON_GPU = 16, 64  # small enough to fit on any device that training fits on
HORIZONS_A_STRETCH = 2  # neighbouring stretches share few targets, and a short validation split still has several
ENCODER_PARTS = ("embed", "encoder", "quant_embed")  # of the tokenizer: they alone decide the tokens
NOT_FINITE = 1e6  # nats that a loss counts which is none, of a model that has diverged
START_KEYS = ("model_paths.pretrained_predictor", "experiment.pre_trained_predictor")

OBSTACLES: dict[Obstacle, str] = {
    "from_scratch": "the base model was trained from scratch",
    "no_trained_model": "training did not improve the model, and without training.blend the trained one was not kept",
    "other_start": "the stage began with another model than model_paths.pretrained_predictor names now",
    "other_tokens": "the tokenizer writes other tokens than the pretrained base model reads. To blend, leave the tokenizer "
    "as it is (experiment.train_tokenizer=false), or train only its decoder "
    "(training.freeze_tokenizer=[embed, encoder, quant_embed])",
}


@timed("blend")
def apply_blend(config: Config, stage: Stage, record: StageRecord, tokenizer: KronosTokenizer) -> StageRecord:
    """Put the chosen blend into best_model; the stage's own best model moves to unblended_model. All ranks must call this.

    If training did not improve the pretrained model, the best of the trained models (trained_model) is blended with it.
    With --skip-existing the figures in blend.json are reused if they are about the same two models. If training.blend is
    false, the stage's own best model returns.

    Args:
        stage: the base model's stage.
        record: of the finished stage.
        tokenizer: that the base model was trained with.

    Returns:
        The record with the share of the fine-tuned weights; it is also written to stage.json.

    Raises:
        KronosError: a model cannot be read or written.
    """
    if not config.training.blend and record.blend is None and not stage.files.unblended_model.exists():
        return record
    own, blended = _load_own(stage), None
    blend: BlendRecord | None = None
    if config.training.blend:
        pretrained, obstacle = _find_pretrained(config, stage, record, tokenizer)
        blend = BlendRecord(share=1.0, obstacle=obstacle)
        if pretrained:
            trained = own if record.improved else Kronos.from_pretrained(stage.files.trained_model)
            figures = _read_or_measure(stage, pretrained, trained)
            blend = BlendRecord(share=choose_share(figures.losses, figures.errors), figures=figures)
            blended = copy.deepcopy(trained)
            blended.load_state_dict(blend_weights(pretrained, trained, blend.share))
    record = record.model_copy(update={"blend": blend.share if blend and blend.figures else None})
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            record = _save(stage, record, own, blended, blend)
    if blend:
        _report(stage, blend, record.improved)
    return record


def blend_weights(pretrained: nn.Module, trained: nn.Module, share: float) -> dict[str, Tensor]:
    """Return (1 - share) pretrained + share trained for each tensor; shares of 0 and 1 change no bit."""
    start, end = pretrained.state_dict(), trained.state_dict()
    if share in (0, 1):
        return end if share else start
    return {name: torch.lerp(start[name], end[name], share) for name in end}


def choose_share(losses: Sequence[float], errors: Sequence[float | None]) -> float:
    """Return the share with the lowest loss, or 0 if it is not clearly better than the pretrained model.

    Args:
        losses: the mean loss of each of SHARES.
        errors: the standard errors of the differences to the lowest; None for one that is unknown.
    """
    lowest, error = min(losses), errors[0]
    if error is None or losses[0] - lowest <= error:
        return 0.0
    return SHARES[losses.index(lowest)]


def compare_shares(losses: Array, stretches: Array) -> tuple[Array, Array]:
    """Return the mean of losses (A, N) for each share, and the standard errors of the differences to the lowest mean.

    The N windows overlap, so the error is that of the means of stretches (N,) of windows, each weighted by its windows.
    Few stretches underestimate it, so it is widened to the quantile of Student's t that leaves out as much as one standard
    deviation of the normal distribution. It is infinite if there is only one stretch, and 0 for the lowest mean itself.
    """
    losses = np.nan_to_num(losses, nan=NOT_FINITE, posinf=NOT_FINITE)
    means = losses.mean(axis=1)
    differences = losses - losses[means.argmin()]
    sizes = np.bincount(stretches)
    n = len(stretches) ** 2 / (sizes**2).sum()  # effective number: a short last stretch is no second one (Kish 1965)
    if len(sizes) < 2:
        return means, np.full(len(losses), math.inf)
    sums = np.stack([np.bincount(stretches, row - row.mean()) for row in differences])  # (A, n)
    errors: Array = np.sqrt((sums**2).sum(axis=1) * n / (n - 1)) / losses.shape[1]
    return means, errors * stats.t.ppf(stats.norm.cdf(1), n - 1)


def number_stretches(candles: CandleSet, starts: Array, n_candles: int) -> Array:
    """Return the stretch (N,) of windows that begin at rows starts (N,): n_candles of time, over all symbols at once."""
    times = candles.instants[starts]
    order = np.argsort(times, kind="stable")
    stretches = np.empty(len(starts), np.int64)
    first, n = 0, 0
    while first < len(order):
        end = candles.instants[starts[order[first]] + n_candles]
        stop = first + max(int(np.searchsorted(times[order[first:]], end)), 1)
        stretches[order[first:stop]] = n
        first, n = stop, n + 1
    return stretches


def measure_windows(stage: Stage, model: nn.Module, chosen: Sequence[int]) -> Array:
    """Return the validation losses (N,) over the horizon of the chosen windows; the ranks share the batches."""
    state, own = PartialState(), {}
    size = BATCH_SIZE_ON_GPU if state.device.type == "cuda" else BATCH_SIZE
    batches = range(0, len(chosen), size)
    with torch.no_grad():
        for start in batches[state.process_index :: state.num_processes]:
            batch = stage.val.__getitems__(chosen[start : start + size])
            inputs = stage.prepare_batch(send_to_device(batch, state.device), None)
            inputs["lookback_weight"] = 0.0  # compute the horizon's positions only
            own[start] = model(**inputs).horizon_loss.double().cpu().numpy()
    parts = {start: losses for each in gather_object([own]) for start, losses in each.items()}
    return np.concatenate([parts[start] for start in batches])


def _load_own(stage: Stage) -> Kronos:
    """Load the best model of the stage, as it was before any blend."""
    moved = stage.files.unblended_model
    return Kronos.from_pretrained(moved if _is_whole(moved) else stage.best_model)


def _is_whole(folder: Path) -> bool:
    return (folder / SAFETENSORS_SINGLE_FILE).is_file()  # written last


def _find_pretrained(
    config: Config, stage: Stage, record: StageRecord, tokenizer: KronosTokenizer
) -> tuple[Kronos | None, Obstacle | None]:
    """Return the pretrained base model, or why it cannot be blended with the fine-tuned one."""
    if not config.experiment.pre_trained_predictor:
        return None, "from_scratch"
    if not (record.improved or _is_whole(stage.files.trained_model)):
        return None, "no_trained_model"
    pretrained = load_model(Kronos, config.model_paths.pretrained_predictor, config.model_paths.hub_endpoint)
    same_start = all(record.settings.get(key) == stage.record.settings.get(key) for key in START_KEYS)
    if not same_start or record.start_hash not in (None, hash_weights(pretrained)):
        return None, "other_start"
    return (pretrained, None) if _reads_tokens_of(config, pretrained, tokenizer) else (None, "other_tokens")


def _reads_tokens_of(config: Config, pretrained: Kronos, tokenizer: KronosTokenizer) -> bool:
    """Whether the tokenizer encodes exactly as the one that the pretrained base model belongs to."""
    if pretrained.tokenizer_hash == hash_weights(tokenizer):
        return True
    source = config.model_paths.pretrained_tokenizer
    if not (source and config.experiment.pre_trained_tokenizer):
        return False
    own = load_model(KronosTokenizer, source, config.model_paths.hub_endpoint)
    belongs = pretrained.tokenizer_hash in (None, hash_weights(own))
    return belongs and own.s1_bits == tokenizer.s1_bits and _have_same_encoder(own, tokenizer)


def _have_same_encoder(first: nn.Module, second: nn.Module) -> bool:
    one, other = (
        {name: tensor.cpu() for name, tensor in each.state_dict().items() if name.split(".")[0] in ENCODER_PARTS}
        for each in (first, second)
    )
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _read_or_measure(stage: Stage, pretrained: Kronos, trained: Kronos) -> BlendFigures:
    """Return the figures of blend.json if they are about these two models, else measured."""
    hashes = {"pretrained_hash": hash_weights(pretrained), "trained_hash": hash_weights(trained)}
    stored: list[BlendRecord | None] = broadcast_object_list([read_blend(stage.folder)])
    figures = stored[0].figures if stored[0] else None
    if figures and hashes == {"pretrained_hash": figures.pretrained_hash, "trained_hash": figures.trained_hash}:
        return figures
    n = min(N_WINDOWS, len(stage.val))
    chosen = [i * len(stage.val) // n for i in range(n)]
    model = copy.deepcopy(trained).to(PartialState().device).eval()
    losses = []
    for share in SHARES:
        model.load_state_dict(blend_weights(pretrained, trained, share))
        losses.append(measure_windows(stage, model, chosen))
    n_candles = HORIZONS_A_STRETCH * stage.val.config.predict_window
    rows = stage.val.starts.take(np.asarray(chosen))
    stretches = number_stretches(stage.val.candles, rows, min(n_candles, stage.val.config.window - 1))
    means, errors = compare_shares(np.stack(losses), stretches)
    return BlendFigures(
        figure=HORIZON_LOSS_NAME,
        shares=SHARES,
        losses=tuple(means.tolist()),
        errors=tuple(error if math.isfinite(error) else None for error in errors.tolist()),
        n_windows=n,
        n_stretches=int(stretches.max()) + 1,
        **hashes,
    )


def _save(
    stage: Stage, record: StageRecord, own: Kronos, blended: Kronos | None, blend: BlendRecord | None
) -> StageRecord:
    """Save the models, blend.json and stage.json, and return the record. One of the two folders always has the own model."""
    unblended_model = stage.files.unblended_model
    record.begin_change(stage.folder)
    if blended and hash_weights(blended) != hash_weights(own):
        _save_model(own, unblended_model, record)
        _save_model(blended, stage.best_model, record)
    else:
        _save_model(own, stage.best_model, record)
        (unblended_model / SAFETENSORS_SINGLE_FILE).unlink(missing_ok=True)
        shutil.rmtree(unblended_model, ignore_errors=True)
    if record.improved:
        shutil.rmtree(stage.files.trained_model, ignore_errors=True)  # of the time before the first improvement
    stage.files.blend.unlink(missing_ok=True)
    if blend:
        write_sealed(stage.files.blend, blend.model_dump(mode="json"))
    return record.seal(stage.folder)


def _save_model(model: Kronos, folder: Path, record: StageRecord) -> None:
    if not _is_whole(folder) or hash_weights(Kronos.from_pretrained(folder)) != hash_weights(model):
        save_model(model, folder, record.tokenizer_hash)


def _report(stage: Stage, blend: BlendRecord, improved: bool) -> None:
    if blend.obstacle:
        logger.info("basemodel  not blended with the pretrained model: %s.", OBSTACLES[blend.obstacle])
        return
    logger.debug("basemodel  blend: %s", describe_figures(blend))
    if blend.share == 1:
        logger.debug("basemodel  blend: the fine-tuned model is kept as it is.")
        return
    trained_model = stage.files.unblended_model if improved else stage.files.trained_model
    kept = Message("fine-tuning lowered the loss by no more than chance can explain: the pretrained model is kept")
    if blend.share:
        template = "{own:.0%} fine-tuned and {other:.0%} pretrained weights are kept"
        kept = Message(template, own=blend.share, other=1 - blend.share)
    logger.log(
        logging.INFO if blend.share else logging.WARNING,
        "basemodel  blend: %s in %s. The fine-tuned model is in %s. To do without the blend, rerun with --skip-existing "
        "training.blend=false.",
        *(kept, stage.best_model, trained_model),
    )


def describe_figures(blend: BlendRecord) -> Message:
    """Format the loss of each share in one line."""
    if (figures := blend.figures) is None:
        return Message("")
    rows = zip(figures.shares, figures.losses, figures.errors)
    losses = ", ".join(
        f"{share:.0%} {loss:.5f}" + ("" if error in (0, None) else f" (± {error:.5f})") for share, loss, error in rows
    )
    return Message(
        "validation {figure} by share of the fine-tuned weights: {losses}; ± is the standard error of the difference to the "
        "lowest ({n_windows:,} windows in {n_stretches:,} stretches)",
        **{"losses": losses} | {name: getattr(figures, name) for name in ("figure", "n_windows", "n_stretches")},
    )
