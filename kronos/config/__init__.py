"""The configuration: one YAML file, typed and checked."""

from kronos.config.load import load_config
from kronos.config.schema import Config

__all__ = ["Config", "load_config"]
