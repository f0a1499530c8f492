"""Autoregressive decoding, the plain way: each step reads its whole context anew."""

import torch
from torch import Tensor
from tqdm import tqdm

from kronos.forecast.sampling import sample
from kronos.model import Kronos, KronosTokenizer


@torch.inference_mode()
def generate_paths(
    tokenizer: KronosTokenizer,
    model: Kronos,
    lookback: Tensor,
    stamp: Tensor,
    *,
    max_context: int,
    temperature: float,
    top_k: int,
    top_p: float,
    generator: torch.Generator,
    reference_decode: bool = False,
    show_progress: bool = False,
) -> Tensor:
    """Sample one future for each row.

    Args:
        lookback: (B, L, F) normalised candles.
        stamp: (B, L + horizon, C) calendar rows of the lookback and of the future.
        max_context: how many of the latest tokens are attended to, and decoded at the end.
        reference_decode: sample s2 from the unrotated one-step decode of the reference implementation.

    Returns:
        (B, horizon, F) normalised candles.
    """
    s1_ids, s2_ids = tokenizer.encode(lookback, half=True)
    n_known, n_all = lookback.shape[1], stamp.shape[1]
    for end in tqdm(
        range(n_known, n_all), desc="forecast", unit="candle", disable=None if show_progress else True, leave=False
    ):
        seen = slice(max(end - max_context, 0), end)
        s1_logits, hidden = model.decode_s1(s1_ids[:, seen], s2_ids[:, seen], stamp[:, seen])
        s1_next = sample(s1_logits[:, -1], temperature, top_k, top_p, generator)
        s2_logits = model.decode_s2(hidden, s1_next[:, None], rotate=not reference_decode)
        s2_next = sample(s2_logits[:, -1], temperature, top_k, top_p, generator)
        s1_ids = torch.cat([s1_ids, s1_next[:, None]], dim=1)
        s2_ids = torch.cat([s2_ids, s2_next[:, None]], dim=1)
    decoded = tokenizer.decode((s1_ids[:, -max_context:], s2_ids[:, -max_context:]), half=True)
    return decoded[:, n_known - n_all :]
