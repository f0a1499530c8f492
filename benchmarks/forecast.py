"""Time and peak memory of forecasting, compared with plain recomputation.

    python benchmarks/forecast.py [--preset small] [--lookback 512] [--horizon 48] [--paths 1 30]

The weights are random. The context policies `slide` (the default) and `grow` are compared with the plain way, which reads the
latest max_context tokens of every path again at every step, as the reference implementation does. Each measurement is a
process of its own, to measure its own peak memory; the memory of the imports is subtracted. Compare the ratios. With 30
paths the plain way takes many minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain_decoding import generate_plainly
from kronos.forecast.decoding.generate import generate_paths
from kronos.forecast.decoding.options import Decoding
from kronos.forecast.sampling import Sampling
from kronos.model import PRESETS, Kronos, KronosTokenizer

MEBIBYTE = 2**20
WAYS = ("plain", "slide", "grow")


def measure(way: str, options: argparse.Namespace, n_paths: int) -> dict[str, float]:
    """Return the seconds and peak memory of one forecast, after a shorter one as warm-up."""
    torch.manual_seed(0)
    preset = PRESETS[options.preset]
    tokenizer, model = KronosTokenizer(**preset.tokenizer).eval(), Kronos(**preset.base_model).eval()
    policy = "recompute" if way == "plain" else way
    decoding = Decoding(options.max_context, policy, Sampling(temperature=1.0, top_p=0.9))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def forecast(horizon: int, n_paths: int) -> None:
        lookback, known = torch.randn(1, options.lookback, 6), torch.ones(1, options.lookback, 5)
        future, uniforms = torch.ones(1, horizon, 5), torch.rand(1, n_paths, horizon, 2)
        if way == "plain":
            generate_plainly(tokenizer, model, lookback, known, future, uniforms, decoding)
        else:
            generate_paths(tokenizer, model, lookback, (options.lookback,), known, future, uniforms, decoding)

    forecast(2, 1)
    start = time.perf_counter()
    forecast(options.horizon, n_paths)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "mebibytes": peak * 1024 / MEBIBYTE}


def run_apart(way: str, n_paths: int) -> dict[str, float]:
    """Measure in a process of its own, with the options of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", way, str(n_paths)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare time and memory of forecasting with plain recomputation.")
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--lookback", type=int, default=512, help="known candles")
    parser.add_argument("--horizon", type=int, default=48, help="candles to forecast")
    parser.add_argument("--max-context", type=int, default=512, help="the most tokens to attend to")
    parser.add_argument("--paths", type=int, nargs="+", default=[1, 30], help="paths per forecast")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker[0], options, int(options.worker[1]))))
        return
    print(
        f"{options.preset}, lookback {options.lookback}, horizon {options.horizon}, {torch.get_num_threads()} threads"
    )
    print(f"{'paths':>5}  {'way':<6} {'seconds':>9} {'times as fast':>14} {'peak MiB':>9} {'of plain memory':>17}")
    for n_paths in options.paths:
        plain = None
        for way in WAYS:
            result = run_apart(way, n_paths)
            plain = plain or result
            speed, memory = plain["seconds"] / result["seconds"], result["mebibytes"] / plain["mebibytes"]
            print(
                f"{n_paths:>5}  {way:<6} {result['seconds']:9.2f} {speed:14.1f} {result['mebibytes']:9.0f} {memory:17.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
