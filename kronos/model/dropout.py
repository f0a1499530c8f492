"""The dropout of both networks."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """nn.Dropout, but on a CPU the mask is made from uniform numbers, which PyTorch draws faster than Bernoulli ones."""

    def forward(self, x: Tensor) -> Tensor:
        idle = not self.training or self.p in (0, 1)
        if idle or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        kept = torch.rand(x.shape) >= self.p
        return x * (kept / (1 - self.p)).to(x.dtype)
