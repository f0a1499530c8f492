"""The plain way to train, as a reference for correctness and speed: float32, one operation after the other.

It is written directly from the formulas, with the parameters of our models. Attention uses PyTorch's fused kernel; rotation and
norms are separate operations. The two reconstructions are computed one after the other. Every batch is tokenised
again, and the loss is read at every step.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.candles import Array
from kronos.config.data import DataConfig
from kronos.model import Kronos, KronosTokenizer
from kronos.model.attention import Attention
from kronos.model.layers import RMSNorm, TransformerBlock
from kronos.model.quantizer import bits_to_indices

LossOf = Callable[[Tensor, Tensor], Tensor]


class PlainLoop:
    """Forward, backward, clipping, AdamW. `step` makes one step and returns the loss."""

    def __init__(self, model: nn.Module, loss_of: LossOf, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        self._model, self._loss_of, self._batches = model.train(), loss_of, batches
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)
        self._device = next(model.parameters()).device

    def step(self) -> float:
        candles, stamp = (x.to(self._device) for x in next(self._batches))
        loss = self._loss_of(candles, stamp)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), max_norm=3.0)
        self._optimizer.step()
        return loss.item()


def draw_batches(values: Array, calendar: Array, config: DataConfig, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of n windows without end: normalised candles (n, T, 6) and calendar rows (n, T, 5)."""
    x, stamp = torch.from_numpy(values.copy()).float(), torch.from_numpy(calendar.copy()).float()
    while True:
        rows = torch.randint(len(x) - config.window, (n, 1)) + torch.arange(config.window)
        lookback = x[rows][:, : config.lookback_window]
        mean, std = lookback.mean(1, keepdim=True), lookback.std(1, keepdim=True, correction=0)
        yield ((x[rows] - mean) / (std + 1e-5)).clamp(-config.clip, config.clip), stamp[rows]


def tokenizer_loss(tokenizer: KronosTokenizer, candles: Tensor) -> Tensor:
    """Return (MSE(coarse) + MSE(fine) + bsq_loss) / 2."""
    codes, bsq_loss = tokenizer.tokenizer(_embed_candles(tokenizer, candles))
    coarse = _run(tokenizer.decoder, tokenizer.post_quant_embed_pre(codes[..., : tokenizer.s1_bits]))
    fine = _run(tokenizer.decoder, tokenizer.post_quant_embed(codes))
    losses = [F.mse_loss(tokenizer.head(x), candles) for x in (coarse, fine)]
    return (losses[0] + losses[1] + bsq_loss) / 2


@torch.no_grad()
def tokenise(tokenizer: KronosTokenizer, candles: Tensor) -> tuple[Tensor, Tensor]:
    """Encode candles (B, T, 6) as s1 and s2 (B, T)."""
    codes = _embed_candles(tokenizer, candles)
    return bits_to_indices(codes[..., : tokenizer.s1_bits]), bits_to_indices(codes[..., tokenizer.s1_bits :])


def base_model_loss(model: Kronos, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor, teacher_forcing: bool) -> Tensor:
    """Return (CE(s1) + CE(s2)) / 2. s2 is conditioned on the true next s1, or on one drawn from the logits."""
    embedded = model.embedding(s1_ids[:, :-1], s2_ids[:, :-1]) + model.time_emb(stamp[:, :-1])
    x = F.dropout(embedded, model.token_drop.p, model.training)
    hidden = _norm(model.norm, _run(model.transformer, x))
    s1_logits = model.head.proj_s1(hidden)
    s1_next = s1_ids[:, 1:]
    if not teacher_forcing:
        s1_next = torch.multinomial(s1_logits.detach().flatten(0, 1).softmax(-1), 1).view_as(s1_next)
    attended = _attend(model.dep_layer.cross_attn, model.embedding.emb_s1(s1_next), hidden)
    s2_logits = model.head.proj_s2(_norm(model.dep_layer.norm, hidden + attended))
    losses = [F.cross_entropy(x.transpose(1, 2), ids[:, 1:]) for x, ids in ((s1_logits, s1_ids), (s2_logits, s2_ids))]
    return (losses[0] + losses[1]) / 2


def _embed_candles(tokenizer: KronosTokenizer, candles: Tensor) -> Tensor:
    return tokenizer.quant_embed(_run(tokenizer.encoder, tokenizer.embed(candles)))


def _run(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = _transform(block, x)
    return x


def _transform(block: TransformerBlock, x: Tensor) -> Tensor:
    normed = _norm(block.norm1, x)
    x = x + _attend(block.self_attn, normed, normed)
    normed, ffn = _norm(block.norm2, x), block.ffn
    return x + F.dropout(ffn.w2(F.silu(ffn.w1(normed)) * ffn.w3(normed)), ffn.dropout.p, ffn.training)


def _norm(norm: RMSNorm, x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * norm.weight


def _attend(layer: Attention, query: Tensor, context: Tensor) -> Tensor:
    projected = layer.q_proj(query), layer.k_proj(context), layer.v_proj(context)
    q, k, v = (x.unflatten(-1, (layer.n_heads, -1)).transpose(1, 2) for x in projected)
    q, k = _rotate(q, layer.rotary.inv_freq), _rotate(k, layer.rotary.inv_freq)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    merged = layer.out_proj(mixed.transpose(1, 2).flatten(-2))
    return F.dropout(merged, layer.resid_dropout.p, layer.training)


def _rotate(x: Tensor, inv_freq: Tensor) -> Tensor:
    angles = torch.outer(torch.arange(x.shape[-2], device=x.device).float(), inv_freq)
    angles = torch.cat([angles, angles], dim=-1)
    x1, x2 = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat([-x2, x1], dim=-1) * angles.sin()
