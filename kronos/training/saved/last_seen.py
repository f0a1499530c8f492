"""The last candle that a run has trained or validated on: an evaluation on other candles begins after it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kronos.config import Config
from kronos.data import CandleSet, Split
from kronos.data.windows.splits import SplitName
from kronos.files import find_sealed
from kronos.run_folder import RunFolder

SEEN_UNTIL = "seen_until"  # key in data.json: the last instant trained or validated on, microseconds since 1970


def find_seen_in_all(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split], skip_existing: bool) -> int:
    """Return what `find_last_seen` does, or a later instant that a pretrained or a kept model was trained on."""
    seen = max([find_last_seen(config, candles, splits), *_find_seen_before(config)])
    if skip_existing or not (config.experiment.train_tokenizer and config.experiment.train_basemodel):
        seen = max(seen, read_last_seen(config) or seen)  # a kept model may have seen other candles
    return seen


def find_last_seen(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split]) -> int:
    """Return the instant of the last candle that a run trains or validates on, microseconds since 1970."""
    seen = [splits[name].starts for name in ("train", "val")]
    last = [
        (each.first + (each.count - 1) * each.stride)[each.count > 0] for each in seen
    ]  # the latest of each stretch
    return int(candles.instants[np.concatenate(last) + config.data.window - 1].max())


def read_last_seen(config: Config) -> int | None:
    """Return the instant of the last candle that a run was trained or validated on, or None if it is not recorded."""
    return read_last_seen_of(config.model_paths.run_folder)


def read_last_seen_of(run: RunFolder) -> int | None:
    """Return what `read_last_seen` does, for the folder of a run."""
    seen = (find_sealed(run.audit) or {}).get(SEEN_UNTIL)
    return seen if isinstance(seen, int) else None


def _find_seen_before(config: Config) -> list[int]:
    """Return the last instants that pretrained models of other runs ({run}/{stage}/best_model) were trained on."""
    on, paths = config.experiment, config.model_paths
    sources = [
        Path(source)
        for source, used in (
            (paths.pretrained_tokenizer, on.pre_trained_tokenizer),
            (paths.pretrained_predictor, on.pre_trained_predictor),
        )
        if source and used
    ]
    recorded = [read_last_seen_of(RunFolder.of_model(source)) for source in sources if source.is_dir()]
    return [seen for seen in recorded if seen is not None]
