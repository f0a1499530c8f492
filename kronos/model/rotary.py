"""Rotary position embedding."""

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Rotary position embedding, half-split convention (arXiv 2104.09864, eq. 34)."""

    inv_freq: Tensor

    def __init__(self, head_width: int, base: float = 10000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.register_buffer("inv_freq", base**-exponents)  # saved, because published files contain it

    def compute_table(self, n_positions: int, like: Tensor, first_position: int | Tensor = 0) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines, (T, K) or (B, 1, T, K), for `rotate_halves`; dtype and device of `like`.

        Args:
            first_position: of n_positions in a row; (B,) or one number.
        """
        positions = torch.arange(n_positions, device=like.device)
        if isinstance(first_position, Tensor):
            first_position = first_position[:, None, None]  # (B, 1, 1)
        angles = (positions + first_position).float().unsqueeze(-1) * self.inv_freq.float()  # (…, T, K/2)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], dim=-1).to(like.dtype), torch.cat([-sin, sin], dim=-1).to(like.dtype)


class RotaryGroups:
    """Numbers rotary embeddings: those with the same frequencies have the same number, and can share their tables."""

    def __init__(self) -> None:
        self._first: list[RotaryEmbedding] = []  # of each number
        self._numbers: dict[int, int] = {}  # from id

    def number_of(self, rotary: RotaryEmbedding) -> int:
        if id(rotary) not in self._numbers:
            same = (i for i, first in enumerate(self._first) if torch.equal(first.inv_freq, rotary.inv_freq))
            number = self._numbers[id(rotary)] = next(same, len(self._first))
            self._first[number:] = self._first[number:] or [rotary]
        return self._numbers[id(rotary)]


def rotate_halves(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotate x (…, T, K) by tables (…, T, K): with halves x1 and x2, return [x1 cos − x2 sin, x2 cos + x1 sin]."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), signed_sin)
