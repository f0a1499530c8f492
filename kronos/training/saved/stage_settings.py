"""The settings that determine a stage's result, as its record keeps them."""

from typing import Any

from accelerate import PartialState

from kronos.config import Config
from kronos.config.affects import collect_weight_settings
from kronos.config.training import AUTO, LOSS_NAME, StageName
from kronos.data import CandleSet
from kronos.stage_record import GLOBAL_BATCH
from kronos.training.fit.precision import choose_precision, runs_on_cpu

# The hash of the candles stands for the keys of `data`, GLOBAL_BATCH for the batch size, tokenizer_hash for the next two. The blend
# is made after the stage.
RECORDED_OTHERWISE = {
    *("data.data_path", "data.query", "data.since", "data.until"),
    *("data.columns", "data.time_format", "data.decimal", "training.batch_size"),
    *("training.keep_worse_tokenizer", "model_paths.finetuned_tokenizer"),
    *("training.blend", "data.replay"),
}


COMPILE_KEY = "training.torch_compile"
CANDLES_KEY = "candles"  # the hash of the candles of a training
REPLAY_KEY = "data.replay"  # the hash of the windows of data.replay
HASH_LENGTH, EARLIER_LENGTH = 16, 12


def collect_settings(config: Config, stage: StageName, candles: CandleSet) -> dict[str, Any]:
    """Collect everything that determines a stage's result, by YAML name, to compare two runs."""
    settings = collect_weight_settings(config, stage)
    for key in RECORDED_OTHERWISE & settings.keys():
        del settings[key]
    if stage == "basemodel" and config.training.best_by == LOSS_NAME:
        del settings["data.max_context"]  # matters only if forecasts choose the best model
    if not config.data.replay:
        del settings["data.replay_share"]
    settings["training.precision"] = choose_precision(config)  # auto depends on the machine
    if settings[COMPILE_KEY] == AUTO and runs_on_cpu(config):
        settings[COMPILE_KEY] = False  # on a GPU it is settled when the stage starts
    settings[GLOBAL_BATCH] = config.training.batch_size * PartialState().num_processes
    settings[CANDLES_KEY] = hash_candles(candles)
    return settings


def take_choices(wanted: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """Return wanted settings; what is not chosen yet is taken as it was chosen earlier."""
    return wanted | {key: earlier[key] for key, value in wanted.items() if value == AUTO and key in earlier}


def hash_candles(candles: CandleSet) -> str:
    """Return a short hash that identifies the candles in a record."""
    return candles.content_hash()[:HASH_LENGTH]


def renew_candle_hashes(settings: dict[str, Any], wanted: dict[str, Any], candles: CandleSet) -> dict[str, Any]:
    """Return recorded settings in which the hashes of an earlier version are replaced, if they are of the same candles.

    Its hash of large candles depends on how they were read. It is taken as that of the same candles.

    Args:
        wanted: the settings as they would be recorded now, with these candles.
    """
    recorded = settings.get(CANDLES_KEY)
    if not isinstance(recorded, str) or len(recorded) != EARLIER_LENGTH:
        return settings
    if recorded != (candles.earlier_hash()[:EARLIER_LENGTH] or recorded):
        return settings
    return settings | {
        key: wanted[key] for key in (CANDLES_KEY, REPLAY_KEY) if {key} <= settings.keys() & wanted.keys()
    }


def describe_differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Format the settings that differ as "key old → new"; empty if none do."""
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return ", ".join(f"{key} {old.get(key)} → {new.get(key)}" for key in keys)
