"""Whether candles are enough to train on and to judge by, for a lookback and a horizon that are given or proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Split, split_candles
from kronos.data.audit import splits_to_json
from kronos.data.windows.splits import SplitName
from kronos.errors import DataError
from kronos.planning.evidence import MIN_INDEPENDENT_VAL, MIN_ORIGINS, count_independent_origins

SIZES = ((96, 24), (48, 12), (24, 6))  # lookback and horizon to propose: those that fit nano
RATIOS = {"train_ratio": 0.65, "val_ratio": 0.1, "test_ratio": 0.25}  # those of configs/demo.yaml

Level = Literal["enough", "little", "no_verdict", "none"]


@dataclass(frozen=True)
class Sufficiency:
    """The windows of a lookback and a horizon.

    proposed: whether nobody chose them. train: independent windows to train on. test: horizons held out for the verdict
    that do not overlap in time.
    """

    lookback: int
    horizon: int
    proposed: bool
    splits: Mapping[SplitName, Split]
    train: int
    test: int

    @property
    def level(self) -> Level:
        """enough: a verdict can be expected; little: it will show large effects only; no_verdict: too few origins."""
        if not self.splits:
            return "none"
        if self.test < MIN_ORIGINS:
            return "no_verdict"
        return "enough" if min(self.train, self.test) >= MIN_INDEPENDENT_VAL else "little"

    def to_json(self) -> dict[str, Any]:
        return {
            "lookback_window": self.lookback,
            "predict_window": self.horizon,
            "proposed": self.proposed,
            "windows": splits_to_json(self.splits),
            "independent": {"train": self.train, "test": self.test},
            "enough": self.level,
        }


def measure_sufficiency(candles: CandleSet, data: DataConfig, splits: Mapping[SplitName, Split]) -> Sufficiency:
    """Count the windows of a configuration's splits."""
    held_out = splits.get("test", splits.get("val"))
    n_test = count_independent_origins(candles, held_out, data) if held_out is not None else 0
    n_train = splits["train"].independent if "train" in splits else 0
    return Sufficiency(data.lookback_window, data.predict_window, False, splits, n_train, n_test)


def propose_sizes(candles: CandleSet, data: DataConfig) -> Sufficiency:
    """Return the longest lookback and horizon for which candles are enough, else those for which there is most evidence.

    A lookback or a horizon that was set is kept.
    """
    keys = ("lookback_window", "predict_window")
    given = {key: getattr(data, key) for key in keys if key in data.model_fields_set}
    best = None
    for size in SIZES:
        sizes = dict(zip(keys, size)) | given
        sized = data.override(RATIOS | sizes | {"max_context": sum(sizes.values())})
        try:
            splits = split_candles(candles, sized)
        except DataError:
            splits = {}
        found = measure_sufficiency(candles, sized, splits)
        found = Sufficiency(found.lookback, found.horizon, len(given) < len(keys), splits, found.train, found.test)
        if found.level == "enough":
            return found
        best = found if best is None or (found.test, found.train) > (best.test, best.train) else best
    assert best is not None
    return best
