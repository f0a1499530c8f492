"""From files of candles to batches of normalised windows."""

from kronos.data.files.options import ReadingOptions
from kronos.data.frames import save_candles
from kronos.data.windows.candle_set import CandleSet
from kronos.data.windows.dataset import WindowDataset
from kronos.data.windows.load import load_candles, read_candles, read_frames
from kronos.data.windows.normalize import Statistics
from kronos.data.windows.splits import Split, split_candles

__all__ = [
    "CandleSet",
    "ReadingOptions",
    "Split",
    "Statistics",
    "WindowDataset",
    "load_candles",
    "read_candles",
    "read_frames",
    "save_candles",
    "split_candles",
]
