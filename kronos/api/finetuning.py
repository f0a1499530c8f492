"""Fine-tune a model."""

import os
from os import PathLike
from pathlib import Path
from typing import Any

from kronos.api.candles import FRAMES, Candles, name_sources
from kronos.api.options import check_path, name_keys, take, take_sizes
from kronos.api.runs import Run
from kronos.api.session import called_from_python, writing_log
from kronos.config import Config
from kronos.config.load import build_config
from kronos.config.recipes import RecipeName
from kronos.config.section import set_key
from kronos.errors import ConfigError
from kronos.model import PRESETS
from kronos.planning.check import check_candles
from kronos.planning.enough import RATIOS
from kronos.run import run_training
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.saved_run import choose_context, find_tokenizer_of, load_run_config

NAME = "finetune"  # where options are given, for errors
N_SIZES = 2  # lookback and horizon
Model = str | PathLike[str]


def finetune(
    data: Candles,
    model: Model = "nano",
    *,
    tokenizer: Model | None = None,
    lookback: int | None = None,
    horizon: int | None = None,
    recipe: RecipeName = "safe",
    out: str | PathLike[str] = "finetuned/my_run",
    resume: bool = False,
    **options: Any,
) -> Run:
    """Fine-tune a model on candles, and evaluate it on held-out ones.

    Args:
        data: candles: a path, a URL or several of them; a frame; or a dict with a frame for each symbol.
        model: the base model to start from: a folder, an earlier run, a hub name such as "NeoQuasar/Kronos-small", or "nano".
        tokenizer: by default the one that belongs to the model.
        lookback, horizon: in candles; by default proposed as `check` does.
        recipe: named settings: "safe", "full" or "published".
        out: the folder of the run. Stages that an earlier run has left there are moved aside.
        resume: skip finished stages of an earlier run there, and resume an interrupted one.
        options: any key of the configuration: epochs=3, training={"epochs": 3} or **{"training.epochs": 3}.

    Raises:
        ConfigError: an option is wrong. DataError: the candles are unusable. CheckpointError: a model cannot be loaded.
        WriteError: a folder cannot be written. KronosError: another process uses the run.
        KeyboardInterrupt: training was interrupted, and has left a checkpoint.
    """
    with called_from_python():
        given = name_keys(options)
        sizes = take_sizes(given, lookback, horizon)
        model = take(given, "model_paths.pretrained_predictor", "model", None if model == "nano" else model) or model
        tokenizer = take(given, "model_paths.pretrained_tokenizer", "tokenizer", tokenizer)
        check_path("model", model)
        if tokenizer is not None:
            check_path("tokenizer", tokenizer)
        check_path("out", out)
        if "data.data_path" in given:
            raise ConfigError("data.data_path: the candles are given already, as data. Remove this option.")
        defaults = {"recipe": recipe, **_name_models(model, tokenizer), **_place(Path(out))}
        config = _build_config(data, defaults | given, sizes)
        if config.device.device_id:
            raise ConfigError(
                "device.device_id is {n}, but a Python process trains on the first GPU that it sees. Set "
                "CUDA_VISIBLE_DEVICES={n} before Python starts, and remove device_id.",
                n=config.device.device_id,
            )
        run = config.model_paths.run_folder
        with lock_run_folder(run), writing_log(run.log):
            run_training(config, resume or config.experiment.skip_existing)
        return Run(run.path)


def _name_models(model: Model, tokenizer: Model | None) -> dict[str, Any]:
    folder, context = Path(model).expanduser(), None
    if RunFolder(folder).config.is_file():
        config = load_run_config(folder)
        model, context = config.model_paths.run_folder.basemodel.best_model, config.data.max_context
    name = os.fspath(model)
    if tokenizer is None:
        tokenizer = name if name in PRESETS else find_tokenizer_of(name)
    return {
        "model_paths.pretrained_predictor": name,
        "model_paths.pretrained_tokenizer": os.fspath(tokenizer),
        "data.max_context": choose_context(name, context),
    }


def _place(out: Path) -> dict[str, Any]:
    return {"model_paths.base_path": out.parent, "model_paths.exp_name": out.name}


def _build_config(data: Candles, values: dict[str, Any], sizes: dict[str, int]) -> Config:
    """Build the configuration of a training; a lookback or horizon that is not given is proposed."""
    ratios = {f"data.{key}": share for key, share in RATIOS.items()}
    values = values | sizes | ({} if values.keys() & ratios.keys() else ratios)
    config = _build(values | {"data.data_path": ["*"]})  # checks the options before it reads candles
    values["data.data_path"] = name_sources(data, config.data.cache_dir.absolute() / FRAMES)
    config = _build(values)
    if len(sizes) == N_SIZES:
        return config
    found = check_candles(config, with_splits=False).enough
    proposed = {"data.lookback_window": found.lookback, "data.predict_window": found.horizon} if found else {}
    return _build(values | proposed)


def _build(values: dict[str, Any]) -> Config:
    sections: dict[str, Any] = {}
    for key, value in values.items():
        set_key(sections, tuple(key.split(".")), value, NAME)
    return build_config(sections, name=NAME)
