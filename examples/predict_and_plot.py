"""Forecast with the models of a run, and draw the forecast with the actual candles.

    python examples/predict_and_plot.py --run finetuned/demo
    python examples/predict_and_plot.py --run finetuned/demo --data my.csv --origin "2024-04-02 10:10" --paths 20

Without --origin, the forecast starts one horizon before the end of the file, where the actual candles are known.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos import KronosError, KronosPredictor
from kronos.data import read_candles
from kronos.forecast.origin import build_forecast_task
from kronos.report.forecast.candle_plot import draw_forecast
from kronos.saved_run import load_run_config


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast with the models of a run and draw the result.")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder, {base_path}/{exp_name}")
    parser.add_argument("--data", type=Path, help="a file of candles; by default the run's own")
    parser.add_argument("--origin", help="time of the last known candle, or last for the end of the file")
    parser.add_argument("--paths", type=int, default=30, help="number of futures to sample")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same forecast")
    parser.add_argument("--out", type=Path, default=Path("forecast.png"), help="where to write the picture")
    options = parser.parse_args()

    predictor = KronosPredictor.from_run(options.run)
    config = load_run_config(options.run)

    horizon = config.data.predict_window
    frame = read_candles(options.data or config.data.data_path[0])
    task = build_forecast_task(frame, options.origin or str(frame.index[-horizon - 1 :][0]), horizon)
    forecast = predictor.forecast(
        task.history[-config.data.lookback_window :], y_timestamp=task.future, n_paths=options.paths, seed=options.seed
    )
    closes = {f"{q:.0%}": forecast.quantile(q)["close"].round(4) for q in (0.05, 0.5, 0.95)}
    print(pd.DataFrame({**closes, "actual close": task.actual["close"].round(4)}))
    print(forecast.repairs)
    title = f"{config.model_paths.exp_name} · from {forecast.origin:%Y-%m-%d %H:%M}"
    draw_forecast(task.history[-3 * horizon :], forecast, task.actual, options.out, title)
    print(f"picture written to {options.out}")


if __name__ == "__main__":
    try:
        main()
    except KronosError as error:
        sys.exit(f"error: {error}")
