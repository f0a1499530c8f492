"""metrics.json: what an evaluation found, as plain values. Skills and outcomes are the run's own, against a baseline."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from kronos.errors import CheckpointError
from kronos.files import write_text
from kronos.training.saved.tokenizer_record import Figure, TokenizerHealth

PIT_BINS = 20
LEVELS = (50, 80, 90)  # per cent of the paths that a band holds

Verdict = Literal["helped", "no difference", "hurt", "too little data to tell"]
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Texts = dict[Language, str]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)


class HorizonFigures(_Record):
    """A metric over the whole horizon, and at each of its H times."""

    overall: Figure
    by_horizon: tuple[Figure, ...]


class ForecasterResult(_Record):
    """How good one forecaster was.

    price, log_return: figures by the metric's name, of closes in the candles' units, and of log returns since the last
    known close. pit: how many truths fell into each of PIT_BINS equal parts of the forecast distribution.
    """

    name: str  # finetuned, pretrained, last_close … or another run's folder
    label: Texts
    price: dict[str, HorizonFigures]
    log_return: dict[str, HorizonFigures]
    pit: tuple[int, ...]
    seconds: float = 0.0  # that its forecasts took


class Comparison(_Record):
    """The run against one baseline by one metric.

    skill: 1 − own / baseline for errors, own − baseline for direction (a share of hits); above 0 the run is better. low, high:
    its block-bootstrap interval. p_value: of the two-sided Diebold–Mariano test. n_independent: how many independent origins
    would tell as much. The by_horizon ones have H values each.
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
    outcome: Verdict
    sentence: Texts
    skill_by_horizon: tuple[Figure, ...]
    low_by_horizon: tuple[Figure, ...]
    high_by_horizon: tuple[Figure, ...]


class LeftOut(_Record):
    """A baseline that was asked for and could not be compared."""

    baseline: str = Field(validation_alias=AliasChoices("baseline", "rival"))
    reason: Texts


class BandFigures(_Record):
    """Of one band, by level ("50", "80", "90"): the share of truths inside, and its mean width in log returns."""

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
    row: int  # of it among the candles
    figure: Figure


class Evaluation(_Record):
    """All that an evaluation found; forecasters[0] is the run itself."""

    run: str
    version: str
    created: str
    candles: str
    split: Literal["train", "val", "test"]
    notes: list[Texts]  # what has to be known to read the figures: no test split, fewer origins than there could be
    lookback: int
    horizon: int
    stride: int
    interval: str  # of the candles, as "5 minutes"
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
    headline: Texts
    forecasters: list[ForecasterResult]
    comparisons: list[Comparison]
    left_out: list[LeftOut]
    calibration: CalibrationResult | None
    tokenizer: TokenizerHealth | None
    examples: list[Example]
    environment: dict[str, str]
    command: str

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            KronosError: path cannot be written.
        """
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Read what `write` wrote.

        Raises:
            CheckpointError: there is no such file, or it is damaged.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}; kronos evaluate makes it.") from None
        except (ValidationError, UnicodeDecodeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise CheckpointError(f"{path}: damaged ({reason}); kronos evaluate makes it anew.") from None
