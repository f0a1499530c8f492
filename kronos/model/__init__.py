"""The two networks. This package knows tensors only.

Shape legend, used in comments and docstrings throughout:
    B  batch                 T  time (candles)          F  candle features, 6
    C  calendar fields, 5    D  d_model                 H  attention heads
    K  head width, D / H     Q  code bits, s1_bits + s2_bits
    S  series                P  paths sampled from each series
"""

from kronos.model.base_model import BaseModelOutput, Kronos
from kronos.model.presets import PRESETS
from kronos.model.tokenizer import KronosTokenizer, TokenizerOutput

__all__ = ["PRESETS", "BaseModelOutput", "Kronos", "KronosTokenizer", "TokenizerOutput"]
