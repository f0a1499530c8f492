"""The audit of candles as Python and notebooks show it."""

import html
from dataclasses import dataclass
from typing import Any

from kronos.api.options import name_keys
from kronos.api.tasks import Candles, name_sources
from kronos.config import Config
from kronos.config.load import build_reading_config
from kronos.config.schema import Language
from kronos.planning.check import Check, check_candles
from kronos.report.check import write_check
from kronos.report.words.catalogue import Words


@dataclass(frozen=True, repr=False)
class CheckedCandles:
    """What was understood of candles, what is wrong with them, and whether they are enough.

    check: all values: findings, the first and last candles as read, and the windows of a proposed lookback and horizon.
    """

    check: Check
    config: Config

    @property
    def is_usable(self) -> bool:
        """Whether a run can be trained on the candles."""
        return not self.check.broken and self.check.enough is not None and self.check.enough.level != "none"

    def write(self, language: Language = "en") -> str:
        """Return the results as `kronos check` prints them."""
        return write_check(self.check, self.config, Words(language))

    def __repr__(self) -> str:
        return self.write()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.write())}</pre>"


def check(data: Candles, **options: Any) -> CheckedCandles:
    """Read candles, and find what is wrong with them.

    Args:
        data: a frame of candles, one for each symbol, or files, folders, globs or URLs of them.
        options: keys of the sections data and repairs, for example timezone="Asia/Shanghai" or gaps="fill".

    Raises:
        DataError: there is no such file. What is wrong within files is in the result.
    """
    config = build_reading_config([]).override(name_keys(options))
    config = config.override({"data.data_path": name_sources(data, config)})
    return CheckedCandles(check_candles(config, with_splits=False), config)
