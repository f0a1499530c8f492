"""Whom a run is compared with: evaluation.rivals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from accelerate import PartialState

from kronos.config import Config
from kronos.config.evaluation import BASELINES
from kronos.config.training import StageName
from kronos.data import CandleSet
from kronos.data.quality.findings import format_time
from kronos.data.windows.splits import Split, SplitName
from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.evaluation.forecasters.base import Forecaster, KronosForecaster, NotApplicable
from kronos.evaluation.forecasters.lstm import build_lstm, find_lstm
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import LeftOut, Texts
from kronos.files import shorten_names
from kronos.forecast import KronosPredictor, Sampling
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.run_folder import RunFolder
from kronos.saved_run import SavedRun, load_saved_run
from kronos.stage_record import StageRecord
from kronos.training.pipeline import build_windows, read_last_seen

logger = logging.getLogger(__name__)

OWN = "finetuned"
FINETUNED: Texts = {"en": "Fine-tuned model", "zh": "微调模型"}
FROM_SCRATCH: Texts = {"en": "Trained model", "zh": "训练模型"}
PRETRAINED: Texts = {"en": "Pretrained model", "zh": "预训练模型"}


# Of the run's own candles, where they are at hand: what an LSTM is trained on.
Splits = Mapping[SplitName, Split]


def has_pretrained(config: Config) -> bool:
    """Whether a run began with pretrained models, both of them."""
    on, paths = config.experiment, config.model_paths
    pre_trained = on.pre_trained_tokenizer and on.pre_trained_predictor
    return pre_trained and bool(paths.pretrained_tokenizer and paths.pretrained_predictor)


def build_own(config: Config, tokenizer: KronosTokenizer, model: Kronos) -> KronosForecaster:
    """Return the run's models as a forecaster."""
    label = FINETUNED if has_pretrained(config) else FROM_SCRATCH
    return _build_kronos(OWN, label, SavedRun(config, tokenizer, model), config)


def build_baselines(
    config: Config, origins: Origins, candles: CandleSet | None, splits: Splits
) -> tuple[list[Forecaster], list[LeftOut]]:
    """Build the baselines of evaluation.rivals.

    Args:
        origins: from which they are to forecast.
        candles, splits: the run's own, for the baselines that are trained; None where they are not at hand.

    Returns:
        The baselines, and those that cannot be compared, with the reason.

    Raises:
        ConfigError: a baseline is neither known nor a run's folder.
    """
    known: dict[str, Callable[[], Forecaster]] = {
        "pretrained": lambda: _build_pretrained(config),
        "lstm": lambda: _build_lstm(config, candles, splits),
        **{name: lambda baseline=baseline: baseline for name, baseline in NAIVE_FORECASTERS.items()},  # type: ignore[misc]
    }
    builders = {name: known[name] for name in config.evaluation.rivals if name in known}
    check_baselines(config)
    for folder, name in _name_runs(config).items():
        builders[name] = lambda name=name, folder=folder: _build_run(config, name, folder, origins)  # type: ignore[misc]
    baselines: list[Forecaster] = []
    left_out: list[LeftOut] = []
    for name, build in builders.items():
        try:
            baselines.append(build())
        except NotApplicable as error:
            left_out.append(LeftOut(baseline=name, reason=error.reason))
    return baselines, left_out


def list_names() -> list[str]:
    """Return the names of all baselines but other runs; of baselines those registered by now."""
    return list(dict.fromkeys([*BASELINES, *NAIVE_FORECASTERS]))


def check_baselines(config: Config) -> None:
    """Check the names of baselines, before hours are spent on training.

    Raises:
        ConfigError: one is neither known nor a run's folder.
    """
    for name in config.evaluation.rivals:
        if name not in list_names() and not RunFolder(Path(name)).config.is_file():
            known = ", ".join(list_names())
            raise ConfigError(
                f"evaluation.rivals names {name!r}, which is neither one of {known} nor the folder of a run "
                "({base_path}/{exp_name}, with config.yaml in it)."
            )


def _build_pretrained(config: Config) -> Forecaster:
    if not has_pretrained(config):
        raise NotApplicable(
            {
                "en": "trained from scratch",
                "zh": "从零开始训练",
            }
        )
    try:
        tokenizer = KronosTokenizer.from_pretrained(config.model_paths.pretrained_tokenizer)
        model = Kronos.from_pretrained(config.model_paths.pretrained_predictor)
    except KronosError as error:
        raise NotApplicable({"en": f"it cannot be loaded: {error}", "zh": f"无法加载：{error}"}) from None
    _check_untouched(config, {"tokenizer": tokenizer, "basemodel": model})
    return _build_kronos("pretrained", PRETRAINED, SavedRun(config, tokenizer, model), config)


def _check_untouched(config: Config, models: Mapping[StageName, KronosTokenizer | Kronos]) -> None:
    """Check that what pretrained_* names now is what the run began with, as far as its records tell.

    Raises:
        NotApplicable: it is not.
    """
    for name, model in models.items():
        record = StageRecord.read(config.model_paths.run_folder.stage(name).path)
        if record and record.start_hash not in (None, hash_weights(model)):
            raise NotApplicable(
                {
                    "en": f"what model_paths.pretrained_* names is not the {name} that the run began with any more",
                    "zh": f"model_paths.pretrained_* 所指的模型已不是本次运行开始时的 {name}",
                }
            )


def _build_lstm(config: Config, candles: CandleSet | None, splits: Splits) -> Forecaster:
    folder = config.model_paths.run_folder.lstm.path
    if candles is None:
        if found := find_lstm(folder):
            return found
        raise NotApplicable(
            {
                "en": "it is trained on the run's own candles, which are not at hand, and has not been before",
                "zh": "它需要用本次运行自己的 K 线训练，而这些 K 线不在手边，此前也没有训练过",
            }
        )
    logger.info("evaluation: the baseline LSTM, trained on the run's own windows; its lines begin with lstm")
    try:
        return build_lstm(config, build_windows(config, candles, dict(splits)), candles, folder)
    except DataError as error:  # too few windows for it; that the disk is full is no reason to leave it out
        raise NotApplicable({"en": f"it cannot be trained: {error}", "zh": f"无法训练：{error}"}) from None


def _name_runs(config: Config) -> dict[Path, str]:
    """Return the folders of other runs among evaluation.rivals by names that tell them apart from all else."""
    folders = [Path(name).resolve() for name in config.evaluation.rivals if name not in list_names()]
    own = config.model_paths.base_save_path.resolve()
    listed = list(dict.fromkeys([own, *folders]))
    names = dict(zip(listed, shorten_names(listed)))
    return {each: str(each) if names[each] in (OWN, *list_names()) else names[each] for each in dict.fromkeys(folders)}


def _build_run(config: Config, name: str, folder: Path, origins: Origins) -> Forecaster:
    if folder == config.model_paths.base_save_path.resolve():
        raise NotApplicable({"en": "it is this run itself", "zh": "它就是本次运行"})
    try:
        run = load_saved_run(folder)
    except (CheckpointError, ConfigError) as error:
        raise NotApplicable({"en": f"it cannot be loaded: {error}", "zh": f"无法加载：{error}"}) from None
    other = run.config
    if other.data.max_context <= origins.horizon:
        raise NotApplicable(
            {
                "en": f"it attends to {other.data.max_context} candles, too few for a horizon of {origins.horizon}",
                "zh": f"它的上下文只有 {other.data.max_context} 根 K 线，不足以预测 {origins.horizon} 根",
            }
        )
    seen = read_last_seen(other)
    if seen is None:
        raise NotApplicable(
            {
                "en": f"its {other.model_paths.run_folder.audit.name} does not say until when it was trained, so that it may have seen these candles",
                "zh": f"它的 {other.model_paths.run_folder.audit.name} 没有记录训练数据截止到何时，可能已见过这些 K 线",
            }
        )
    if seen > origins.starts.min():
        until = format_time(seen)
        raise NotApplicable(
            {
                "en": f"it was trained or validated on candles to {until}, later than the first origin here",
                "zh": f"它的训练或验证数据到 {until} 为止，晚于此处的第一个预测起点",
            }
        )
    return _build_kronos(name, {"en": name, "zh": name}, run, config)


def _build_kronos(name: str, label: Texts, run: SavedRun, evaluated: Config) -> KronosForecaster:
    """Return a forecaster that reads candles as its own run did and samples as the evaluated run does."""
    predictor = KronosPredictor.from_run(run, device=PartialState().device)
    return KronosForecaster(
        name, label, predictor, Sampling(evaluated.report.temperature, top_p=evaluated.report.top_p)
    )
