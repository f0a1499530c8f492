"""The models that `kronos predict` forecasts with, and the settings that go with them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kronos.cli.predict_options import DEFAULT_CONTEXT, DEFAULT_HORIZON
from kronos.errors import ConfigError

if TYPE_CHECKING:
    from kronos.config import Config
    from kronos.config.data import RepairsConfig
    from kronos.config.schema import Language
    from kronos.data.files.options import ReadingOptions
    from kronos.forecast import KronosPredictor
    from kronos.forecast.generate import ContextPolicy
    from kronos.model import Kronos, KronosTokenizer
    from kronos.report.forecast.scene import Rising

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """The models, and settings: those on the command line, else those of the run that trained the models.

    run: its configuration; None if the models come from elsewhere.
    """

    tokenizer: KronosTokenizer
    model: Kronos
    run: Config | None = None
    data: Sequence[Path] = ()
    reading: ReadingOptions | None = None
    repairs: RepairsConfig | None = None
    max_gap: int | None = None
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
        context = self.max_context
        if self.run is None:
            predictor = KronosPredictor(
                self.model, self.tokenizer, device, context, context_policy=context_policy, dtype=dtype, compile=compile
            )
        else:
            run = SavedRun(self.run, self.tokenizer, self.model)
            predictor = KronosPredictor.from_run(
                run, device, context, context_policy=context_policy, dtype=dtype, compile=compile
            )
        predictor.check_horizon(self.horizon)
        return predictor


def load_source(run: Path | None, tokenizer: str | None, model: str | None, **given: Any) -> Source:
    """Load the models, and the settings of the run that trained them. Options that are given win over these.

    Raises:
        ConfigError: there must be either a run, or a tokenizer and a model. CheckpointError: a model cannot be loaded.
    """
    if (run is None) == (tokenizer is None or model is None) or (run is not None and (tokenizer or model)):
        raise ConfigError("give either --run, or both --tokenizer and --model; see --help.")
    from kronos.model import Kronos, KronosTokenizer
    from kronos.saved_run import find_run_of, load_saved_run

    given = {key: value for key, value in given.items() if value is not None}
    if run is not None:
        config, own_tokenizer, own_model = load_saved_run(run)
        source = Source(own_tokenizer, own_model, data=config.data.data_path)
        return source._replace(**_read_settings(config) | given)
    source = Source(KronosTokenizer.from_pretrained(str(tokenizer)), Kronos.from_pretrained(str(model)))
    trained_by = find_run_of(Path(str(model)), source.tokenizer)
    if trained_by is not None:
        return source._replace(**_read_settings(trained_by) | given)
    if "max_context" not in given:
        logger.warning("--max-context is not given: %d is used, that of the published models", DEFAULT_CONTEXT)
    return source._replace(**given)


def _read_settings(config: Config) -> dict[str, Any]:
    from kronos.data.files.options import ReadingOptions

    return {
        "run": config,
        "lookback": config.data.lookback_window,
        "horizon": config.data.predict_window,
        "max_context": config.data.max_context,
        "reading": ReadingOptions.of(config.data),
        "repairs": config.repairs,
        "max_gap": config.data.max_gap,
        "temperature": config.report.temperature,
        "top_p": config.report.top_p,
        "rising": config.report.rising,
        "language": config.report.language,
    }
