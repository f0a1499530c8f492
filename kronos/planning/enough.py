"""Whether candles are enough to train on and to judge by, for a lookback and a horizon that are given or proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Split, split_candles
from kronos.data.audit import splits_to_json
from kronos.data.windows.candle_set import DAY
from kronos.data.windows.splits import SplitName
from kronos.errors import DataError
from kronos.planning.evidence import MIN_INDEPENDENT_VAL, MIN_ORIGINS, count_independent_origins

Kind = Literal["daily", "minute", "crypto"]

# Lookbacks and horizons to propose, the longest first: from a year and a month of daily candles to two months and a week; from
# a trading day of A-shares in 5 minutes, or an hour of crypto in 1 minute, to half an hour or six minutes.
SIZES: dict[Kind, tuple[tuple[int, int], ...]] = {
    "daily": ((240, 20), (120, 20), (120, 10), (60, 10), (60, 5), (40, 5), (24, 6)),
    "minute": ((384, 48), (192, 48), (192, 24), (96, 24), (48, 12), (24, 6)),
    "crypto": ((360, 60), (240, 60), (240, 30), (120, 30), (96, 24), (48, 12), (24, 6)),
}
MAX_WINDOW = 512  # candles: the context of the published models
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


def find_kind(candles: CandleSet) -> Kind:
    """Return the kind of the candles, by the longest series: of a day or more, or of a market that closes or never does."""
    longest = max(candles.symbols, key=len)
    if longest.interval >= DAY:
        return "daily"
    return "crypto" if longest.never_closes else "minute"


def propose_sizes(candles: CandleSet, data: DataConfig, kind: Kind | None = None) -> Sufficiency:
    """Return the longest lookback and horizon for which candles are enough, else those for which there is most evidence.

    A lookback, a horizon or ratios that were set are kept; so is a context, which limits the proposals.
    """
    keys = ("lookback_window", "predict_window")
    given = {key: getattr(data, key) for key in keys if key in data.model_fields_set}
    ratios = {} if data.model_fields_set & {*RATIOS, "train_end"} else RATIOS
    limit = data.max_context if "max_context" in data.model_fields_set else MAX_WINDOW
    sizes = SIZES[kind or find_kind(candles)]
    best = None
    for size in [each for each in sizes if sum(each) <= limit] or sizes[-1:]:
        found = _measure(candles, data, ratios | dict(zip(keys, size)) | given, proposed=len(given) < len(keys))
        if found.level == "enough":
            return found
        best = found if best is None or _weigh(found) > _weigh(best) else best
    assert best is not None
    return best


def _measure(candles: CandleSet, data: DataConfig, values: dict[str, Any], proposed: bool) -> Sufficiency:
    window = values["lookback_window"] + values["predict_window"]
    sized = data.override(values | {"max_context": window})
    try:
        splits = split_candles(candles, sized)
    except DataError:
        splits = {}
    return replace(measure_sufficiency(candles, sized, splits), proposed=proposed)


def _weigh(found: Sufficiency) -> tuple[int, int, int]:
    """Return the evidence up to what is needed: more is not worth a shorter lookback."""
    return min(found.test, MIN_INDEPENDENT_VAL), min(found.train, MIN_ORIGINS), len(found.splits)
