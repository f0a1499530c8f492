"""Pretrain nano, the small model in this package, from SYNTHETIC candles only: markets of synthetic_markets.py.

Most of the markets are random walks, because a model should not forecast a drift that is not there. The rest have a small
predictable part. The run is that of configs/pretrain_nano.yaml; overrides are passed on to it.

    python examples/pretrain_nano.py [--out finetuned/nano/shipped] [--symbols 600] [--seed 1] [section.key=value ...]

It takes about 20 minutes on one core.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from synthetic_markets import draw_markets, simulate

from kronos.config import load_config

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "pretrain_nano.yaml"
N_CANDLES = 3000  # of each symbol
BLOCK = 100  # symbols simulated at once
RANDOM_WALKS = 0.85  # share of the markets
HELD_OUT = 0.1  # share of the symbols that only validate
# A small batch: the tokenizer needs many steps rather than exact ones.
STAGES = {
    "finetune_tokenizer.py": ["training.batch_size=8"],
    "finetune_base_model.py": [],
}


def name_symbols(n_symbols: int) -> list[str]:
    return [f"S{i:04d}" for i in range(n_symbols)]


def write_candles(path: Path, n_symbols: int, seed: int) -> None:
    """Simulate the markets and write their candles to one Parquet file."""
    markets, names = draw_markets(n_symbols, seed, RANDOM_WALKS), name_symbols(n_symbols)
    frames = []
    for first in range(0, n_symbols, BLOCK):
        block = range(first, min(first + BLOCK, n_symbols))
        simulations = simulate([markets[i] for i in block], N_CANDLES, [seed * 1_000_000 + i for i in block])
        frames += [each.candles.assign(symbol=names[i]) for i, each in zip(block, simulations)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_parquet(path, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pretrain nano on synthetic markets.")
    parser.add_argument("--out", type=Path, default=Path("finetuned/nano/shipped"), help="folder for the two models")
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1, help="of the markets and of the training")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    options = parser.parse_args()
    held_out = name_symbols(options.symbols)[-int(HELD_OUT * options.symbols) :]
    overrides = [f"data.val_symbols=[{', '.join(held_out)}]", f"training.seed={options.seed}", *options.overrides]
    config = load_config(CONFIG, overrides)
    write_candles(config.data.data_path[0], options.symbols, options.seed)
    for script, own in STAGES.items():
        subprocess.run([sys.executable, ROOT / script, "--config", CONFIG, *own, *overrides], check=True)
    run = config.model_paths.run_folder
    for part, stage in (("tokenizer", run.tokenizer), ("basemodel", run.basemodel)):
        (options.out / part).mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copy(stage.best_model / name, options.out / part / name)


if __name__ == "__main__":
    main()
