"""Autoregressive decoding with a key/value cache: known tokens are read once for all paths of a series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kronos.candles import Array
from kronos.errors import CheckpointError, ConfigError
from kronos.forecast.sampling import DEFAULT_SAMPLING, Sampling, sample
from kronos.model import Kronos, KronosTokenizer
from kronos.model.base_model import KronosCaches
from kronos.model.cache import CacheLayout

ContextPolicy = Literal["grow", "slide", "recompute"]


@dataclass(frozen=True)
class Decoding:
    """How futures are decoded.

    max_context: W, how many tokens the model was trained to attend to.
    policy: what to do when lookback and horizon together exceed W.
        grow: leave out the oldest candles of the lookback from the start; every step attends to all the others.
        slide: drop the oldest cache entries as new ones arrive; the others keep what they have attended to.
        recompute: read the latest W tokens again at every step, as the reference implementation does; exact and slow.
    rotate_s2: False reproduces the reference implementation's unrotated one-step decode of s2.
    """

    max_context: int
    policy: ContextPolicy = "slide"
    sampling: Sampling = DEFAULT_SAMPLING
    rotate_s2: bool = True

    def __post_init__(self) -> None:
        if self.policy not in get_args(ContextPolicy):
            known = ", ".join(get_args(ContextPolicy))
            raise ConfigError("the context policy must be {known}; got {policy!r}.", known=known, policy=self.policy)


@dataclass(frozen=True)
class KnownTokens:
    """The tokens of S series, left-aligned and padded on the right.

    s1_ids, s2_ids: (S, L). stamp: (S, L, C). lengths: S numbers.
    """

    s1_ids: Tensor
    s2_ids: Tensor
    stamp: Tensor
    lengths: tuple[int, ...]

    def latest(self, n: int) -> Self:
        """Return at most n tokens of each series, the latest."""
        kept = tuple(min(length, n) for length in self.lengths)
        if kept == self.lengths:
            return self
        first = torch.tensor([old - new for old, new in zip(self.lengths, kept)], device=self.s1_ids.device)
        index = first[:, None] + torch.arange(max(kept), device=first.device)  # (S, L)
        index = index.clamp(max=self.s1_ids.shape[1] - 1)
        rows = torch.arange(len(kept), device=first.device)[:, None]
        return type(self)(self.s1_ids[rows, index], self.s2_ids[rows, index], self.stamp[rows, index], kept)


def stack_padded(arrays: Sequence[Array]) -> Tensor:
    """Stack arrays (L, …) of different lengths, padded with zeros on the right."""
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(array)) for array in arrays], batch_first=True)


@torch.inference_mode()
def generate_paths(
    tokenizer: KronosTokenizer,
    model: Kronos,
    lookback: Tensor,
    lengths: tuple[int, ...],
    known_stamp: Tensor,
    future_stamp: Tensor,
    uniforms: Tensor,
    decoding: Decoding,
    on_step: Callable[[], object] = lambda: None,
) -> Tensor:
    """Sample P futures of each series.

    Args:
        lookback: (S, L, F) normalised candles, left-aligned; padding beyond a series' length is not read.
        lengths: the S lengths.
        known_stamp: (S, L, C) calendar rows of the lookback. future_stamp: (S, horizon, C), of the future candles.
        uniforms: (S, P, horizon, 2) in [0, 1), to draw s1 and s2 with.
        on_step: called after each of the horizon's steps.

    Returns:
        (S, P, horizon, F) normalised candles.

    Raises:
        CheckpointError: the model computes values that are not finite.
    """
    n_series, n_paths, horizon, _ = uniforms.shape
    known = KnownTokens(*tokenizer.encode(lookback, half=True), known_stamp, lengths)
    path_stamp = future_stamp.repeat_interleave(n_paths, dim=0)  # (S·P, horizon, C)
    draws = uniforms.flatten(0, 1).permute(1, 2, 0).unsqueeze(-1).contiguous()  # (horizon, 2, S·P, 1)
    own = torch.zeros(
        2, n_series * n_paths, horizon, dtype=torch.long, device=lookback.device
    )  # s1 and s2 of each path
    finite = torch.tensor(True, device=lookback.device)
    for step in range(horizon):
        if step == 0 or _rolls(known, step, decoding):
            context = known.latest(_count_known(step, horizon, decoding))
            caches, latest = _read_context(model, context, own[..., :step], path_stamp, decoding)
        else:
            new = slice(step - 1, step)
            latest = model.read(own[0, :, new], own[1, :, new], path_stamp[:, new], caches)
        s1_logits = model.predict_s1(latest)
        s1_next = sample(s1_logits, decoding.sampling, draws[step, 0])
        s2_logits = model.predict_s2(latest, s1_next, caches)
        s2_next = sample(s2_logits, decoding.sampling, draws[step, 1])
        finite &= s1_logits.isfinite().all() & s2_logits.isfinite().all()
        own[0, :, step], own[1, :, step] = s1_next[:, 0], s2_next[:, 0]
        on_step()
    decoded = _decode_tokens(tokenizer, known.latest(decoding.max_context - horizon), own)
    if not (finite & decoded.isfinite().all()):  # checked once: each check waits for the device
        raise CheckpointError(
            "the models compute values that are not finite: their training diverged, or float16 (dtype) overflows. Try "
            "another dtype, or train again with a smaller learning rate."
        )
    return decoded.reshape(n_series, n_paths, *decoded.shape[1:])


def _rolls(known: KnownTokens, step: int, decoding: Decoding) -> bool:
    return decoding.policy == "recompute" and max(known.lengths) + step > decoding.max_context


def _count_known(step: int, horizon: int, decoding: Decoding) -> int:
    """Return how many known tokens fit beside those of the paths."""
    n_own = {"grow": horizon, "slide": 0, "recompute": step}[decoding.policy]
    return decoding.max_context - n_own


def _read_context(
    model: Kronos, known: KnownTokens, own: Tensor, path_stamp: Tensor, decoding: Decoding
) -> tuple[KronosCaches, Tensor]:
    """Read the known tokens, and those that the paths have added (2, S·P, T), into new caches.

    Returns:
        The caches, and the hidden state of each path's latest token (S·P, 1, D).
    """
    n_paths, horizon = len(path_stamp) // len(known.lengths), path_stamp.shape[1]
    window = decoding.max_context if decoding.policy == "slide" else None
    caches = model.build_caches(CacheLayout(known.lengths, n_paths, horizon, window), decoding.rotate_s2)
    hidden = model.read(known.s1_ids, known.s2_ids, known.stamp, caches)
    if n_own := own.shape[-1]:
        return caches, model.read(own[0], own[1], path_stamp[:, :n_own], caches)[:, -1:]
    last = torch.tensor(known.lengths, device=hidden.device) - 1
    latest = hidden[torch.arange(len(last), device=last.device), last]
    return caches, latest.repeat_interleave(n_paths, dim=0).unsqueeze(1)


def _decode_tokens(tokenizer: KronosTokenizer, known: KnownTokens, own: Tensor) -> Tensor:
    """Decode the paths' tokens (2, S·P, T), as continuations of the known ones, to normalised candles (S·P, T, F)."""
    layout = CacheLayout(known.lengths, own.shape[1] // len(known.lengths), own.shape[2])
    caches = tokenizer.build_caches(layout)
    tokenizer.decode((known.s1_ids, known.s2_ids), half=True, caches=caches)
    return tokenizer.decode((own[0], own[1]), half=True, caches=caches)
