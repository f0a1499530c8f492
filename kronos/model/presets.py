"""Named architectures for training from scratch: the published sizes, and a small one for demonstrations."""

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """Constructor arguments of a tokenizer and of its base model."""

    tokenizer: dict[str, Any]
    base_model: dict[str, Any]


def _tokenizer(d_model: int, ff_dim: int, n_layers: int, bits: int) -> dict[str, Any]:
    no_dropout = {"ffn_dropout_p": 0.0, "attn_dropout_p": 0.0, "resid_dropout_p": 0.0}
    depth = {"n_enc_layers": n_layers, "n_dec_layers": n_layers}
    penalties = {"beta": 0.05, "gamma0": 1.0, "gamma": 1.1, "zeta": 0.05, "group_size": 4}
    return {
        **{"d_in": 6, "d_model": d_model, "n_heads": 4, "ff_dim": ff_dim, "s1_bits": bits, "s2_bits": bits},
        **depth,
        **no_dropout,
        **penalties,
    }


def _base_model(n_layers: int, d_model: int, n_heads: int, ff_dim: int, bits: int, dropout_p: float) -> dict[str, Any]:
    sizes = {"n_layers": n_layers, "d_model": d_model, "n_heads": n_heads, "ff_dim": ff_dim}
    dropouts = {"ffn_dropout_p": dropout_p, "attn_dropout_p": 0.0, "resid_dropout_p": dropout_p, "token_dropout_p": 0.0}
    return {"s1_bits": bits, "s2_bits": bits, **sizes, **dropouts, "learn_te": True}


_PUBLISHED_TOKENIZER = _tokenizer(d_model=256, ff_dim=512, n_layers=4, bits=10)

# Sizes from Kronos, arXiv 2508.02739, table 1. The dropout is our choice for training from scratch.
PRESETS = {
    "demo": Preset(_tokenizer(64, 128, n_layers=3, bits=6), _base_model(3, 64, 4, 192, bits=6, dropout_p=0.1)),
    "nano": Preset(_tokenizer(64, 128, n_layers=2, bits=8), _base_model(3, 64, 4, 192, bits=8, dropout_p=0.0)),
    "mini": Preset(_PUBLISHED_TOKENIZER, _base_model(4, 256, 4, 512, bits=10, dropout_p=0.2)),
    "small": Preset(_PUBLISHED_TOKENIZER, _base_model(8, 512, 8, 1024, bits=10, dropout_p=0.2)),
    "base": Preset(_PUBLISHED_TOKENIZER, _base_model(12, 832, 16, 2048, bits=10, dropout_p=0.2)),
}
