"""Which recipe of fine-tuning helps, and which never hurts, on markets whose truth is known.

    python benchmarks/recipes.py --screen                 # six targets, one seed
    python benchmarks/recipes.py --confirm --recipes published "lora 1e-3, horizon"
    python benchmarks/recipes.py --table

Each run fine-tunes the same pretrained model with the product's own engine on one target (known_markets.py) by one recipe
(recipe_list.py), and measures the expected CRPS of what it leaves against that of the pretrained model and of the
oracle. A run is one line of the results file; runs that the file has are not repeated.
"""

import argparse
import fnmatch
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest
from tqdm import tqdm
from transformers import TrainerCallback

from benchmarks.known_markets import (
    CLIP,
    HORIZON,
    LOOKBACK,
    TARGETS,
    Origins,
    Target,
    compute_skill,
    draw_origins,
    measure_model,
    write_replayed,
)
from benchmarks.recipe_list import RECIPES, STEPS, VALIDATE_EVERY, Recipe
from kronos.config.load import build_config
from kronos.config.schema import Config
from kronos.data import WindowDataset
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.training.fit.blend import (
    HORIZONS_A_STRETCH,
    SHARES,
    blend_weights,
    choose_share,
    compare_shares,
    number_stretches,
)
from kronos.training.fit.lora_and_freezing import merge
from kronos.training.inputs.tokens import encode_candles
from kronos.training.pipeline import RunInputs, run_pipeline

Array = np.ndarray
SCREENED = (
    "season",
    "momentum, short",
    "walk",
    "walk, US, short",
    "reversal of returns, US",
    "walk, 6 symbols",
)
VALIDATION_WINDOWS = 48  # that overlap less than all windows do
WORSE = 0.005  # of the pretrained model's expected CRPS: more is counted as harm


@dataclass(frozen=True)
class Settings:
    """What decides the figures of a run besides recipe, target and seed.

    tokenizer, predictor: the pretrained models. n_origins, n_paths, n_futures: of the expected CRPS. overrides: for
    every recipe, after its own.
    """

    tokenizer: str = "nano"
    predictor: str = "nano"
    n_origins: int = 192
    n_paths: int = 16
    n_futures: int = 256
    overrides: dict[str, Any] = field(default_factory=dict)


class Watch(TrainerCallback):
    """Keeps base models that other rules would keep, and the validation figures.

    by_loss: the lowest loss at all positions. trained: the lowest loss over the horizon after the first step. last: the last.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.by_loss: Kronos | None = None
        self.trained: Kronos | None = None
        self.last: Kronos | None = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not isinstance(kwargs["model"], Kronos):
            return
        figures = {k.removeprefix("eval_"): v for k, v in kwargs["metrics"].items() if k.endswith("loss")}
        self.history.append({"step": state.global_step, **figures})
        if self._is_best("loss", self.history):
            self.by_loss = copy_model(kwargs["model"])
        if state.global_step and self._is_best("horizon_loss", self.history[1:]):
            self.trained = copy_model(kwargs["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if isinstance(kwargs["model"], Kronos):
            self.last = copy_model(kwargs["model"])

    def _is_best(self, name: str, history: list[dict[str, float]]) -> bool:
        return all(history[-1][name] < each[name] for each in history[:-1])


def copy_model(model: Kronos) -> Kronos:
    """Return a plain copy of a model, LoRA merged."""
    merged = merge(model)
    plain = Kronos.from_config(merged._hub_mixin_config, "a copy")
    plain.load_state_dict(merged.state_dict())
    return plain.eval()


def blend(pretrained: Kronos, tuned: Kronos, share: float) -> Kronos:
    """Return a model with (1 − share) of the pretrained weights and share of the fine-tuned ones."""
    mixed = copy_model(pretrained)
    mixed.load_state_dict(blend_weights(pretrained, tuned, share))
    return mixed


class Validation:
    """The loss of base models over the horizons of the validation windows, as the engine computes it."""

    def __init__(self, tokenizer: KronosTokenizer, windows: WindowDataset) -> None:
        batch = windows.__getitems__(range(len(windows)))
        self._tokens, self._stamp = encode_candles(tokenizer, batch["candles"]), batch["stamp"]
        self._stretches = number_stretches(windows.candles, batch["window"], HORIZONS_A_STRETCH * HORIZON)

    @torch.no_grad()
    def measure(self, model: Kronos) -> Array:
        """Return the loss (B,) of each window in nats."""
        output = model(*self._tokens, self._stamp, n_horizon=HORIZON, max_context=LOOKBACK + HORIZON)
        losses: Array = output.horizon_loss.double().numpy()
        return losses

    def choose_shares(self, blends: dict[float, Kronos]) -> dict[str, Any]:
        """Return the share that the product chooses, two others for comparison, and the figures.

        lowest: the share with the lowest loss. cautious: the smallest share at most one standard error above it.
        """
        losses = np.stack([self.measure(model) for model in blends.values()])
        means, errors = compare_shares(losses, self._stretches)
        near = means - means.min() <= errors
        shares = list(blends)
        return {
            "chosen": choose_share(means.tolist(), errors.tolist()),
            "lowest": shares[int(means.argmin())],
            "cautious": shares[int(near.argmax())],
            "losses": means.round(5).tolist(),
            "errors": errors.round(5).tolist(),
        }


@lru_cache
def load_pretrained(settings_key: tuple[str, str]) -> tuple[KronosTokenizer, Kronos]:
    tokenizer, predictor = settings_key
    return KronosTokenizer.from_pretrained(tokenizer), Kronos.from_pretrained(predictor)


@dataclass(frozen=True, eq=False)
class Measured:
    """A target's origins, and the expected CRPS (N,) of the pretrained model on them."""

    origins: Origins
    pretrained: Array


@lru_cache(maxsize=len(TARGETS))
def measure_target(name: str, models: tuple[str, str], n_origins: int, n_paths: int, n_futures: int) -> Measured:
    """Draw the origins of a target and measure the pretrained model on them; once for all recipes and seeds."""
    origins = draw_origins(TARGETS[name], n_origins, n_futures, seed=list(TARGETS).index(name))
    return Measured(origins, measure_model(*load_pretrained(models), origins, n_paths))


def build_run_config(recipe: Recipe, target: Target, seed: int, folder: Path, settings: Settings) -> Config:
    """Return the configuration of a run: what all runs share, then the recipe."""
    total = target.n_train + target.n_val
    values: dict[str, Any] = {
        "data": {
            "data_path": str(folder / "candles.csv"),
            "cache_dir": str(folder / "cache"),
            "lookback_window": LOOKBACK,
            "predict_window": HORIZON,
            "max_context": LOOKBACK + HORIZON,
            "clip": CLIP,
            "train_ratio": target.n_train / total,
            "val_ratio": target.n_val / total,
            "windows_per_epoch": "independent",
            "val_windows": VALIDATION_WINDOWS,
        },
        "training": {
            "max_steps": STEPS,
            "eval_steps": VALIDATE_EVERY,
            "save_steps": 100_000,
            "log_interval": 100_000,
            "best_by": "horizon_loss",
            "teacher_forcing": True,
            "seed": seed,
        },
        "model_paths": {
            "pretrained_tokenizer": settings.tokenizer,
            "pretrained_predictor": settings.predictor,
            "base_path": str(folder),
            "exp_name": "run",
        },
        "experiment": {"train_tokenizer": False},
        "device": {"use_cuda": False},
    }
    if recipe.replay:
        values["data"]["replay"] = str(folder / "replay.csv")
    return build_config(values).override(recipe.overrides | settings.overrides)


def run_one(recipe_name: str, target_name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Fine-tune and measure; return the line for the results file."""
    recipe, target = RECIPES[recipe_name], TARGETS[target_name]
    models = (settings.tokenizer, settings.predictor)
    measured = measure_target(target_name, models, settings.n_origins, settings.n_paths, settings.n_futures)
    watch, kept_inputs = Watch(), list[RunInputs]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        target.write_candles(folder / "candles.csv", seed)
        if recipe.replay:
            write_replayed(folder / "replay.csv")
        config = build_run_config(recipe, target, seed, folder, settings)
        started = time.perf_counter()
        with recipe.run_experiment():
            run_pipeline(config, False, [watch], on_inputs=lambda _, inputs: kept_inputs.append(inputs))
        seconds = time.perf_counter() - started
        tokenizer, kept = load_result(config, models)
    variants, blend_notes = list_variants(
        load_pretrained(models), tokenizer, kept, watch, kept_inputs[0].windows["val"]
    )
    return {
        "recipe": recipe_name,
        "target": target_name,
        "seed": seed,
        "settings": asdict(settings),
        "seconds": round(seconds, 1),
        "oracle": compute_skill(measured.origins.measure_oracle(), measured.pretrained),
        "variants": measure_variants(variants, tokenizer, measured, settings, load_pretrained(models)),
        "blend": blend_notes,
        "history": watch.history,
    }


def load_result(config: Config, models: tuple[str, str]) -> tuple[KronosTokenizer, Kronos]:
    """Return the tokenizer and the base model that a run leaves, the pretrained one in the place of one not trained."""
    tokenizer, model = load_pretrained(models)
    run = config.model_paths.run_folder
    if config.experiment.train_tokenizer:
        tokenizer = KronosTokenizer.from_pretrained(run.tokenizer.best_model)
    if config.experiment.train_basemodel:
        model = Kronos.from_pretrained(run.basemodel.best_model)
    return tokenizer, model


def list_variants(
    pretrained: tuple[KronosTokenizer, Kronos],
    tokenizer: KronosTokenizer,
    kept: Kronos,
    watch: Watch,
    val: WindowDataset,
) -> tuple[dict[str, Kronos], dict[str, Any]]:
    """Return the models to measure: what the run keeps, and what other rules would have kept of the same run; and notes."""
    if watch.last is None or watch.by_loss is None or watch.trained is None:
        return {"kept": kept}, {}
    variants = {"kept": kept, "kept by loss": watch.by_loss, "last": watch.last}
    if hash_weights(tokenizer) != hash_weights(pretrained[0]):
        return variants, {}
    blends = {share: blend(pretrained[1], watch.trained, share) for share in SHARES}
    notes = Validation(tokenizer, val).choose_shares(blends)
    rules = {"blended": "chosen", "blended, lowest": "lowest", "blended, cautious": "cautious"}
    variants |= {variant: blends[notes[rule]] for variant, rule in rules.items()}
    return variants, notes


def measure_variants(
    variants: dict[str, Kronos],
    tokenizer: KronosTokenizer,
    measured: Measured,
    settings: Settings,
    pretrained: tuple[KronosTokenizer, Kronos],
) -> dict[str, tuple[float, float]]:
    """Return each variant's skill against the pretrained model and its standard error; equal weights are measured once."""
    same_tokenizer = hash_weights(tokenizer) == hash_weights(pretrained[0])
    known = {hash_weights(pretrained[1]): measured.pretrained} if same_tokenizer else {}
    results = {}
    for name, model in variants.items():
        key = hash_weights(model)
        if key not in known:
            known[key] = measure_model(tokenizer, model, measured.origins, settings.n_paths)
        results[name] = compute_skill(known[key], measured.pretrained)
    return results


Key = tuple[str, str, int]  # recipe, target, seed


def read_results(path: Path, settings: Settings) -> dict[Key, dict[str, Any]]:
    """Return the runs that a results file has with these settings."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines if line.strip()]
    return {(run["recipe"], run["target"], run["seed"]): run for run in runs if run["settings"] == asdict(settings)}


def run_all(jobs: Iterable[Key], out: Path, settings: Settings, workers: int) -> None:
    """Run what the results file does not have; append a line for each run as it ends."""
    done = read_results(out, settings)
    left = [job for job in jobs if job not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(left), desc="recipes", unit="run", disable=None)
    with out.open("a", encoding="utf-8") as file:
        for run in _run_jobs(left, settings, workers):
            file.write(json.dumps(run) + "\n")
            file.flush()
            bar.set_postfix_str(f"{run['recipe']} · {run['target']}")
            bar.update()
    bar.close()


def _run_jobs(jobs: list[Key], settings: Settings, workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from (run_one(*job, settings) for job in jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(run_one, *zip(*jobs), [settings] * len(jobs)) if jobs else ()


def summarise(runs: list[dict[str, Any]], variant: str) -> dict[str, Any]:
    """Return the figures of a recipe's runs for the table."""
    skills = np.array([run["variants"][variant][0] for run in runs])
    known = np.array([TARGETS[run["target"]].predictable for run in runs])
    oracle = np.array([run["oracle"][0] for run in runs])
    worse = binomtest(int((skills < -WORSE).sum()), len(skills))
    interval = worse.proportion_ci(method="wilson")
    return {
        "n": len(runs),
        "worse": worse.k,
        "interval": (interval.low, interval.high),
        "worst": float(skills.min()),
        "gain": float(skills[known].mean()) if known.any() else np.nan,
        "share": float(skills[known].sum() / oracle[known].sum()) if known.any() else np.nan,
        "walks": float(skills[~known].mean()) if (~known).any() else np.nan,
        "error": float(np.mean([run["variants"][variant][1] for run in runs])),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
    }


def print_table(console: Console, title: str, runs: list[dict[str, Any]]) -> None:
    """Print a row for each recipe and each rule of keeping a model."""
    table = Table(title=title, title_justify="left")
    for head in ("recipe", "kept", "runs", "worse by > 0.5%", "worst", "gain", "of oracle's", "walks", "± 1 SE", "s"):
        table.add_column(head, justify="left" if head in ("recipe", "kept") else "right", no_wrap=True)
    for recipe in dict.fromkeys(run["recipe"] for run in runs):
        own = [run for run in runs if run["recipe"] == recipe]
        for variant in own[0]["variants"]:
            row = summarise([run for run in own if variant in run["variants"]], variant)
            low, high = row["interval"]
            table.add_row(
                recipe if variant == "kept" else "",
                variant,
                str(row["n"]),
                f"{row['worse']} [{100 * low:.0f}, {100 * high:.0f}]%",
                *(f"{100 * row[key]:+.1f}%" for key in ("worst", "gain")),
                f"{100 * row['share']:.0f}%",
                f"{100 * row['walks']:+.2f}%",
                f"{100 * row['error']:.2f}%",
                f"{row['seconds']:.0f}",
            )
    console.print(table)


def choose(names: Iterable[str], patterns: list[str] | None, default: Iterable[str]) -> list[str]:
    """Return the names that a pattern such as "full*" matches, in their order; without patterns, the default."""
    if patterns is None:
        return list(default)
    chosen = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not chosen:
        raise SystemExit(f"{patterns} matches none of: {', '.join(names)}.")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--screen", action="store_true", help=f"{len(SCREENED)} targets, one seed")
    parser.add_argument("--confirm", action="store_true", help="all targets, three seeds")
    parser.add_argument("--table", action="store_true", help="only print the tables of the results file")
    parser.add_argument("--recipes", nargs="+", help='names or patterns such as "full*"; all by default')
    parser.add_argument("--targets", nargs="+", help="names or patterns")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("finetuned/recipes.jsonl"), help="the results file")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--tokenizer", default=Settings.tokenizer, help="the pretrained tokenizer: a name or a folder")
    parser.add_argument("--predictor", default=Settings.predictor, help="the pretrained base model")
    parser.add_argument("--origins", type=int, default=Settings.n_origins, help="of the expected CRPS")
    parser.add_argument("--paths", type=int, default=Settings.n_paths, help="of a model at each origin")
    given = parser.parse_args(arguments)
    settings = Settings(given.tokenizer, given.predictor, given.origins, given.paths)
    recipes = choose(RECIPES, given.recipes, RECIPES)
    targets = choose(TARGETS, given.targets, TARGETS if given.confirm or given.table else SCREENED)
    seeds = given.seeds or (range(3) if given.confirm else range(1))
    if not given.table:
        jobs = ((recipe, target, seed) for seed in seeds for recipe in recipes for target in targets)
        run_all(jobs, given.out, settings, given.workers)
    results = read_results(given.out, settings)
    shown = [run for run in results.values() if run["recipe"] in recipes and run["target"] in targets]
    console = Console(width=150)
    for half in ("chosen on", "reported on"):
        if own := [run for run in shown if TARGETS[run["target"]].half == half]:
            print_table(console, f"targets {half}", own)


if __name__ == "__main__":
    main()
