"""The records of figures and notes that metrics.json consists of."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from kronos.config.schema import Language
from kronos.model.stored.identity import ModelIdentity
from kronos.names import make_all_printable
from kronos.training.saved.tokenizer_record import Figure

PIT_BINS = 20
LEVELS = (50, 80, 90)  # percent of the paths within a band

RiskOutcome = Literal["as expected", "too many", "too rare", "too few to tell"]
Label = str | dict[Language, str]  # a name of kronos/report/words, or a registered baseline's own by language


class Record(BaseModel):
    """Fields of an earlier version that are gone are ignored. Texts are safe to show."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _make_printable(cls, value: Any) -> Any:
        return make_all_printable(value)


class Note(Record):
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


class Provenance(Record):
    """Which models and candles the figures are of.

    start_tokenizer, start_base_model: those that training began with; None if a model was not trained here, or from scratch.
    candles, train_candles: hashes of the evaluated candles and of those of the training, as in stage.json (`hash_candles`).
    """

    tokenizer: ModelIdentity | None = None
    base_model: ModelIdentity | None = None
    start_tokenizer: ModelIdentity | None = None
    start_base_model: ModelIdentity | None = None
    candles: str
    train_candles: str | None = None


class HorizonFigures(Record):
    """A metric over the whole horizon, and at each of its H times.

    low, high: the interval of the overall figure at the evaluation's confidence, if it was computed.
    """

    overall: Figure
    by_horizon: tuple[Figure, ...]
    low: Figure = float("nan")
    high: Figure = float("nan")


class HitRate(Record):
    """The share of n_cases forecasts (origin and step) that had the right direction, with its interval.

    least_sure, surest: the range of |P(up) − ½| of these cases.
    """

    share: Figure
    low: Figure
    high: Figure
    n_cases: int
    least_sure: Figure
    surest: Figure


class UpProbabilityBin(Record):
    """Cases with similar P(up): the mean P(up), and the share of them that went up, with its interval."""

    forecast: Figure
    actual: Figure
    low: Figure
    high: Figure
    n_cases: int


class DirectionFigures(Record):
    """How good P(up), the share of paths above the last known close, is. Moves of exactly 0 are left out.

    up_share: of the actual moves. base_rate_brier: the Brier score of always forecasting up_share, which is known only
    afterwards. bins: reliability of P(up), in ascending order. thirds: hit rates of the least sure, the middle and the
    surest third of the forecasts.
    """

    up_share: Figure
    base_rate_brier: Figure
    bins: tuple[UpProbabilityBin, ...]
    thirds: tuple[HitRate, ...]


class BandFigures(Record):
    """Bands by level ("50", "80", "90"): the share of actual values inside, and the mean width in log returns."""

    coverage: dict[str, HorizonFigures]
    width: dict[str, HorizonFigures]


class RiskTest(Record):
    """Whether the actual returns fell below the value at risk of a level (0.95 …) as often as they should.

    n_exceeded, n_expected: exceptions among the tested origins. p_coverage, p_independence: of the tests of Kupiec and of
    Christoffersen (kronos/risk/backtests.py); the second is NaN for fewer than two exceptions. outcome, independent: by
    these p-values, with a threshold of (1 − confidence) / the number of tests. share, low, high: of exceptions among all
    origins, with its block-bootstrap interval.
    """

    level: float
    n_exceeded: int
    n_expected: float
    p_coverage: Figure
    p_independence: Figure
    outcome: RiskOutcome
    independent: bool
    share: Figure
    low: Figure
    high: Figure


class ValueAtRisk(Record):
    """Backtests of the value at risk of the return over the whole horizon; never part of the verdict.

    calibrated: by the calibration of the bands. n_origins: those tested, one at a time and without overlap.
    """

    calibrated: bool
    n_origins: int
    tests: tuple[RiskTest, ...]
