"""The two networks. This package knows tensors only.

Shape legend, used in comments and docstrings throughout:
    B  batch                 T  time (candles)          F  candle features, 6
    C  calendar fields, 5    D  d_model                 H  attention heads
    K  head width, D / H     Q  code bits, s1_bits + s2_bits
    S  series                P  paths sampled from each series

Its names are in __init__.pyi and are imported when they are first used: who reads the record of a model
(stored/identity.py) should not wait for PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
