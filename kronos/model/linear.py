"""The linear layer of both networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW_ROWS = 32
N_PARTS = 8


class Linear(nn.Linear):
    """nn.Linear, faster for the few rows of a decoding step on a CPU: the product is split between the threads.

    BLAS computes a product of few rows in one thread, but spreads a batch of such products over all threads
    (benchmarks/forecast.py). The parameters are those of nn.Linear; results differ only by rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
            return super().forward(x)
        n_rows = x.numel() // self.in_features
        if not 0 < n_rows <= FEW_ROWS or not self._can_be_split(x):
            return super().forward(x)
        rows = x.reshape(1, n_rows, -1).expand(N_PARTS, -1, -1)
        parts = self.weight.view(N_PARTS, -1, self.in_features).mT
        if self.bias is None:
            products = torch.bmm(rows, parts)
        else:
            products = torch.baddbmm(self.bias.view(N_PARTS, 1, -1), rows, parts)
        return products.transpose(0, 1).reshape(*x.shape[:-1], -1)

    @property
    def splits_few_rows(self) -> bool:
        """Whether the product of few rows is split between the threads on a CPU."""
        return self.out_features % N_PARTS == 0 and type(self.weight) is nn.Parameter

    def _can_be_split(self, x: Tensor) -> bool:
        return self.splits_few_rows and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def project(x: Tensor, *layers: nn.Module) -> tuple[Tensor, ...]:
    """Return what layers (D → D') make of the same x (…, D): on a GPU in one product, which is faster there.

    Layers of another kind, such as those of LoRA, compute one by one.
    """
    plain = [layer for layer in layers if type(layer) is Linear]
    if len(plain) < len(layers) or not multiplies_together(x.device):
        return tuple(layer(x) for layer in layers)
    bias = None if plain[0].bias is None else torch.cat([layer.bias for layer in plain])
    products = F.linear(x, torch.cat([layer.weight for layer in plain]), bias)
    return products.split([layer.out_features for layer in plain], dim=-1)  # type: ignore[no-any-return, no-untyped-call]


def multiplies_together(device: torch.device) -> bool:
    """Whether one large product beats several smaller ones on a device."""
    return device.type != "cpu"
