"""The plain way to decode, as a reference for correctness and speed.

Every step reads the whole context of every path again. Nothing is cached or shared.
"""

from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.forecast.decoding.options import Decoding
from kronos.forecast.sampling import sample
from kronos.model import Kronos, KronosTokenizer


@torch.inference_mode()
def generate_plainly(
    tokenizer: KronosTokenizer,
    model: Kronos,
    lookback: Tensor,
    known_stamp: Tensor,
    future_stamp: Tensor,
    uniforms: Tensor,
    decoding: Decoding,
) -> Tensor:
    """Return what `kronos.forecast.decoding.generate.generate_paths` returns, for series of equal length."""
    n_series, n_paths, horizon, _ = uniforms.shape
    window = decoding.max_context
    stamp = torch.cat([known_stamp, future_stamp], dim=1).repeat_interleave(n_paths, dim=0)
    s1_ids, s2_ids = tokenizer.encode(lookback.repeat_interleave(n_paths, dim=0), half=True)
    uniforms = uniforms.flatten(0, 1)
    first = max(lookback.shape[1] + horizon - window, 0) if decoding.policy == "grow" else 0
    for step in range(horizon):
        end = s1_ids.shape[1]
        if decoding.policy == "recompute":
            first = max(end - window, 0)
        elif decoding.policy == "slide":
            first = max(lookback.shape[1] - window, 0)
        seen = slice(first, end)
        with patch.object(F, "scaled_dot_product_attention", _attend_within(window)):
            s1_logits, hidden = model.decode_s1(s1_ids[:, seen], s2_ids[:, seen], stamp[:, seen])
            s1_next = sample(s1_logits[:, -1:], decoding.sampling, uniforms[:, step, :1].contiguous())
            s2_logits = model.decode_s2(hidden, s1_next, decoding.rotate_s2)
        s2_next = sample(s2_logits[:, -1:], decoding.sampling, uniforms[:, step, 1:].contiguous())
        s1_ids, s2_ids = torch.cat([s1_ids, s1_next], dim=1), torch.cat([s2_ids, s2_next], dim=1)
    decoded = tokenizer.decode((s1_ids[:, -window:], s2_ids[:, -window:]), half=True)
    return decoded[:, -horizon:].unflatten(0, (n_series, n_paths))


def _attend_within(window: int):
    """Return scaled dot-product attention in which a query sees only the latest `window` positions, its own included."""
    attend = F.scaled_dot_product_attention

    def attend_within(query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool) -> Tensor:
        if key.shape[2] <= window:
            return attend(query, key, value, is_causal=is_causal)
        behind = torch.arange(key.shape[2])[-query.shape[2] :, None] - torch.arange(key.shape[2])
        return attend(query, key, value, attn_mask=(behind >= 0) & (behind < window))

    return attend_within
