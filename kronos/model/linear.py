"""The linear layer of both networks."""

import torch
from torch import Tensor, nn

FEW_ROWS = 32
N_PARTS = 8


class Linear(nn.Linear):
    """nn.Linear; while decoding on a CPU, where a step has few rows, the product is shared between the threads.

    BLAS computes a product of a few rows in one thread; a batch of such products it spreads over all of them
    (benchmarks/forecast.py). Parameters and results, but for rounding, are nn.Linear's.
    """

    def forward(self, x: Tensor) -> Tensor:
        n_rows = x.numel() // self.in_features
        if not (torch.is_inference_mode_enabled() and n_rows <= FEW_ROWS and self._can_be_split(x)):
            return super().forward(x)
        rows = x.reshape(1, n_rows, -1).expand(N_PARTS, -1, -1)
        parts = self.weight.view(N_PARTS, -1, self.in_features).mT
        product = torch.bmm(rows, parts).transpose(0, 1).reshape(*x.shape[:-1], -1)
        return product if self.bias is None else product + self.bias

    def _can_be_split(self, x: Tensor) -> bool:
        on_cpu = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
        return on_cpu and self.out_features % N_PARTS == 0 and type(self.weight) is nn.Parameter
