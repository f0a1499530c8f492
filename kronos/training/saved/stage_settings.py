"""The settings that determine a stage's result, as its record keeps them."""

from typing import Any

from accelerate import PartialState

from kronos.config import Config
from kronos.config.training import LOSS_NAME, StageName
from kronos.data import CandleSet
from kronos.stage_record import GLOBAL_BATCH
from kronos.training.fit.precision import choose_precision


def collect_settings(config: Config, stage: StageName, candles: CandleSet) -> dict[str, Any]:
    """Collect everything that determines a stage's result, by YAML name, to compare two runs."""
    own, other = ("tokenizer", "predictor") if stage == "tokenizer" else ("predictor", "tokenizer")
    forecasts = stage == "basemodel" and config.training.best_by != LOSS_NAME
    without_effect = {
        "training": {
            "epochs",
            "log_interval",
            "save_steps",
            "save_total_limit",
            "auto_find_batch_size",
            "token_cache",
            "gradient_checkpointing",
            "keep_worse_tokenizer",
            "best_by" if stage == "tokenizer" else "",
            "lora" if stage == "tokenizer" else "",
            f"freeze_{'basemodel' if stage == 'tokenizer' else 'tokenizer'}",
            "num_workers",
            "batch_size",
            "accumulation_steps",
            f"{other}_learning_rate",
            "basemodel_epochs" if stage == "tokenizer" else "tokenizer_epochs",
        },
        "data": {"data_path", "columns", "" if forecasts else "max_context", "cache_dir"},
        "repairs": set(),
    }
    settings: dict[str, Any] = {
        f"{section}.{key}": value
        for section, excluded in without_effect.items()
        for key, value in getattr(config, section).model_dump(mode="json", exclude=excluded).items()
    }
    settings[f"model_paths.pretrained_{own}"] = getattr(config.model_paths, f"pretrained_{own}")
    settings[f"experiment.pre_trained_{own}"] = getattr(config.experiment, f"pre_trained_{own}")
    settings["training.precision"] = choose_precision(config)  # auto depends on the machine
    settings[GLOBAL_BATCH] = config.training.batch_size * PartialState().num_processes
    settings["candles"] = hash_candles(candles)
    return settings


def hash_candles(candles: CandleSet) -> str:
    """Return a short hash that identifies the candles in a record."""
    return candles.content_hash()[:12]


def describe_differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Format the settings that differ as "key old → new"; empty if none do."""
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return ", ".join(f"{key} {old.get(key)} → {new.get(key)}" for key in keys)
