"""From files of candles to batches of normalised windows."""

from kronos.data.candle_set import CandleSet
from kronos.data.load import load_candles, read_candles, read_frames
from kronos.data.normalize import Statistics
from kronos.data.splits import Split, split_candles
from kronos.data.windows import WindowDataset

__all__ = [
    "CandleSet",
    "Split",
    "Statistics",
    "WindowDataset",
    "load_candles",
    "read_candles",
    "read_frames",
    "split_candles",
]
