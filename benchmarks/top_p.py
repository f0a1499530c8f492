"""What `top_p` does to forecasts, on random walks made of the candles at hand.

    python benchmarks/top_p.py --run finetuned/demo
    python benchmarks/top_p.py --model my_model --tokenizer my_tokenizer --data my.csv data.lookback_window=96

The walks are those of the invented drift (docs/evaluation.md#invented-drift), and all rows use the same random numbers. Cost is
the CRPS above that of a random walk with the lookback's volatility. The last column compares the CRPS with that of top_p 1.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.data import load_candles, split_candles
from kronos.evaluation.baselines import build_own
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.invented_drift import build_walks, score_walks
from kronos.evaluation.model_without_run import (
    build_judged,
    build_model_config,
    choose_for_model,
    load_judged_models,
    split_for_model,
)
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import HorizonFigures
from kronos.saved_run import load_saved_run

TOP_P = (0.9, 0.95, 1.0)


def load(options: argparse.Namespace) -> tuple[KronosForecaster, Origins]:
    """Return the forecaster, and the origins of its evaluation."""
    if options.run:
        config, tokenizer, model = load_saved_run(options.run)
        candles, _ = load_candles(config.data, config.repairs)
        held_out = choose_held_out(config, candles, split_candles(candles, config.data))
        return build_own(config, tokenizer, model), held_out.origins.select_positive()
    config = build_model_config(options.model, options.tokenizer, options.data, None, options.overrides)
    candles, _ = load_candles(config.data, config.repairs)
    config = split_for_model(config, candles, None)
    own = build_judged(config, *load_judged_models(config))
    return own, choose_for_model(config, candles)[0].origins.select_positive()


def write(figure: HorizonFigures, sign: str = "") -> str:
    return f"{100 * figure.overall:{sign}.1f}% [{100 * figure.low:{sign}.1f}, {100 * figure.high:{sign}.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare values of top_p on random walks.")
    parser.add_argument("--run", type=Path, help="the folder of a run")
    parser.add_argument("--model", help="instead of a run: a model")
    parser.add_argument("--tokenizer", help="of the model")
    parser.add_argument("--data", type=Path, help="candles for the model")
    parser.add_argument("--walks", type=int, default=256, help="an even number")
    parser.add_argument("--paths", type=int, default=64, help="paths of each walk")
    parser.add_argument("overrides", nargs="*", help="settings of the model's evaluation, section.key=value")
    options = parser.parse_args()
    if (options.run is None) == (options.model is None):
        parser.error("give either --run or --model")
    PartialState()
    own, origins = load(options)
    walks = build_walks(origins, options.walks)
    print(f"{own.name}: {len(walks)} walks, {options.paths} paths, lookback {walks.lookback}, horizon {walks.horizon}")
    print(
        "| top_p | invented drift | same for mirror images | width | coverage of the 90% band | cost | CRPS against top_p 1 |"
    )
    print("|---|---|---|---|---|---|---|")
    rows = {}
    for top_p in TOP_P:
        sampled = replace(own, sampling=replace(own.sampling, top_p=top_p)).sample(walks.known(), options.paths, seed=0)
        rows[top_p] = score_walks(own.name, sampled, walks)
    for top_p, row in rows.items():
        change = (1 + row.cost.overall) / (1 + rows[1.0].cost.overall) - 1
        shared = write(row.shared_drift) if row.shared_drift else ""
        figures = (write(row.drift), shared, write(row.width), write(row.coverage), write(row.cost, "+"))
        print(f"| {top_p:g} | {' | '.join(figures)} | {100 * change:+.1f}% |")


if __name__ == "__main__":
    main()
