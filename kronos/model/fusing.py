"""Several linear layers of the same input as one: fewer and larger products."""

import torch

from kronos.model.base_model import Kronos
from kronos.model.layers import list_blocks
from kronos.model.linear import Linear


@torch.no_grad()
def fuse_projections(model: Kronos) -> None:
    """Let query, key and value be one product, and the two inputs of SwiGLU too. Results differ only by rounding.

    The model then only decodes. Call this again when its weights have changed; the fused ones are written in place.
    """
    for block in list_blocks(model.transformer):
        attention, ffn = block.self_attn, block.ffn
        attention.fused = _join(attention.fused, attention.q_proj, attention.k_proj, attention.v_proj)
        ffn.fused = _join(ffn.fused, ffn.w1, ffn.w3)


def _join(joined: Linear | None, *layers: Linear) -> Linear:
    """Return a layer whose output is that of the layers, side by side: joined, if there is one."""
    first, n_out = layers[0], sum(layer.out_features for layer in layers)
    if joined is None:
        like = {"device": first.weight.device, "dtype": first.weight.dtype}
        joined = Linear(first.in_features, n_out, bias=first.bias is not None, **like)
    joined.weight.copy_(torch.cat([layer.weight for layer in layers]))
    if first.bias is not None:
        joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joined
