"""What the configuration says about fetching candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from kronos.config.data import DataConfig


@dataclass(frozen=True)
class FetchOptions:
    """How candles are fetched; the keys of `data` with these names.

    cache_dir: the folder to fetch into. query: the SQL for a database. since, until: the first and the last day or local
    time to use. columns: our name of a column to the file's. refetch: whether to fetch again what was fetched before this
    process began. external_access: whether a query may read other files.
    """

    cache_dir: Path = field(default_factory=lambda: Path("~/.cache/kronos").expanduser())
    query: str | None = None
    since: date | datetime | None = None
    until: date | datetime | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    refetch: bool = False
    external_access: bool = False

    @classmethod
    def of(cls, data: DataConfig) -> FetchOptions:
        """Return the options of a configuration."""
        return cls(
            *(data.cache_dir, data.query, data.since, data.until, data.columns, data.refetch, data.external_access)
        )
