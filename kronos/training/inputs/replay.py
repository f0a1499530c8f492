"""Train on windows of other candles too (data.replay), so that the model forgets less of what it knew."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from kronos.candles import Array
from kronos.config import Config
from kronos.config.data import DataConfig
from kronos.data import CandleSet, WindowDataset
from kronos.data.audit import describe_candles
from kronos.data.windows.dataset import Batch
from kronos.data.windows.load import Audited
from kronos.data.windows.splits import windows_before
from kronos.errors import DataError
from kronos.urls import DATABASE, Url

logger = logging.getLogger(__name__)


class ReplayDataset(WindowDataset):
    """A run's own train windows, and behind them windows of other candles, which only the sampler knows of.

    Its length is the number of its own windows: they decide how long an epoch is. The windows of other candles have the
    numbers from there on. Their entry "window" continues after the rows of the own candles: a row names one window only.
    """

    def __init__(self, own: WindowDataset, other: WindowDataset) -> None:
        super().__init__(own.candles, own.starts, own.config, own.symbol_bounds)
        self.own, self.other = own, other

    def __reduce__(self) -> tuple[object, ...]:
        return ReplayDataset, (self.own, self.other)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        numbers = np.asarray(indices)
        is_own = numbers < len(self)
        own = self.own.__getitems__(numbers[is_own].tolist())
        other = self.other.__getitems__((numbers[~is_own] - len(self)).tolist())
        other["window"] = other["window"] + len(self.candles)
        order = np.argsort(np.concatenate([np.flatnonzero(is_own), np.flatnonzero(~is_own)]))
        batch: Batch = {key: torch.cat([own[key], other[key]])[order] for key in own if key != "window"}
        return batch | {"window": np.concatenate([own["window"], other["window"]])[order]}

    def with_many_origins(self) -> "ReplayDataset":
        return ReplayDataset(self.own.with_many_origins(), self.other.with_many_origins())

    def content_hash(self) -> str:
        return f"{self.own.content_hash()} {self.other.content_hash()}"

    def describe(self, rows: Array) -> str:
        is_own = rows < len(self.candles)
        parts = [self.own.describe(rows[is_own]), self.other.describe(rows[~is_own] - len(self.candles))]
        return ", ".join(filter(None, parts))


def list_parts(windows: WindowDataset) -> list[WindowDataset]:
    """Return the run's own windows and those of data.replay, if there are any."""
    return [windows.own, windows.other] if isinstance(windows, ReplayDataset) else [windows]


def _name_candles(data: DataConfig) -> dict[str, object]:
    """Return the keys that name the candles of data.replay; data.since and data.until are those of data.data_path."""
    of_database = any(isinstance(each, Url) and each.scheme == DATABASE for each in data.replay)
    query = data.query if of_database else None
    return {"data.data_path": list(data.replay), "data.query": query, "data.since": None, "data.until": None}


def load_replay(config: Config, load: Callable[[Config], Audited]) -> CandleSet:
    """Load the candles of data.replay as those of a run are loaded.

    Raises:
        DataError: a file is missing, or there are errors in it.
    """
    try:
        candles = load(config.override(_name_candles(config.data))).candles
    except DataError as error:
        raise DataError("data.replay: {error}", error=str(error).replace("data.data_path", "data.replay")) from None
    logger.info("data.replay: %s", describe_candles(candles))
    return candles


def add_replay(train: WindowDataset, other: CandleSet, moment: int) -> ReplayDataset:
    """Add all windows of other candles that end before an instant to a run's train windows.

    Args:
        moment: when the validation split begins. Later candles of other symbols would tell what the market did then.

    Raises:
        DataError: there are no such windows, or a symbol of the other candles is held out.
    """
    config = train.config
    held_out = {*config.val_symbols, *config.test_symbols}
    if clash := sorted(held_out & {symbol.symbol for symbol in other.symbols}):
        raise DataError(
            "data.replay has the symbols {symbols}, which data.val_symbols or data.test_symbols hold out. Remove their files "
            "from data.replay.",
            symbols=", ".join(clash),
        )
    split = windows_before(other, config, moment)
    if not len(split):
        raise DataError(
            "data.replay: no window of {window} candles ends before the validation split begins ({moment}). Candles "
            "from then on are not replayed, because they would tell what the market did in the held-out time. Give earlier candles.",
            window=config.window,
            moment=np.datetime64(moment, "us").astype("datetime64[m]").item(),
        )
    logger.info(
        "data.replay: %s windows that end before the validation split; %s of the train windows of an epoch are drawn from them",
        *(f"{len(split):,}", f"{config.replay_share:.0%}"),
    )
    return ReplayDataset(train, WindowDataset(other, split.starts, config, split.symbol_bounds))
