"""Embeddings of tokens and of calendar rows."""

import math

import torch
from torch import Tensor, nn

from kronos.model.linear import Linear

# In the order of the calendar row: minute, hour, weekday, day, month.
CALENDAR_SIZES = {"minute": 60, "hour": 24, "weekday": 7, "day": 32, "month": 13}


class FixedEmbedding(nn.Module):
    """A sinusoidal table that is not trained. Loading a model replaces it by the stored table."""

    def __init__(self, n_rows: int, d_model: int) -> None:
        super().__init__()
        angles = torch.outer(
            torch.arange(n_rows).float(), torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        )
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[:, :d_model]
        self.emb = nn.Embedding(n_rows, d_model, _weight=table, _freeze=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.emb(x)  # type: ignore[no-any-return]


class CalendarEmbedding(nn.Module):
    """The sum of one embedding per calendar field."""

    def __init__(self, d_model: int, learn_te: bool) -> None:
        super().__init__()
        for field, size in CALENDAR_SIZES.items():
            table = nn.Embedding(size, d_model) if learn_te else FixedEmbedding(size, d_model)
            self.add_module(f"{field}_embed", table)

    def forward(self, stamp: Tensor) -> Tensor:
        """Map stamp (B, T, C) to (B, T, D)."""
        fields = stamp.long().unbind(-1)
        embedded = [self.get_submodule(f"{name}_embed")(field) for name, field in zip(CALENDAR_SIZES, fields)]
        return torch.stack(embedded).sum(0)


class TokenEmbedding(nn.Module):
    """One vector for each pair of a coarse and a fine subtoken."""

    def __init__(self, s1_bits: int, s2_bits: int, d_model: int) -> None:
        super().__init__()
        self.emb_s1 = nn.Embedding(2**s1_bits, d_model)
        self.emb_s2 = nn.Embedding(2**s2_bits, d_model)
        self.fusion_proj = Linear(2 * d_model, d_model)
        self.scale = math.sqrt(d_model)

    def forward(self, s1_ids: Tensor, s2_ids: Tensor) -> Tensor:
        """Map s1_ids and s2_ids (B, T) to (B, T, D)."""
        pair = torch.cat([self.emb_s1(s1_ids), self.emb_s2(s2_ids)], dim=-1) * self.scale
        return self.fusion_proj(pair)  # type: ignore[no-any-return]
