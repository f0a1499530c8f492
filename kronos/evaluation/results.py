"""metrics.json: the results of an evaluation, as codes and values. Skills and outcomes are the run's against a baseline."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator

from kronos.disk.reading import read_regular
from kronos.errors import CheckpointError
from kronos.evaluation.records import (
    BandFigures,
    DirectionFigures,
    HorizonFigures,
    Label,
    Note,
    Provenance,
    Record,
    ValueAtRisk,
)
from kronos.files import write_text
from kronos.training.saved.tokenizer_record import Figure, TokenizerHealth

FORMAT = (
    2  # of metrics.json. Verdicts of another format follow other rules and are not comparable; 1: without the field
)
MODEL = "model"  # the name of forecasters[0] if a model without a run was judged
FLATTERING = ("on_seen", "held_out_symbols", "seen_before")  # notes on optimistic figures; the headline repeats them

Verdict = Literal["helped", "no difference", "hurt", "too little data to tell"]
DriftOutcome = Literal["none", "drift", "unclear", "too few walks"]


class ForecasterResult(Record):
    """The figures of one forecaster.

    price, log_return: figures by metric, for closes in the candles' units and for log returns since the last known
    close. pit: the number of actual values in each of PIT_BINS equal parts of the forecast distribution. pit_low,
    pit_high: the range of these numbers that a calibrated forecast would have. moves: false if the median of its
    distribution never moves from the last close. direction: None for forecasters that never move.
    """

    name: str  # finetuned, pretrained, last_close … or another run's folder
    label: Label
    price: dict[str, HorizonFigures]
    log_return: dict[str, HorizonFigures]
    pit: tuple[int, ...]
    pit_low: Figure = float("nan")
    pit_high: Figure = float("nan")
    moves: bool = True
    direction: DirectionFigures | None = None
    seconds: float = 0.0  # that the forecasts took; of simple forecasts, processor time


class SymbolSkill(Record):
    """The run's skill against one baseline on one symbol, without a test: one symbol alone has few origins."""

    symbol: str
    skill: Figure
    n_origins: int


class Comparison(Record):
    """The run against one baseline by one metric.

    The losses crps and mae of an origin are divided by the volatility of its lookback × √step. own_figure and
    baseline_figure are the means of these scaled losses, or hit rates for direction.

    skill: 1 − own / baseline for errors, own − baseline for direction (a share of hits). The run is better if it is
    above 0. low, high: the block-bootstrap interval of the skill. p_value: of the two-sided test of equal accuracy.
    p_adjusted: after Holm's correction for the number of baselines; it decides the outcome. NaN: not adjusted.
    n_independent: the number of independent origins that would be equally informative. smallest_gain: the smallest true
    skill that this comparison shows with a probability of POWER. The fields *_by_horizon have H values each; low_by_horizon
    and high_by_horizon are a simultaneous band: it contains all true values at once at the confidence. by_symbol: if
    there are several symbols, for the verdict's metric.
    """

    baseline: str = Field(validation_alias=AliasChoices("baseline", "rival"))
    metric: str
    own_figure: Figure
    baseline_figure: Figure = Field(validation_alias=AliasChoices("baseline_figure", "rival_figure"))
    skill: Figure
    low: Figure
    high: Figure
    p_value: Figure
    p_adjusted: Figure = float("nan")
    n_origins: int
    n_independent: Figure
    smallest_gain: Figure = float("nan")
    outcome: Verdict
    skill_by_horizon: tuple[Figure, ...]
    low_by_horizon: tuple[Figure, ...]
    high_by_horizon: tuple[Figure, ...]
    by_symbol: tuple[SymbolSkill, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether the errors are the same everywhere."""
        return self.skill == self.low == self.high == 0


class LeftOut(Record):
    """A configured baseline that could not be compared."""

    baseline: str = Field(validation_alias=AliasChoices("baseline", "rival"))
    reason: Note


class CalibrationResult(Record):
    """The run's bands as sampled, and widened by split-conformal prediction on n_origins of the validation split."""

    n_origins: int
    before: BandFigures
    after: BandFigures


class Example(Record):
    """An origin whose forecast is shown: the best, the median and the worst by the verdict's metric."""

    kind: Literal["best", "median", "worst"]
    symbol: str
    origin: str  # local time of the last known candle
    row: int  # of that candle
    figure: Figure


class Evidence(Record):
    """What it would take to show a true skill of `gain` against `baseline` with a probability of POWER, at least.

    n_origins: independent ones at the stride of this evaluation. n_candles: of one symbol. days: of calendar time. All are
    None where they cannot be estimated.
    """

    baseline: str
    gain: float
    n_origins: int | None
    n_candles: int | None
    days: float | None


class Trade(Record):
    """The return of a trading rule after costs: one position for each origin, held until the end of the horizon.

    rule: "median", "long_only", or "up_60" and so on (long if P(up) is above 60%, short below 40%). mean: net log return
    per origin. turnover: mean absolute change of the position per origin. in_market: share of origins with a position.
    low, high: the block-bootstrap interval of the mean. n_trades: the number of origins at which the position changes.
    """

    rule: str
    mean: Figure
    low: Figure
    high: Figure
    turnover: Figure
    in_market: Figure
    n_trades: int


class Money(Record):
    """Returns of trading rules on the forecasts (evaluation.costs_bp); never part of the verdict.

    n_origins: those used, whose horizons do not overlap.
    """

    costs_bp: float
    n_origins: int = 0
    trades: tuple[Trade, ...]


class InventedDrift(Record):
    """What a forecaster forecasts on random walks made of the user's own candles, where the direction is pure chance.

    drift, shared_drift: root mean squares of the two parts of the mean path, the one that is opposite for a walk and its
    mirror image, and the one that is the same for both. Without shared_drift, drift is the whole mean path (written by an
    earlier version). width: of the paths' deviations from the mean path. All three are shares of the standard deviation of
    the true moves, and their overall figure is that at the end of the horizon; 0, 0 and 1 are right. largest_drift: what
    costs as much as the margin. coverage: of the 90% band. cost: CRPS relative to that of a random walk as wide as the
    lookback, minus 1. outcome: "none" if the drift is certainly not above the largest one, "drift" if it certainly is. The
    walks are "too few" if the time did not suffice for more.
    """

    name: str
    n_walks: int
    n_paths: int
    drift: HorizonFigures
    shared_drift: HorizonFigures | None = None
    largest_drift: float
    outcome: DriftOutcome
    width: HorizonFigures
    coverage: HorizonFigures
    cost: HorizonFigures


class Evaluation(Record):
    """The results of an evaluation; forecasters[0] is the run itself.

    headline: the verdict in English, for people who read the file. next_steps: what to do next, the most useful first
    (kronos/evaluation/next_steps.py). conditions: the models by their hashes and the settings of the run's forecasts
    (`describe_conditions`). A forecast of other models is not the one that was evaluated.
    """

    format: int = 1  # FORMAT of the version that wrote it
    kind: Literal["run", "model"] = "run"  # what was judged
    run: str  # its name
    subject: str = ""  # of `hash_subject`: the candles, and a model without a run
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
    last_actual: str = ""  # local time of the last candle that was forecast
    n_origins: int
    clock_times: dict[str, int] = Field({})  # of intraday candles: the number of origins by local time, "09:35"
    n_clock_times: int = 0  # that the candles have
    settings: dict[str, Any] = Field({})  # that the figures depend on, by key; empty: of an earlier version
    n_paths: int
    temperature: float
    top_p: float
    seed: int
    metric: str
    confidence: float
    margin: float
    headline: str = ""
    next_steps: tuple[Note, ...] = ()
    judge_new: str = ""  # the command that judges later candles alone
    conditions: dict[str, int | float | str | None] = Field({})
    provenance: Provenance | None = None  # None: of an earlier version
    forecasters: list[ForecasterResult]
    comparisons: list[Comparison]
    left_out: list[LeftOut]
    evidence: Evidence | None = None
    money: Money | None = None
    value_at_risk: ValueAtRisk | None = None
    calibration: CalibrationResult | None
    tokenizer: TokenizerHealth | None
    invented_drift: tuple[InventedDrift, ...] = ()  # of the run, then of the model it started from
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
            return cls.model_validate_json(read_regular(path))
        except OSError as error:
            raise CheckpointError(
                "{path}: cannot be read ({reason}). kronos evaluate writes it.", path=path, reason=error.strerror
            ) from None
        except (ValidationError, UnicodeDecodeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise CheckpointError(
                "{path}: damaged ({reason}). kronos evaluate writes it again.", path=path, reason=reason
            ) from None
