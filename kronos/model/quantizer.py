"""Binary spherical quantization (arXiv 2406.07548), and conversion between its codes and integers."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def bits_to_indices(codes: Tensor) -> Tensor:
    """Convert codes (..., n_bits) to integers (...): bit i, least significant first, is 1 if entry i is positive."""
    place_values = 2 ** torch.arange(codes.shape[-1], device=codes.device)
    return ((codes > 0) * place_values).sum(-1)


def indices_to_bits(indices: Tensor, n_bits: int) -> Tensor:
    """Convert integers (...) to ±1 codes (..., n_bits); the inverse of `bits_to_indices`."""
    places = torch.arange(n_bits, device=indices.device)
    # Functions instead of the operators, which ONNX does not know.
    return torch.bitwise_and(torch.bitwise_right_shift(indices.unsqueeze(-1), places), 1).float() * 2 - 1


def bernoulli_entropy(p: Tensor) -> Tensor:
    """Return the entropy in nats of bits that are 1 with probability p; finite also at 0 and 1."""
    return -(p * (p + 1e-8).log() + (1 - p) * (1 - p + 1e-8).log())


def mean_over_ranks(x: Tensor) -> Tensor:
    """Replace x by its mean over the ranks. The gradient of each rank is that of its own share.

    The codebook entropy is not linear in the batch. For N ranks to equal one, averaging the gradients is therefore not
    enough: every rank needs the bit probabilities of the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return x + (total / dist.get_world_size() - x).detach()


class _Bases(nn.Module):
    """Two constant buffers that published tokenizer files contain. They are not used in any computation."""

    def __init__(self, n_bits: int, group_size: int) -> None:
        super().__init__()
        self.register_buffer("basis", 2 ** torch.arange(n_bits - 1, -1, -1))
        self.register_buffer("group_basis", 2 ** torch.arange(group_size - 1, -1, -1))


class BinarySphericalQuantizer(nn.Module):
    """Project onto the unit sphere and round to the nearest corner of the inscribed hypercube."""

    def __init__(self, n_bits: int, beta: float, gamma0: float, gamma: float, zeta: float, group_size: int) -> None:
        super().__init__()
        if n_bits % group_size:
            raise ValueError(f"group_size must divide s1_bits + s2_bits, got {group_size} and {n_bits}")
        self.beta, self.gamma0, self.gamma, self.zeta = beta, gamma0, gamma, zeta
        self.scale = n_bits**-0.5
        self.bsq = _Bases(n_bits, group_size)

    def forward(self, z: Tensor, bit_mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantize z (B, T, Q) with a straight-through gradient.

        Args:
            bit_mean: (Q,) from `measure` over the whole batch, if z is only a part of it.

        Returns:
            codes (B, T, Q), entries ±1/sqrt(Q), and the scalar loss: commitment (BSQ eq. 6, times beta) plus
            zeta times the entropy penalty (BSQ eq. 9).
        """
        z = F.normalize(z, dim=-1)
        codes = self.quantize(z)
        commitment = self.beta * (codes - z).square().sum(-1).mean()
        p = self._probabilities(z)
        sample_entropy = bernoulli_entropy(p).sum(-1).mean()
        own_mean = p.mean(dim=(0, 1))
        if bit_mean is not None:
            own_mean = own_mean + (bit_mean - own_mean).detach()
        elif self.training:
            own_mean = mean_over_ranks(own_mean)
        codebook_entropy = bernoulli_entropy(own_mean).sum()
        loss = commitment + self.zeta * (self.gamma0 * sample_entropy - self.gamma * codebook_entropy)
        # The published weights were trained with the straight-through gradient taken before the scaling to the sphere.
        return codes + self.scale * (z - z.detach()), loss

    def measure(self, z: Tensor) -> Tensor:
        """Return the mean probability (Q,) of each bit over z (B, T, Q). The codebook term is the entropy of these."""
        return self._probabilities(F.normalize(z, dim=-1)).mean(dim=(0, 1))

    def _probabilities(self, z: Tensor) -> Tensor:
        return torch.sigmoid(-4 * self.scale * z)

    def quantize(self, z: Tensor) -> Tensor:
        """Return the codes (…, Q) nearest to z (…, Q), without a gradient."""
        return torch.where(z.detach() > 0, self.scale, -self.scale).to(z.dtype)
