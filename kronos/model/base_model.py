"""The autoregressive base model over subtokens (Kronos, arXiv 2508.02739, section 3.2)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from kronos.model.attention import Attention
from kronos.model.cache import Cache, Layout
from kronos.model.dropout import Dropout
from kronos.model.embeddings import CalendarEmbedding, TokenEmbedding
from kronos.model.layers import RMSNorm, TransformerBlock, list_blocks, run_blocks
from kronos.model.linear import Linear
from kronos.model.pretrained import PretrainedModel


@dataclass
class BaseModelOutput(ModelOutput):
    """The result of a training pass of the base model. Position t predicts candle t + 1.

    loss: scalar, (CE(s1) + CE(s2)) / 2 in nats. window_loss: (B,), the same for each window.
    horizon_loss: (B,), the same over the horizon's positions only; None if their number was not given.
    s1_logits: (B, N, 2**s1_bits). s2_logits: (B, N, 2**s2_bits). N is T - 1, or the horizon if only that was computed.
    """

    loss: Tensor | None = None
    window_loss: Tensor | None = None
    horizon_loss: Tensor | None = None
    s1_logits: Tensor | None = None
    s2_logits: Tensor | None = None


@dataclass
class KronosCaches:
    """The keys and values that a base model caches while it decodes: one cache per block, one for the dependency layer."""

    blocks: list[Cache]
    dep_layer: Cache
    rotate_s2: bool


def sample_categorical(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Sample indices (...) from logits (..., V) by inverting the cumulative distribution at uniforms (...) in [0, 1)."""
    cumulative = logits.float().softmax(-1).cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]  # rounding leaves the last entry near 1, but it must be 1
    return (
        torch.searchsorted(cumulative, uniforms.unsqueeze(-1), right=True)
        .squeeze(-1)
        .clamp(
            max=logits.shape[-1] - 1  # for logits that are NaN in a diverged model; its loss shows the problem
        )
    )


class DependencyLayer(nn.Module):
    """Condition the fine subtoken on the coarse one by causal cross-attention."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.cross_attn = Attention(d_model, n_heads=4, attn_dropout_p=0.0, resid_dropout_p=0.0)
        self.norm = RMSNorm(d_model)

    def forward(self, hidden: Tensor, s1_embedding: Tensor, rotate: bool = True, width: int | None = None) -> Tensor:
        """Map hidden (B, T, D) and s1_embedding (B, Q, D), of the last Q positions, to (B, Q, D).

        Each position attends to the latest width positions, or to all up to it.
        """
        attended = self.cross_attn(s1_embedding, hidden, rotate, width)
        return self.norm(hidden[:, -s1_embedding.shape[1] :] + attended)  # type: ignore[no-any-return]

    def recall(self, hidden: Tensor, s1_embedding: Tensor, cache: Cache, rotate: bool = True) -> Tensor:
        """Do the same for only the latest position, both (B, 1, D), with the hidden states in the cache as context."""
        return self.norm(hidden + self.cross_attn.recall(s1_embedding, cache, rotate))  # type: ignore[no-any-return]


class SubtokenHead(nn.Module):
    """The two output projections."""

    def __init__(self, s1_bits: int, s2_bits: int, d_model: int) -> None:
        super().__init__()
        self.proj_s1 = Linear(d_model, 2**s1_bits)
        self.proj_s2 = Linear(d_model, 2**s2_bits)


class Kronos(PretrainedModel):
    """Decoder-only transformer that predicts the next candle's coarse, then fine, subtoken."""

    nano_part = "basemodel"

    def __init__(
        self,
        s1_bits: int,
        s2_bits: int,
        n_layers: int,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
        token_dropout_p: float,
        learn_te: bool,
    ) -> None:
        super().__init__()
        self.s1_bits, self.s2_bits = s1_bits, s2_bits
        self.embedding = TokenEmbedding(s1_bits, s2_bits, d_model)
        self.time_emb = CalendarEmbedding(d_model, learn_te)
        self.token_drop = Dropout(token_dropout_p)
        self.transformer = nn.ModuleList(
            TransformerBlock(d_model, n_heads, ff_dim, ffn_dropout_p, attn_dropout_p, resid_dropout_p)
            for _ in range(n_layers)
        )
        self.norm = RMSNorm(d_model)
        self.dep_layer = DependencyLayer(d_model)
        self.head = SubtokenHead(s1_bits, s2_bits, d_model)
        self.apply(_initialise)

    def forward(
        self,
        s1_ids: Tensor,
        s2_ids: Tensor,
        stamp: Tensor,
        s1_uniforms: Tensor | None = None,
        n_horizon: int | None = None,
        lookback_weight: float = 1.0,
        max_context: int | None = None,
        n_known: Tensor | None = None,
    ) -> BaseModelOutput:
        """Predict the next token over whole windows: positions 0..T-2 predict 1..T-1.

        Args:
            s1_ids, s2_ids: (B, T) subtokens.
            stamp: (B, T, C) calendar rows.
            s1_uniforms: (B, T-1) in [0, 1). If given, they sample from the s1 logits the s1 that conditions s2; the
                model then trains on its own choices. Otherwise s2 is conditioned on the true next s1 (teacher
                forcing), and the loss is the exact negative log-likelihood.
            n_horizon: the number of last positions, which predict the horizon; None: all count as the lookback.
            lookback_weight: what a position before them counts in the loss; with 0 only the horizon is computed.
            max_context: the number of latest tokens that a forecast attends to, for horizon_loss; None for all.
            n_known: (B,), the tokens before the origin of each window; only what follows them counts in the loss.
        """
        first = 0 if n_horizon is None or lookback_weight else s1_ids.shape[1] - 1 - n_horizon
        s1_logits, s2_logits = self._predict(s1_ids, s2_ids, stamp, s1_uniforms, first)
        losses = _measure_losses(s1_logits, s2_logits, s1_ids, s2_ids)
        window_loss = (
            _average(losses, n_horizon, lookback_weight) if n_known is None else _average_after(losses, n_known)
        )
        if n_horizon is None:
            return BaseModelOutput(window_loss.mean(), window_loss.detach(), None, s1_logits, s2_logits)
        if max_context is not None and max_context < s1_ids.shape[1] - 1:
            horizon_loss = self._measure_horizon(s1_ids, s2_ids, stamp, n_horizon, max_context)
        else:
            horizon_loss = losses[:, -n_horizon:].mean(-1)
        return BaseModelOutput(window_loss.mean(), window_loss.detach(), horizon_loss.detach(), s1_logits, s2_logits)

    def _predict(
        self,
        s1_ids: Tensor,
        s2_ids: Tensor,
        stamp: Tensor,
        s1_uniforms: Tensor | None = None,
        first: int = 0,
        width: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of s1 and s2 (B, T-1-first, V) at the positions from first on, each of which sees width tokens."""
        hidden = self._read_all(s1_ids[:, :-1], s2_ids[:, :-1], stamp[:, :-1], width)
        s1_logits = self.head.proj_s1(hidden[:, first:])
        if s1_uniforms is None:
            s1_next = s1_ids[:, first + 1 :]
        else:
            s1_next = sample_categorical(s1_logits.detach(), s1_uniforms[:, first:].contiguous())
        return s1_logits, self.decode_s2(hidden, s1_next, width=width)

    def _measure_horizon(
        self, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor, n_horizon: int, max_context: int
    ) -> Tensor:
        """Return the loss (B,) of the horizon with the context of decoding, which is shorter than the window."""
        start = max(s1_ids.shape[1] - n_horizon - max_context, 0)
        s1_ids, s2_ids, stamp = s1_ids[:, start:], s2_ids[:, start:], stamp[:, start:]
        first = s1_ids.shape[1] - 1 - n_horizon
        logits = self._predict(s1_ids, s2_ids, stamp, first=first, width=max_context)
        return _measure_losses(*logits, s1_ids, s2_ids).mean(-1)

    def decode_s1(self, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next coarse subtoken's logits (B, T, 2**s1_bits) and the hidden states (B, T, D)."""
        hidden = self._read_all(s1_ids, s2_ids, stamp)
        return self.head.proj_s1(hidden), hidden

    def decode_s2(self, hidden: Tensor, s1_next: Tensor, rotate: bool = True, width: int | None = None) -> Tensor:
        """Return the next fine subtoken's logits, given the next coarse one.

        Args:
            hidden: (B, T, D) from `decode_s1`.
            s1_next: (B, Q), of the last Q positions.
            rotate: False reproduces the reference implementation's unrotated one-step decode.
            width: the number of latest positions that a position attends to; None for all of them.

        Returns:
            (B, Q, 2**s2_bits).
        """
        conditioned = self.dep_layer(hidden, self.embedding.emb_s1(s1_next), rotate, width)
        return self.head.proj_s2(conditioned)  # type: ignore[no-any-return]

    def build_caches(self, layout: Layout, rotate_s2: bool = True) -> KronosCaches:
        """Return empty caches for `read`.

        Args:
            layout: the series, and the number of paths of each.
            rotate_s2: False reproduces the reference implementation's unrotated one-step decode of s2.
        """
        *blocks, dep_layer = (layer.build_cache(layout) for layer in self.list_attention_layers())
        return KronosCaches(blocks, dep_layer, rotate_s2)

    def list_attention_layers(self) -> list[Attention]:
        """Return the attention layers: of the blocks, then of the dependency layer."""
        return [*(block.self_attn for block in list_blocks(self.transformer)), self.dep_layer.cross_attn]

    def read(self, s1_ids: Tensor, s2_ids: Tensor, calendar: Tensor, caches: KronosCaches) -> Tensor:
        """Read the tokens that follow the cached ones, add them to the caches, and return their hidden states (B, T, D).

        The first call reads the prefix: one row per series. Later calls have one row per path.

        Args:
            s1_ids, s2_ids: (B, T).
            calendar: (B, T, D), their calendar rows as `time_emb` embeds them.
        """
        x = self.token_drop(self.embedding(s1_ids, s2_ids) + calendar)
        hidden: Tensor = self.norm(run_blocks(self.transformer, x, caches.blocks))
        self.dep_layer.cross_attn.remember(hidden, caches.dep_layer, caches.rotate_s2)
        return hidden

    def predict_s1(self, hidden: Tensor) -> Tensor:
        """Return the next coarse subtoken's logits (B, T, 2**s1_bits) from hidden states (B, T, D)."""
        return self.head.proj_s1(hidden)  # type: ignore[no-any-return]

    def predict_s2(self, hidden: Tensor, s1_next: Tensor, caches: KronosCaches) -> Tensor:
        """Return the next fine subtoken's logits (B, 1, 2**s2_bits) after the latest position.

        Args:
            hidden: (B, 1, D), of the latest position.
            s1_next: (B, 1), the next coarse subtoken.
        """
        s1_embedding = self.embedding.emb_s1(s1_next)
        return self.head.proj_s2(self.dep_layer.recall(hidden, s1_embedding, caches.dep_layer, caches.rotate_s2))  # type: ignore[no-any-return]

    def _read_all(self, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor, width: int | None = None) -> Tensor:
        """Return the hidden states (B, T, D) of whole windows; a position attends to the latest width positions."""
        x = self._embed(s1_ids, s2_ids, stamp)
        return self.norm(run_blocks(self.transformer, x, recompute=self.recomputes, width=width))  # type: ignore[no-any-return]

    def _embed(self, s1_ids: Tensor, s2_ids: Tensor, stamp: Tensor) -> Tensor:
        return self.token_drop(self.embedding(s1_ids, s2_ids) + self.time_emb(stamp))  # type: ignore[no-any-return]


def _measure_losses(s1_logits: Tensor, s2_logits: Tensor, s1_ids: Tensor, s2_ids: Tensor) -> Tensor:
    """Return (CE(s1) + CE(s2)) / 2 in nats (B, N) at the last N positions, from logits (B, N, V) and tokens (B, T)."""
    n_positions = s1_logits.shape[1]
    pairs = (s1_logits, s1_ids[:, -n_positions:]), (s2_logits, s2_ids[:, -n_positions:])
    s1_losses, s2_losses = (
        F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        for logits, targets in pairs
    )
    return (s1_losses + s2_losses) / 2


def _average(losses: Tensor, n_horizon: int | None, lookback_weight: float) -> Tensor:
    """Return the mean (B,) of losses (B, N), in which positions before the last n_horizon count lookback_weight times."""
    n_before = losses.shape[1] - (n_horizon or 0)
    if n_horizon is None or lookback_weight == 1 or n_before <= 0:
        return losses.mean(-1)
    total = lookback_weight * losses[:, :n_before].sum(-1) + losses[:, n_before:].sum(-1)
    return total / (lookback_weight * n_before + n_horizon)


def _average_after(losses: Tensor, n_known: Tensor) -> Tensor:
    """Return the mean (B,) of losses (B, N) at the positions that predict what follows the first n_known (B,) tokens."""
    counted = torch.arange(losses.shape[1], device=losses.device) >= n_known[:, None] - 1
    return (losses * counted).sum(-1) / counted.sum(-1)


def _initialise(module: nn.Module) -> None:
    """Initialise a linear layer (Xavier normal, zero bias) or an embedding (normal, standard deviation D^-1/2)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding) and module.weight.requires_grad:
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
