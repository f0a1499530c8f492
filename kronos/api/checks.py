"""The audit of candles as Python and notebooks show it."""

import html
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kronos.api.candles import Candles, name_sources
from kronos.api.options import name_keys, take_sizes
from kronos.api.session import called_from_python
from kronos.config import Config
from kronos.config.changes import check_changes
from kronos.config.load import build_reading_config
from kronos.config.schema import Language
from kronos.planning.check import Check, check_candles
from kronos.planning.enough import Sufficiency
from kronos.report.check import write_check
from kronos.report.words.catalogue import Words

ALLOWED = ("data.", "repairs.", "report.language")


@dataclass(frozen=True, repr=False)
class CheckedCandles:
    """What was understood of candles, what is wrong with them, and whether they are enough.

    check: all values: findings, the first and last candles as read, and the windows of a lookback and a horizon.
    """

    check: Check
    config: Config

    @property
    def is_usable(self) -> bool:
        """Whether a run can be trained on the candles."""
        return self.enough is not None and self.enough.level != "none"

    @property
    def enough(self) -> Sufficiency | None:
        """The lookback and the horizon that fit the candles, and their windows; None if the candles have errors."""
        return self.check.enough

    def to_frame(self) -> pd.DataFrame:
        """Return the findings: a row each, with its severity, kind, symbol, source, places, count, text and remedy."""
        columns = ("severity", "kind", "symbol", "source", "places", "count", "text", "remedy")
        rows = [[getattr(finding, name) for name in columns] for finding in self.check.audited.findings]
        return pd.DataFrame(rows, columns=list(columns))

    def write(self, language: Language | None = None) -> str:
        """Return the results as `kronos check` prints them."""
        return write_check(self.check, self.config, Words(language or self.config.report.language))

    def __repr__(self) -> str:
        return self.write()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.write())}</pre>"


def check(data: Candles, *, lookback: int | None = None, horizon: int | None = None, **options: Any) -> CheckedCandles:
    """Read candles, and find what is wrong with them and whether they are enough to train on.

    Args:
        data: candles: a path, a URL or several of them; a frame; or a dict with a frame for each symbol.
        lookback, horizon: in candles; by default proposed.
        options: keys of the sections data and repairs, for example timezone="Asia/Shanghai" or gaps="fill"; and language="zh".

    Raises:
        DataError: there is no such file. What is wrong within files is in the result. ConfigError: an option is wrong.
    """
    with called_from_python(), tempfile.TemporaryDirectory(prefix="kronos-") as folder:  # for frames
        named = name_keys(options)
        check_changes(named, ALLOWED, "a check does not depend on this key")
        sizes = take_sizes(named, lookback, horizon)
        sources = {"data.data_path": name_sources(data, Path(folder))}
        config = build_reading_config([]).override(named | sizes | sources, "check")
        return CheckedCandles(check_candles(config, with_splits=False), config)
