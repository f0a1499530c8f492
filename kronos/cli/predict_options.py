"""The options of `kronos predict`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from kronos.config.section import DEFAULT_CONTEXT, MAX_CANDLES

MAX_SEED = 2**32 - 1
DEFAULT_HORIZON = 48

_models = partial(typer.Option, rich_help_panel="Models")
_series = partial(typer.Option, rich_help_panel="What to forecast")
_sampling = partial(typer.Option, rich_help_panel="Sampling")
_computing = partial(typer.Option, rich_help_panel="Computing")
_output = partial(typer.Option, rich_help_panel="Output")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SECTION.KEY=VALUE]...",
        help="How --data is read, e.g. 'data.columns={symbol: Name}' or repairs.conflicting=last",
    ),
]
Run = Annotated[Path | None, _models("--run", help="A run's folder, {base_path}/{exp_name}.")]
Model = Annotated[str | None, _models("--model", help="Instead of a run: any model: a folder, a hub name or nano.")]
Tokenizer = Annotated[
    str | None,
    _models("--tokenizer", help="With --model: its tokenizer; by default the one that belongs to the model."),
]

Data = Annotated[
    str | None,
    _series("--data", help="A file of candles, a folder of them, a glob or a URL; by default the run's candles."),
]
Origin = Annotated[
    str, _series("--origin", help="The last known candle: a local time like '2024-04-02 10:10', or last.")
]
Horizon = Annotated[
    int | None,
    _series("--horizon", help=f"Candles to forecast; by default the run's, else {DEFAULT_HORIZON}."),
]
Lookback = Annotated[
    int | None,
    _series("--lookback", max=MAX_CANDLES, help="Candles to forecast from; by default the run's, else --max-context."),
]
Exchange = Annotated[
    str | None, _series("--exchange", help="The exchange whose calendar gives the future times: XSHG, XNYS, 24/7, …")
]

Paths = Annotated[int, _sampling("--paths", help="Futures to sample.")]
Seed = Annotated[int, _sampling("--seed", max=MAX_SEED, help="The same seed gives the same forecast.")]
Temperature = Annotated[
    float | None,
    _sampling("--temperature", "-T", max=1000, help="0 is greedy; by default the run's report.temperature, else 1."),
]
TopK = Annotated[
    int, _sampling("--top-k", max=MAX_CANDLES, help="Draw from the k most probable tokens; 0 for all of them.")
]
TopP = Annotated[
    float | None,
    _sampling("--top-p", help="Draw from this share of probability; by default the run's report.top_p, else 1 (all)."),
]

Calibrate = Annotated[
    bool,
    _sampling(
        "--calibrate/--no-calibrate",
        help="Correct the quantiles of prices by the run's calibration (evaluation.calibrate), if there is one.",
    ),
]

Policy = Annotated[
    Literal["grow", "slide", "recompute"],
    _computing(
        "--context-policy", help="What to do when lookback and horizon exceed --max-context; see docs/forecasting.md."
    ),
]
MaxContext = Annotated[
    int | None,
    _computing(
        "--max-context",
        max=MAX_CANDLES,
        help=f"The most tokens to attend to; by default what the model was trained with, else {DEFAULT_CONTEXT}.",
    ),
]
Device = Annotated[str, _computing("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    _computing("--dtype", help="Number format of the base model's computation."),
]
Compile = Annotated[
    bool, _computing("--compile", help="Use torch.compile: it starts slowly, and gains nothing on a CPU.")
]

Quantiles = Annotated[str, _output("--quantiles", help="The quantiles to write, between 0 and 1.")]
Format = Annotated[Literal["csv", "parquet"], _output("--format", help="Format of the tables.")]
SavePaths = Annotated[bool, _output("--save-paths", help="Write every sampled path too.")]
Pictures = Annotated[bool, _output("--pictures/--no-pictures", help="A PNG and an HTML page (5 MB) of each series.")]
RisingColour = Annotated[
    Literal["hollow", "red", "green"] | None,
    _output(
        "--rising", help="Colour of rising candles (red in China); by default the run's report.rising, else hollow."
    ),
]
Out = Annotated[Path, _output("--out", help="The folder to write to.")]
Log = Annotated[
    bool,
    _output("--log", help="Write the forecasts to the ledger first; kronos score grades them when the candles come."),
]
LedgerFile = Annotated[
    Path | None, _output("--ledger", help="With --log: the ledger.", show_default="ledger.db in --out")
]
AsJson = Annotated[bool, _output("--json", help="Print the forecasts as JSON.")]
