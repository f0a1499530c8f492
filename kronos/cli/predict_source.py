"""The models that `kronos predict` forecasts with, and the settings that go with them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kronos.cli.predict_options import DEFAULT_HORIZON
from kronos.config.changes import FOR_FORECASTS, NO_EFFECT_ON_FORECASTS, OTHER_CANDLES, check_changes
from kronos.config.load import build_reading_config, list_keys
from kronos.config.section import DEFAULT_CONTEXT
from kronos.errors import ConfigError
from kronos.urls import CandleSource, parse_source

if TYPE_CHECKING:
    from kronos.config import Config
    from kronos.config.data import DataConfig, RepairsConfig
    from kronos.config.schema import Language
    from kronos.forecast import KronosPredictor
    from kronos.forecast.decoding.options import ContextPolicy
    from kronos.model import Kronos, KronosTokenizer
    from kronos.report.forecast.scene import Rising

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """The models, and settings: those on the command line, else those of the run that trained the models.

    run: its configuration; None if the models come from elsewhere. reading, repairs: how the candles are read.
    """

    tokenizer: KronosTokenizer
    model: Kronos
    reading: DataConfig
    repairs: RepairsConfig
    run: Config | None = None
    data: Sequence[CandleSource] = ()
    lookback: int | None = None
    horizon: int = DEFAULT_HORIZON
    max_context: int = DEFAULT_CONTEXT
    temperature: float = 1.0
    top_p: float = 1.0
    rising: Rising = "hollow"
    language: Language = "en"

    @property
    def n_known(self) -> int:
        """How many candles to forecast from."""
        return self.lookback or self.max_context

    def build_predictor(self, device: str, context_policy: ContextPolicy, dtype: str, compile: bool) -> KronosPredictor:
        """Build the predictor.

        Raises:
            ConfigError: an option is invalid.
        """
        from kronos.forecast import KronosPredictor
        from kronos.forecast.inputs import check_count
        from kronos.saved_run import SavedRun

        if self.lookback is not None:
            check_count("--lookback", self.lookback)
        options: dict[str, Any] = {
            "device": device,
            "max_context": self.max_context,
            "context_policy": context_policy,
            "dtype": dtype,
            "compile": compile,
        }
        if self.run is None:
            predictor = KronosPredictor(self.model, self.tokenizer, **options)
        else:
            predictor = KronosPredictor.from_run(SavedRun(self.run, self.tokenizer, self.model), **options)
        predictor.check_horizon(self.horizon)
        return predictor


def check_choice(run: Path | None, tokenizer: str | None, model: str | None) -> None:
    """Check that there is either a run or a model.

    Raises:
        ConfigError: there are both, or none; or a tokenizer is given without a model.
    """
    if (run is None) == (model is None):
        raise ConfigError(
            "give either --run (the folder of a run) or --model (a model folder, a hub name or nano); see --help."
        )
    if tokenizer is not None and model is None:
        raise ConfigError("--tokenizer needs --model. A run has its own tokenizer.")


def load_source(
    run: Path | None, tokenizer: str | None, model: str | None, overrides: Sequence[str], **given: Any
) -> Source:
    """Load the models, and the settings of the run that trained them. Options that are given win over these.

    Args:
        overrides: how the candles are read, section.key=value each.

    Raises:
        ConfigError: an override is wrong, or the tokenizer is not known.
        CheckpointError: a model cannot be loaded.
    """
    from kronos.saved_run import (
        describe_long_context,
        find_max_context,
        find_run_of,
        find_tokenizer_of,
        load_models,
        load_pair,
        load_run_config,
    )

    check_changes(list_keys(overrides), FOR_FORECASTS, NO_EFFECT_ON_FORECASTS)
    given = {key: value for key, value in given.items() if value is not None}
    if "data" in given:
        given["data"] = [parse_source(each) for each in given["data"]]
        overrides = [*(f"{key}=null" for key in OTHER_CANDLES), *overrides]
    if run is not None:
        config = load_run_config(run, overrides)
        source = Source(*load_models(config), config.data, config.repairs, config, data=config.data.data_path)
        return source._replace(**_read_settings(config) | given)
    plain = build_reading_config([], overrides)
    name = str(model)
    models = load_pair(name, tokenizer or find_tokenizer_of(name), plain.model_paths.hub_endpoint)
    source = Source(*models, plain.data, plain.repairs)
    trained_by = find_run_of(Path(name), source.tokenizer, overrides)
    if trained_by is not None:
        return source._replace(**_read_settings(trained_by) | given)
    known = find_max_context(name)
    if known is None and "max_context" not in given:
        logger.warning("--max-context is not given: %d is used, that of the published models", DEFAULT_CONTEXT)
    source = source._replace(**{"max_context": known or DEFAULT_CONTEXT} | given)
    if known and (warning := describe_long_context(name, source.n_known + source.horizon, source.max_context)):
        logger.warning("%s", warning)
    return source


def _read_settings(config: Config) -> dict[str, Any]:
    return {
        "run": config,
        "lookback": config.data.lookback_window,
        "horizon": config.data.predict_window,
        "max_context": config.data.max_context,
        "reading": config.data,
        "repairs": config.repairs,
        "temperature": config.report.temperature,
        "top_p": config.report.top_p,
        "rising": config.report.rising,
    }


def read_quantiles(text: str) -> list[float]:
    """Return the numbers of --quantiles, ascending.

    Raises:
        ConfigError: one is no number from 0 to 1.
    """
    from kronos.forecast.forecast import check_quantile

    try:
        return sorted({check_quantile(float(part)) for part in text.split(",")})
    except ValueError:
        raise ConfigError(
            "--quantiles must be numbers separated by commas, like 0.1,0.5,0.9; got {text!r}.", text=text
        ) from None
