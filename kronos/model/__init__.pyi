from .base_model import BaseModelOutput as BaseModelOutput
from .base_model import Kronos as Kronos
from .presets import PRESETS as PRESETS
from .tokenizer import KronosTokenizer as KronosTokenizer
from .tokenizer import TokenizerOutput as TokenizerOutput
