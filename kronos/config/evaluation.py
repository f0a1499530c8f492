"""The section `evaluation`: the data, baselines and confidence of the verdict after training."""

from typing import Annotated, Literal

from pydantic import Field

from kronos.config.affects import LSTM, REPORT
from kronos.config.section import AS_TUPLE, MAX_CANDLES, MAX_PATHS, MAX_RATE, MAX_STEPS, Integer, Names, Number, Section

BASELINES = (
    "pretrained",
    "last_close",
    "drift",
    "seasonal_naive",
    "majority",
    "volatility",
    "ewma",
    "garch",
    "time_of_day",
    "lstm",
)


IndicatorName = Literal["sma", "ema", "rsi", "macd"]
IndicatorNames = Annotated[tuple[IndicatorName, ...], Field(max_length=100), AS_TUPLE]


class LstmConfig(Section):
    """`evaluation.lstm`: the sequence model that the run is compared with, trained on the same windows."""

    hidden_size: Annotated[Integer, LSTM] = Field(64, ge=1, le=1 << 16)
    n_layers: Annotated[Integer, LSTM] = Field(1, ge=1, le=100)
    directions: Annotated[Literal[1, 2], LSTM] = 1  # of the encoder: 2 reads the lookback backwards too
    attention: Annotated[bool, LSTM] = False  # of the decoder, over the lookback
    dropout: Annotated[Number, LSTM] = Field(0.0, ge=0, lt=1)  # between layers
    cell: Annotated[Literal["lstm", "gru"], LSTM] = "lstm"
    indicators: Annotated[IndicatorNames, LSTM] = ()  # of the closes of the lookback, as additional inputs
    learning_rate: Annotated[Number, LSTM] = Field(1e-3, gt=0, le=MAX_RATE)
    max_steps: Annotated[Integer, LSTM] = Field(1000, ge=1, le=MAX_STEPS)  # optimizer steps


class EvaluationConfig(Section):
    """`evaluation`: forecasts from candles never trained on, compared with baselines."""

    enabled: Annotated[bool, REPORT] = True  # after training; kronos evaluate does so whenever asked
    stride: Annotated[Integer | None, REPORT] = Field(
        None, ge=1, le=MAX_CANDLES
    )  # candles from one origin to the next; none: the horizon, or a little more to reach all clock times
    n_paths: Annotated[Integer, REPORT] = Field(50, ge=2, le=MAX_PATHS)
    budget_minutes: Annotated[Number | None, REPORT] = Field(
        10.0, gt=0, le=1e6
    )  # for forecasting: beyond it fewer origins; none: all of them
    rivals: Annotated[Names, REPORT] = BASELINES  # baselines to compare with; also folders of other runs
    metric: Annotated[Literal["crps", "mae", "direction"], REPORT] = "crps"  # metric of the verdict, on log returns
    confidence: Annotated[Number, REPORT] = Field(0.95, gt=0.5, lt=1)  # of intervals and verdicts
    margin: Annotated[Number, REPORT] = Field(
        0.02, gt=0, lt=1
    )  # a difference, as a share of the baseline's error, that is too small to matter
    losses: Annotated[bool, REPORT] = True  # write each forecast and its losses to losses.csv, 150 bytes a row
    costs_bp: Annotated[Number | None, REPORT] = Field(
        None, ge=0, le=10_000
    )  # of trading, in basis points per unit of position changed: adds returns of trading rules; none: no returns
    calibrate: Annotated[bool, REPORT] = False  # adjust the bands by their coverage on validation
    invented_drift: Annotated[bool, REPORT] = True  # measure the drift that the models see in random walks
    chronos: Annotated[str, REPORT] = Field("amazon/chronos-bolt-small", min_length=1)  # a folder or hub name
    lstm: LstmConfig = LstmConfig()
