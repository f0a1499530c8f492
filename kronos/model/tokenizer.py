"""The K-line tokenizer: each candle to a coarse and a fine subtoken, and back (Kronos, arXiv 2508.02739, section 3.1)."""

from dataclasses import dataclass
from typing import Literal, overload

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from kronos.model.cache import Cache, Layout
from kronos.model.layers import TransformerBlock, list_blocks, run_blocks
from kronos.model.pretrained import PretrainedModel
from kronos.model.quantizer import BinarySphericalQuantizer, bits_to_indices, indices_to_bits


@dataclass
class TokenizerOutput(ModelOutput):
    """The result of a training pass of the tokenizer.

    loss: scalar, (MSE(coarse) + MSE(fine) + bsq_loss) / 2.
    window_loss: (B,), MSE(fine) of each window; the validation loss.
    coarse, fine: (B, T, F) reconstructions.
    codes: (B, T, Q). bsq_loss: scalar.
    """

    loss: Tensor | None = None
    window_loss: Tensor | None = None
    coarse: Tensor | None = None
    fine: Tensor | None = None
    codes: Tensor | None = None
    bsq_loss: Tensor | None = None


class KronosTokenizer(PretrainedModel):
    """Autoencoder of normalised candles with a binary spherical code of Q = s1_bits + s2_bits bits."""

    nano_part = "tokenizer"

    def __init__(
        self,
        d_in: int,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        n_enc_layers: int,
        n_dec_layers: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
        s1_bits: int,
        s2_bits: int,
        beta: float,
        gamma0: float,
        gamma: float,
        zeta: float,
        group_size: int,
    ) -> None:
        super().__init__()
        self.s1_bits, self.s2_bits = s1_bits, s2_bits
        n_bits = s1_bits + s2_bits
        block_sizes = (d_model, n_heads, ff_dim, ffn_dropout_p, attn_dropout_p, resid_dropout_p)
        self.embed = nn.Linear(d_in, d_model)
        # The published depth counts the linear layer as well as the blocks.
        self.encoder = nn.ModuleList(TransformerBlock(*block_sizes) for _ in range(n_enc_layers - 1))
        self.quant_embed = nn.Linear(d_model, n_bits)
        self.tokenizer = BinarySphericalQuantizer(n_bits, beta, gamma0, gamma, zeta, group_size)
        self.post_quant_embed_pre = nn.Linear(s1_bits, d_model)
        self.post_quant_embed = nn.Linear(n_bits, d_model)
        self.decoder = nn.ModuleList(TransformerBlock(*block_sizes) for _ in range(n_dec_layers - 1))
        self.head = nn.Linear(d_model, d_in)

    def forward(self, candles: Tensor, bit_mean: Tensor | None = None) -> TokenizerOutput:
        """Reconstruct normalised candles (B, T, F) from the coarse bits and from all bits, with the loss.

        Args:
            bit_mean: (Q,) mean of `measure_batch` over the whole batch, if candles are only a part of it. It is needed
                because the codebook entropy is not linear in the batch.
        """
        codes, bsq_loss = self.tokenizer(self._embed(candles), bit_mean)
        coarse = self._reconstruct(self.post_quant_embed_pre(codes[..., : self.s1_bits]))
        fine = self._reconstruct(self.post_quant_embed(codes))
        window_loss = (fine - candles).square().mean(dim=(1, 2))
        loss = (F.mse_loss(coarse, candles) + window_loss.mean() + bsq_loss) / 2
        return TokenizerOutput(loss, window_loss.detach(), coarse, fine, codes, bsq_loss)

    def measure_batch(self, candles: Tensor) -> Tensor:
        """Return the mean probability (Q,) of each bit over candles (B, T, F)."""
        return self.tokenizer.measure(self._embed(candles))

    @overload
    def encode(self, x: Tensor, half: Literal[False] = False) -> Tensor: ...
    @overload
    def encode(self, x: Tensor, half: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def encode(self, x: Tensor, half: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Encode normalised candles x (B, T, F) as indices (B, T) over all bits or, with half, as the pair (s1, s2)."""
        codes = self._embed(x)  # not normalised onto the sphere: that would not change a sign
        if not half:
            return bits_to_indices(codes)
        return bits_to_indices(codes[..., : self.s1_bits]), bits_to_indices(codes[..., self.s1_bits :])

    def decode(
        self,
        indices: Tensor | tuple[Tensor, Tensor],
        half: bool = False,
        caches: list[Cache] | None = None,
    ) -> Tensor:
        """Decode indices (B, T), or the pair (s1, s2) with half, to normalised candles (B, T, F).

        With caches (`build_caches`), indices are the positions after those decoded before. The first call decodes the prefix,
        one row per series; later calls have one row per path.
        """
        if half:
            s1_ids, s2_ids = indices
            joint = s1_ids + (s2_ids << self.s1_bits)
        else:
            if not isinstance(indices, Tensor):
                raise TypeError("decode takes one tensor of indices or, with half=True, the pair (s1, s2)")
            joint = indices
        codes = indices_to_bits(joint, self.s1_bits + self.s2_bits) * self.tokenizer.scale
        return self._reconstruct(self.post_quant_embed(codes.to(self.head.weight.dtype)), caches)

    def build_caches(self, layout: Layout) -> list[Cache]:
        """Return empty caches for `decode`."""
        return [block.self_attn.build_cache(layout) for block in list_blocks(self.decoder)]

    def _embed(self, candles: Tensor) -> Tensor:
        x = run_blocks(self.encoder, self.embed(candles), recompute=self.recomputes)
        return self.quant_embed(x)  # type: ignore[no-any-return]  # (B, T, Q)

    def _reconstruct(self, x: Tensor, caches: list[Cache] | None = None) -> Tensor:
        x = run_blocks(self.decoder, x, caches, recompute=self.recomputes)
        return self.head(x)  # type: ignore[no-any-return]  # (B, T, F)
