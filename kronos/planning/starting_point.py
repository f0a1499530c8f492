"""Choose the settings that a training on candles starts from: `kronos init`, and the files in configs/ that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kronos.config.recipes import RECIPES
from kronos.data import CandleSet
from kronos.planning.enough import MAX_WINDOW, RATIOS, SIZES, Sufficiency, find_kind
from kronos.planning.foresee import FORWARD_SHARE
from kronos.saved_run import choose_context, find_tokenizer_of

Case = Literal["daily", "minute", "crypto", "many"]


class TypicalCandles(NamedTuple):
    """Candles of a case where no file is given: how many each symbol has, and a lookback and a horizon that they allow."""

    candles: int
    symbols: int
    lookback: int
    horizon: int


EXAMPLES: dict[Case, TypicalCandles] = {
    "daily": TypicalCandles(1_200, 1, 60, 10),  # five years
    "minute": TypicalCandles(20_000, 1, 384, 48),  # 5 minutes: 20 months of A-shares
    "crypto": TypicalCandles(43_200, 1, 360, 60),  # 1 minute: 30 days
    "many": TypicalCandles(1_200, 100, 120, 10),
}


class Costs(NamedTuple):
    """Of a published model: gigabytes to train it, and tokens a second on two CPU cores (README.md)."""

    gigabytes: float
    cpu_tokens: int


COSTS = {"Kronos-mini": Costs(1.3, 3_600), "Kronos-small": Costs(2.6, 1_100), "Kronos-base": Costs(5.9, 480)}
ON_CPU, ON_GPU = "NeoQuasar/Kronos-mini", "NeoQuasar/Kronos-small"
BATCH = {ON_CPU: 16, ON_GPU: 32}


@dataclass(frozen=True)
class StartingPoint:
    """The settings to start from, and what they rest on.

    case: what the candles are like. model: the base model. values: the sections of the configuration. n_candles: of one symbol
    on average. minutes: of the training on two CPU cores; None if the model's speed is not known. on_gpu: whether there is a GPU.
    """

    case: Case
    model: str
    values: dict[str, Any]
    n_candles: int
    n_symbols: int
    minutes: float | None
    on_gpu: bool = False

    @property
    def costs(self) -> Costs | None:
        return COSTS.get(name_base(self.model))

    @property
    def sizes(self) -> tuple[int, int]:
        """The lookback and the horizon."""
        return self.values["data"]["lookback_window"], self.values["data"]["predict_window"]


def name_base(model: str) -> str:
    """Return the last part of a hub name or folder."""
    return Path(model).name.partition("@")[0]


def find_case(candles: CandleSet) -> Case:
    """Return the case that candles are."""
    return "many" if len(candles.symbols) > 1 else find_kind(candles)


def start_from(
    case: Case,
    model: str,
    data_path: list[str],
    name: str,
    on_gpu: bool = False,
    candles: CandleSet | None = None,
    enough: Sufficiency | None = None,
) -> StartingPoint:
    """Choose the settings for candles, or for the example of a case.

    Args:
        data_path: the candles, as the configuration names them.
        name: of the run's folder.
        on_gpu: whether there is a GPU.
        candles, enough: what was read, and the lengths proposed for it; None: the example's.

    Raises:
        ConfigError: the tokenizer of the model is not known.
    """
    example, context = EXAMPLES[case], choose_context(model)
    lookback, horizon = (enough.lookback, enough.horizon) if enough else _fit(example, case, context)
    n_symbols = len(candles.symbols) if candles else example.symbols
    n_candles = len(candles) // n_symbols if candles else example.candles
    data: dict[str, Any] = {"data_path": data_path if len(data_path) > 1 else data_path[0]}
    data |= {"lookback_window": lookback, "predict_window": horizon}
    data |= {"max_context": min(max(MAX_WINDOW, lookback + horizon), context)}
    data |= RATIOS | ({"balance_symbols": True} if case == "many" else {})
    paths = {"pretrained_tokenizer": find_tokenizer_of(model), "pretrained_predictor": model}
    values = {
        "recipe": "safe",
        "data": data,
        "training": {"batch_size": BATCH.get(model, 16), "log_interval": 10},
        "model_paths": paths | {"exp_name": name, "base_path": "finetuned"},
        "experiment": {"name": name},
        "evaluation": {"budget_minutes": 10},
    }
    minutes = _estimate_minutes(model, lookback, horizon, n_candles * n_symbols)
    return StartingPoint(case, model, values, n_candles, n_symbols, minutes, on_gpu)


def _fit(example: TypicalCandles, case: Case, context: int) -> tuple[int, int]:
    """Return the lengths of an example, or the longest usual ones that fit into the context of the model."""
    usual = SIZES["daily" if case == "many" else case]
    return next(size for size in ((example.lookback, example.horizon), *usual) if sum(size) <= context)


def _estimate_minutes(model: str, lookback: int, horizon: int, n_candles: int) -> float | None:
    """Estimate the training with `recipe: safe`: its epochs, each of the horizons that do not overlap, and the validations."""
    costs = COSTS.get(name_base(model))
    if costs is None:
        return None
    safe = RECIPES["safe"]
    train = n_candles * RATIOS["train_ratio"] / horizon
    val = min(n_candles * RATIOS["val_ratio"], safe["data.val_windows"])
    tokens = (train + FORWARD_SHARE * val) * (lookback + horizon) * safe["training.epochs"]
    return float(tokens / costs.cpu_tokens / 60)
