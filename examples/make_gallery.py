"""Make the pictures of docs/gallery.md. All candles are SYNTHETIC.

    python examples/make_gallery.py               # all pictures, about two minutes on two CPU cores
    python examples/make_gallery.py random_walk   # one of them

Pictures of a fine-tuned model need the run finetuned/gallery, which is trained if it is not there (40 seconds). Each
picture is one command, below; the page shows the same commands.
"""

import argparse
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from synthetic_markets import Market, simulate

from kronos.cli.main import app

ROOT = Path(__file__).parents[1]
RUN, DAILY = Path("finetuned/gallery"), Path("data/gallery_daily")
TRAIN = "train --config configs/demo.yaml model_paths.exp_name=gallery evaluation.calibrate=true"
NANO = "--tokenizer nano --model nano --max-context 120 --lookback 96 --horizon 24"
N_DAYS = 500


class Picture(NamedTuple):
    """command: of `kronos`. series: whose picture is kept."""

    command: str
    series: str


GALLERY = {
    "season": Picture(f"predict --run {RUN} --origin '2024-05-20 14:20' --paths 100 --no-calibrate", "season_5min"),
    "pretrained": Picture(
        f"predict {NANO} --data data/season_5min.csv --origin '2024-05-20 14:20' --paths 100", "season_5min"
    ),
    "calibrated": Picture(f"predict --run {RUN} --origin '2024-05-20 14:20' --paths 100", "season_5min"),
    "random_walk": Picture(
        f"predict {NANO} --data data/synthetic_5min.csv --origin '2024-04-02 10:10' --paths 100", "synthetic_5min"
    ),
    "daily": Picture(f"predict {NANO} --data {DAILY} --paths 100", "TREND"),
    "chinese": Picture(
        f"predict --run {RUN} --origin '2024-05-28 10:30' --paths 100 --language zh --rising red", "season_5min"
    ),
}


def write_daily_candles(folder: Path) -> None:
    """Write the daily candles of four markets, a file each."""
    laws = {"TREND": ("momentum", 0.8), "REVERT": ("revert", 0.1), "SWING": ("ar", 0.3), "WALK": ("none", 0.0)}
    markets = [Market(kind, strength, sigma=0.015, session="daily", gap=0.0) for kind, strength in laws.values()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, simulation in zip(laws, simulate(markets, N_DAYS, range(len(markets)))):
        simulation.candles.to_csv(folder / f"{name}.csv", index=False)


def run_kronos(command: str, *more: str) -> None:
    print(f"$ kronos {shlex.join([*shlex.split(command), *more])}", flush=True)
    app([*shlex.split(command), *more], standalone_mode=False)


def make(name: str, out: Path, more: Sequence[str] = ()) -> Path:
    """Make one picture, and return its file. more: options in addition."""
    picture = GALLERY[name]
    if str(RUN) in picture.command and not (RUN / "report").exists():
        run_kronos(TRAIN)
    if str(DAILY) in picture.command:
        write_daily_candles(DAILY)
    made = Path("forecasts") / "gallery" / name
    run_kronos(picture.command, *more, "--out", str(made))
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(made / f"{picture.series}_forecast.png", out / f"{name}.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of docs/gallery.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(GALLERY)}; by default all")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"), help="folder, from that of the repository")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in GALLERY]:
        parser.error(f"there is no picture {', '.join(unknown)}. Choose from {', '.join(GALLERY)}.")
    os.chdir(ROOT)
    for name in options.names or GALLERY:
        print(f"picture written to {make(name, options.out)}")


if __name__ == "__main__":
    main()
