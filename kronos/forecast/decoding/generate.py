"""Autoregressive decoding with a key/value cache: known tokens are read once for all paths of a series."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kronos.candles import Array
from kronos.errors import CheckpointError
from kronos.forecast.decoding.options import Decoding, KnownTokens, choose_tokens
from kronos.forecast.decoding.static_decoder import StaticDecoders
from kronos.model import Kronos, KronosTokenizer
from kronos.model.base_model import KronosCaches
from kronos.model.cache import CacheLayout


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
    static: StaticDecoders | None = None,
) -> Tensor:
    """Sample P futures of each series.

    Args:
        lookback: (S, L, F) normalised candles, left-aligned; padding beyond a series' length is not read.
        lengths: the S lengths.
        known_stamp: (S, L, C) calendar rows of the lookback. future_stamp: (S, horizon, C), of the future candles.
        uniforms: (S, P, horizon, 2) in [0, 1), to draw s1 and s2 with.
        on_step: called after each of the horizon's steps.
        static: the model's decoders with buffers of fixed shape, which are faster on a GPU; None: caches that grow, which
            are faster on a CPU. The futures are the same but for rounding.

    Returns:
        (S, P, horizon, F) normalised candles.

    Raises:
        CheckpointError: the model computes values that are not finite.
    """
    n_series, n_paths, horizon, _ = uniforms.shape
    known = KnownTokens(*tokenizer.encode(lookback, half=True), known_stamp, lengths)
    draws = uniforms.flatten(0, 1).permute(1, 2, 0).unsqueeze(-1).contiguous()  # (horizon, 2, S·P, 1)
    if static is None:
        own, checksum = decode_growing(model, known, future_stamp, draws, decoding, on_step)
    else:
        own, checksum = static.decode(known, future_stamp, draws, decoding, on_step)
    decoded = _decode_tokens(tokenizer, known.latest(decoding.max_context - horizon), own)
    if not (checksum.isfinite() & decoded.isfinite().all()):  # checked once: each check waits for the device
        if static is not None:
            static.clear()
        raise CheckpointError(
            "the models compute values that are not finite: their training diverged, or float16 (dtype) overflows. Try "
            "another dtype, or train again with a smaller learning rate."
        )
    return decoded.reshape(n_series, n_paths, *decoded.shape[1:])


def decode_growing(
    model: Kronos,
    known: KnownTokens,
    future_stamp: Tensor,
    draws: Tensor,
    decoding: Decoding,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Sample the tokens of futures, with caches that grow by what is read.

    Args:
        known: the tokens of S series. future_stamp: (S, horizon, C), the calendar rows of the future.
        draws: (horizon, 2, S·P, 1) in [0, 1), to draw s1 and s2 of each path with.

    Returns:
        The tokens s1 and s2 of each path (2, S·P, horizon), and a number that is finite only if all logits are.
    """
    horizon, _, n_rows, _ = draws.shape
    calendar = model.time_emb(future_stamp).repeat_interleave(n_rows // len(known.lengths), dim=0)  # (S·P, horizon, D)
    own = torch.zeros(2, n_rows, horizon, dtype=torch.long, device=draws.device)
    total = torch.zeros((), device=draws.device)
    for step in range(horizon):
        if step == 0 or decoding.rolls(known.lengths, step):
            context = known.latest(decoding.count_known(step, horizon))
            caches, latest = _read_context(model, context, own[..., :step], calendar, decoding)
        else:
            new = slice(step - 1, step)
            latest = model.read(own[0, :, new], own[1, :, new], calendar[:, new], caches)
        tokens, checksum = choose_tokens(model, latest, caches, decoding.sampling, draws[step])
        own[:, :, step] = tokens[..., 0]
        total += checksum
        on_step()
    return own, total


def _read_context(
    model: Kronos, known: KnownTokens, own: Tensor, calendar: Tensor, decoding: Decoding
) -> tuple[KronosCaches, Tensor]:
    """Read the known tokens, and those that the paths have added (2, S·P, T), into new caches.

    Args:
        calendar: (S·P, horizon, D), embedded.

    Returns:
        The caches, and the hidden state of each path's latest token (S·P, 1, D).
    """
    n_paths, horizon = len(calendar) // len(known.lengths), calendar.shape[1]
    caches = model.build_caches(CacheLayout(known.lengths, n_paths, horizon, decoding.window), decoding.rotate_s2)
    hidden = model.read(known.s1_ids, known.s2_ids, model.time_emb(known.stamp), caches)
    if n_own := own.shape[-1]:
        return caches, model.read(own[0], own[1], calendar[:, :n_own], caches)[:, -1:]
    last = torch.tensor(known.lengths, device=hidden.device) - 1
    latest = hidden[torch.arange(len(last), device=last.device), last]
    return caches, latest.repeat_interleave(n_paths, dim=0).unsqueeze(1)


def _decode_tokens(tokenizer: KronosTokenizer, known: KnownTokens, own: Tensor) -> Tensor:
    """Decode the paths' tokens (2, S·P, T), as continuations of the known ones, to normalised candles (S·P, T, F)."""
    layout = CacheLayout(known.lengths, own.shape[1] // len(known.lengths), own.shape[2])
    caches = tokenizer.build_caches(layout)
    tokenizer.decode((known.s1_ids, known.s2_ids), half=True, caches=caches)
    return tokenizer.decode((own[0], own[1]), half=True, caches=caches)
