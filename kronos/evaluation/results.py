"""metrics.json: the results of an evaluation, as codes and values. Skills and outcomes are the run's against a baseline."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kronos.config.schema import Language
from kronos.errors import CheckpointError
from kronos.files import write_text
from kronos.training.saved.tokenizer_record import Figure, TokenizerHealth

PIT_BINS = 20
LEVELS = (50, 80, 90)  # percent of the paths within a band
FLATTERING = ("on_seen", "held_out_symbols", "seen_before")  # notes on optimistic figures; the headline repeats them

Verdict = Literal["helped", "no difference", "hurt", "too little data to tell"]
Label = str | dict[Language, str]  # a name of kronos/report/words, or a registered baseline's own by language


class _Record(BaseModel):
    """Fields of an earlier version that are gone are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)


class Note(_Record):
    """A remark on the figures, or the reason why a baseline was left out. kronos/report/words has the sentences.

    texts: the sentence by language, if it is not in the catalogue (from a registered baseline or an earlier version).
    """

    code: str
    values: dict[str, int | float | str] = {}
    texts: dict[Language, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_texts(cls, values: Any) -> Any:
        """Read a note of an earlier version, which was a text in each language."""
        return {"code": "text", "texts": values} if isinstance(values, dict) and "en" in values else values


class HorizonFigures(_Record):
    """A metric over the whole horizon, and at each of its H times."""

    overall: Figure
    by_horizon: tuple[Figure, ...]


class ForecasterResult(_Record):
    """The figures of one forecaster.

    price, log_return: figures by metric, for closes in the candles' units and for log returns since the last known
    close. pit: the number of actual values in each of PIT_BINS equal parts of the forecast distribution.
    """

    name: str  # finetuned, pretrained, last_close … or another run's folder
    label: Label
    price: dict[str, HorizonFigures]
    log_return: dict[str, HorizonFigures]
    pit: tuple[int, ...]
    seconds: float = 0.0  # that the forecasts took


class Comparison(_Record):
    """The run against one baseline by one metric.

    skill: 1 − own / baseline for errors, own − baseline for direction (a share of hits). The run is better if it is
    above 0. low, high: the block-bootstrap interval of the skill. p_value: of the two-sided Diebold–Mariano test.
    n_independent: the number of independent origins that would be equally informative. n_missing: about how many more
    origins a verdict needs; None if there is a verdict or no estimate. The fields *_by_horizon have H values each.
    """

    baseline: str = Field(validation_alias=AliasChoices("baseline", "rival"))
    metric: str
    own_figure: Figure
    baseline_figure: Figure = Field(validation_alias=AliasChoices("baseline_figure", "rival_figure"))
    skill: Figure
    low: Figure
    high: Figure
    p_value: Figure
    n_origins: int
    n_independent: Figure
    n_missing: int | None = None
    outcome: Verdict
    skill_by_horizon: tuple[Figure, ...]
    low_by_horizon: tuple[Figure, ...]
    high_by_horizon: tuple[Figure, ...]

    @property
    def identical(self) -> bool:
        """Whether the errors are the same everywhere."""
        return self.skill == self.low == self.high == 0


class LeftOut(_Record):
    """A configured baseline that could not be compared."""

    baseline: str = Field(validation_alias=AliasChoices("baseline", "rival"))
    reason: Note


class BandFigures(_Record):
    """Bands by level ("50", "80", "90"): the share of actual values inside, and the mean width in log returns."""

    coverage: dict[str, HorizonFigures]
    width: dict[str, HorizonFigures]


class CalibrationResult(_Record):
    """The run's bands as sampled, and widened by split-conformal prediction on n_origins of the validation split."""

    n_origins: int
    before: BandFigures
    after: BandFigures


class Example(_Record):
    """An origin whose forecast is shown: the best, the median and the worst by the verdict's metric."""

    kind: Literal["best", "median", "worst"]
    symbol: str
    origin: str  # local time of the last known candle
    row: int  # of that candle
    figure: Figure


class Evaluation(_Record):
    """The results of an evaluation; forecasters[0] is the run itself.

    headline: the verdict as an English sentence, for people who read the file.
    """

    run: str
    version: str
    created: str
    candles: str
    split: Literal["train", "val", "test"]
    notes: list[Note]
    lookback: int
    horizon: int
    stride: int
    interval: str  # between candles, such as "5 minutes"
    n_symbols: int
    first_origin: str
    last_origin: str
    n_origins: int
    n_paths: int
    temperature: float
    top_p: float
    seed: int
    metric: str
    confidence: float
    margin: float
    headline: str = ""
    forecasters: list[ForecasterResult]
    comparisons: list[Comparison]
    left_out: list[LeftOut]
    calibration: CalibrationResult | None
    tokenizer: TokenizerHealth | None
    examples: list[Example]
    environment: dict[str, str]
    command: str

    @field_validator("headline", mode="before")
    @classmethod
    def _read_headline(cls, headline: Any) -> Any:
        """Read a headline of an earlier version, which was a text in each language."""
        return headline.get("en", "") if isinstance(headline, dict) else headline

    def write(self, path: Path) -> None:
        """Write the results as JSON.

        Raises:
            KronosError: path cannot be written.
        """
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Read results that `write` wrote.

        Raises:
            CheckpointError: there is no such file, or it is damaged.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(
                "{path}: cannot be read ({reason}). kronos evaluate writes it.", path=path, reason=error.strerror
            ) from None
        except (ValidationError, UnicodeDecodeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise CheckpointError(
                "{path}: damaged ({reason}). kronos evaluate writes it again.", path=path, reason=reason
            ) from None
