"""From a file of candles to batches of normalised windows."""

from kronos.data.normalize import Statistics
from kronos.data.read import Candles, read_candles
from kronos.data.windows import Split, WindowDataset, split_rows

__all__ = ["Candles", "Split", "Statistics", "WindowDataset", "read_candles", "split_rows"]
