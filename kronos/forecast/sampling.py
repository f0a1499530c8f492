"""Drawing the next subtoken from its logits."""

import torch
from torch import Tensor

from kronos.errors import ConfigError
from kronos.model.base_model import sample_categorical


def check_sampling(temperature: float, top_k: int, top_p: float) -> None:
    """Check the sampling parameters.

    Raises:
        ConfigError: a value that means nothing.
    """
    if not (temperature > 0 and temperature != float("inf")):
        raise ConfigError(
            f"T (temperature) must be a positive number, got {temperature}; for greedy decoding use top_k=1."
        )
    if top_k < 0:
        raise ConfigError(f"top_k must be 0 (off) or a positive number of tokens, got {top_k}.")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p must lie in (0, 1], got {top_p}; 1 switches it off.")


def filter_logits(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Sharpen logits (..., V) by the temperature, then keep the top_k and, of those, the top_p tokens.

    top_p keeps the fewest tokens whose probabilities reach it together (arXiv 1904.09751, section 3.1);
    the most probable token always stays. top_k=0 and top_p=1 switch off.
    """
    logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        smallest_kept = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability_before = ordered.softmax(-1).cumsum(-1).roll(1, dims=-1)
        probability_before[..., 0] = 0
        dropped = (probability_before >= top_p).scatter(-1, order, probability_before >= top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits


def sample(logits: Tensor, temperature: float, top_k: int, top_p: float, generator: torch.Generator) -> Tensor:
    """Sample one token (B,) from logits (B, V)."""
    uniforms = torch.rand(logits.shape[:-1], generator=generator, device=generator.device).to(logits.device)
    return sample_categorical(filter_logits(logits.float(), temperature, top_k, top_p), uniforms)
