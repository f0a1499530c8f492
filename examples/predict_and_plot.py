"""Forecast with the models of a saved run, and draw the forecast beside what came.

    python examples/predict_and_plot.py --run finetuned/demo
    python examples/predict_and_plot.py --run finetuned/demo --data my.csv --origin "2024-04-02 10:10" --paths 20

Without --origin the forecast starts one horizon before the end of the file, so that its truth is known.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos import Config, DataError, KronosError, KronosPredictor
from kronos.data import read_candles
from kronos.report.candle_plot import draw_forecast
from kronos.report.run_report import to_frame
from kronos.training.saved_run import load_saved_run


def cut(frame: pd.DataFrame, origin: str | None, config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a frame into the lookback that ends at the origin and the horizon after it."""
    lookback, horizon = config.data.lookback_window, config.data.predict_window
    time = pd.to_datetime(origin, errors="coerce")
    if origin is not None and (time is pd.NaT or time.tzinfo):
        raise DataError(f"--origin {origin!r} is not a local time; write it like 2024-04-02 10:10.")
    end = len(frame) - horizon if origin is None else frame.index.searchsorted(time, side="right")
    if not lookback <= end <= len(frame) - horizon:
        raise DataError(
            f"the origin needs {lookback} candles up to it and {horizon} after it; there are {end} and {len(frame) - end}."
        )
    return frame[end - lookback : end], frame[end : end + horizon]


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast with a saved run and draw the result.")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder, {base_path}/{exp_name}")
    parser.add_argument("--data", type=Path, help="a CSV of candles; by default the run's own")
    parser.add_argument("--origin", help="time of the last known candle")
    parser.add_argument("--paths", type=int, default=10, help="sampled futures to average")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("forecast.png"))
    options = parser.parse_args()

    config, tokenizer, model = load_saved_run(options.run)
    predictor = KronosPredictor(model, tokenizer, max_context=config.data.max_context, clip=config.data.clip)

    candles = read_candles(options.data or config.data.data_path)
    history, truth = cut(to_frame(candles), options.origin, config)
    forecast = predictor.predict(
        history, history.index, truth.index, pred_len=len(truth), sample_count=options.paths, seed=options.seed
    )
    print(pd.DataFrame({"forecast close": forecast["close"].round(4), "true close": truth["close"]}))
    title = f"{config.model_paths.exp_name} · from {history.index[-1]:%Y-%m-%d %H:%M} · mean of {options.paths} paths"
    draw_forecast(history[-3 * len(truth) :], forecast, truth, options.out, title)
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    try:
        main()
    except KronosError as error:
        sys.exit(f"error: {error}")
