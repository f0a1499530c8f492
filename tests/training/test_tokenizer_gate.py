"""The tokenizer's figures, and the gate: what got worse is not kept, nothing is lost, and a kill is survived."""

import logging
import math
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from kronos import KronosTokenizer, load_config
from kronos.data import CandleSet, WindowDataset
from kronos.model.pretrained import hash_weights
from kronos.stage_record import StageRecord
from kronos.training import run_pipeline, tokenizer_gate
from kronos.training import stage as stage_module
from kronos.training.pipeline import prepare_inputs
from kronos.training.tokenizer_gate import (
    TokenizerFigures,
    TokenizerHealth,
    measure_codes,
    measure_tokenizer,
    read_health,
)
from tests.conftest import GOLDEN, ROOT
from tests.training.conftest import FinishedRun
from tests.training.runs import BOTH, Killed, equal, run, weights
from tests.training.test_distributed import TORCHRUN, launch

KEEP = "training.keep_worse_tokenizer=true"


def spoil(folder: Path) -> None:
    """Make a saved tokenizer reconstruct worse, as if training had."""
    tokenizer = KronosTokenizer.from_pretrained(folder)
    with torch.no_grad():
        tokenizer.head.bias += 0.5
    tokenizer.save_pretrained(folder)


class Spoiling(TrainerCallback):
    """Spoils the best model of the tokenizer stage when its training ends."""

    def on_train_end(self, args, state, control, **kwargs) -> None:
        if Path(args.output_dir).parent.name == "tokenizer" and state.is_world_process_zero:
            spoil(Path(args.output_dir).parent / "best_model")


def run_spoilt(tiny_config: Path, *overrides: str, stages=BOTH):
    on = [f"experiment.train_{name}={str(name in stages).lower()}" for name in BOTH]
    return run_pipeline(load_config(tiny_config, [*on, *overrides]), False, [Spoiling()])


def pretrained() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "tokenizer" / "model.safetensors")


def rejected(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "tokenizer" / "rejected_model" / "model.safetensors")


def hash_of(folder: Path) -> str:
    return hash_weights(KronosTokenizer.from_pretrained(folder))


@pytest.fixture
def never_trains_again(monkeypatch: pytest.MonkeyPatch):
    """Gives what is measured and trained from its call on; the tokenizer must not be trained."""

    def watch() -> list[str]:
        done: list[str] = []
        train, measure = stage_module._train, tokenizer_gate.measure_tokenizer
        monkeypatch.setattr(
            stage_module, "_train", lambda config, stage, *rest: done.append(stage.name) or train(config, stage, *rest)
        )
        monkeypatch.setattr(
            tokenizer_gate, "measure_tokenizer", lambda *given: done.append("measured") or measure(*given)
        )
        return done

    return watch


def measure_plainly(tokenizer: KronosTokenizer, windows: WindowDataset, chosen: list[int]) -> dict[str, float]:
    """The figures by their definitions, a window, a candle, a price at a time."""
    lookback, clip = windows.config.lookback_window, windows.config.clip
    errors, codes, hits = [], ([], []), []
    for number in chosen:
        start = windows.starts[number]
        raw = np.asarray(windows.candles.values[start : start + windows.config.window], np.float64)
        mean, std = raw[:lookback].mean(0), raw[:lookback].std(0)
        scale = std + 1e-5 * np.where(mean == 0, 1, np.minimum(np.abs(mean), 1))
        normalised = (raw - mean) / scale
        hits += (np.abs(normalised) >= clip).flatten().tolist()
        inputs = torch.tensor(np.clip(normalised, -clip, clip), dtype=torch.float32)[None]
        with torch.no_grad():
            output = tokenizer(inputs)
        fine = output.fine[0].double().numpy() * scale + mean
        for t in range(len(raw)):
            bits = (output.codes[0, t] > 0).tolist()
            for own, half in zip(codes, (bits[: tokenizer.s1_bits], bits[tokenizer.s1_bits :])):
                own.append(sum(2**i for i, bit in enumerate(half) if bit))
            errors += [abs(fine[t, j] - raw[t, j]) / raw[t, j] * 1e4 for j in range(4) if raw[t, j] > 0]
    figures = {"error_bp": sum(errors) / len(errors), "clip_rate": sum(hits) / len(hits)}
    for name, own, bits in zip(("s1", "s2"), codes, (tokenizer.s1_bits, tokenizer.s2_bits)):
        p = [n / len(own) for n in Counter(own).values()]
        figures |= {f"{name}_used": len(p) / 2**bits, f"{name}_perplexity": math.exp(-sum(x * math.log(x) for x in p))}
    return figures


@pytest.mark.parametrize("n_windows", [512, 5])
def test_figures_are_what_they_say(tiny_config: Path, n_windows: int) -> None:
    inputs = prepare_inputs(load_config(tiny_config, ["data.clip=1.5"]))
    windows, tokenizer = inputs.windows["val"], inputs.tokenizer
    assert len(windows) == 17
    figures = measure_tokenizer(tokenizer, windows, n_windows)
    expected = measure_plainly(tokenizer, windows, [0, 3, 6, 10, 13] if n_windows == 5 else list(range(17)))
    assert 0.01 < expected["clip_rate"] < 0.5
    assert figures.n_windows == min(n_windows, 17) and figures.tokenizer_hash == hash_weights(tokenizer)
    for name, figure in expected.items():
        assert getattr(figures, name) == pytest.approx(figure, rel=1e-4), name


def test_prices_of_0_or_less_do_not_count(tiny_config: Path) -> None:
    inputs = prepare_inputs(load_config(tiny_config))
    windows, tokenizer = inputs.windows["val"], inputs.tokenizer

    def with_values(values: np.ndarray) -> WindowDataset:
        candles: CandleSet = windows.candles
        changed = CandleSet(**{**vars(candles), "values": values.astype(np.float32)})
        return WindowDataset(changed, windows.starts, windows.config)

    values = np.array(windows.candles.values)
    spread = values.copy()
    spread[:, :4] -= np.median(values[:, :4])
    assert math.isfinite(measure_tokenizer(tokenizer, with_values(spread)).error_bp)
    expected = measure_plainly(tokenizer, with_values(spread), list(range(17)))
    assert measure_tokenizer(tokenizer, with_values(spread)).error_bp == pytest.approx(expected["error_bp"], rel=1e-3)
    values[:, :4] *= -1
    assert math.isnan(measure_tokenizer(tokenizer, with_values(values)).error_bp)


def test_perplexity_of_uniform_codes_is_their_number() -> None:
    assert measure_codes(np.tile(np.arange(64), 3), 64) == (1.0, pytest.approx(64))
    assert measure_codes(np.tile(np.arange(16), 5), 64) == (0.25, pytest.approx(16))
    assert measure_codes(np.zeros(9, np.int64), 64) == (1 / 64, 1.0)


def test_measuring_changes_nothing(tiny_config: Path) -> None:
    inputs = prepare_inputs(load_config(tiny_config))
    state = torch.get_rng_state()
    first, second = (measure_tokenizer(inputs.tokenizer, inputs.windows["val"]) for _ in range(2))
    assert first == second and torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in inputs.tokenizer.parameters())


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [(10.0, 10.1, True), (10.0, 10.0, False), (10.0, 9.0, False), (10.0, math.nan, True), (math.nan, 9.0, False)],
)
def test_what_is_worse(before: float, after: float, worse: bool) -> None:
    figures = TokenizerFigures(
        n_windows=1, error_bp=before, s1_used=1, s2_used=1, s1_perplexity=1, s2_perplexity=1, clip_rate=0
    )
    health = TokenizerHealth(before=figures, after=figures.model_copy(update={"error_bp": after}), kept="after")
    assert health.got_worse is worse
    again = TokenizerHealth.model_validate_json(health.model_dump_json())  # NaN is null in the file
    assert again.got_worse is worse


def test_a_better_tokenizer_is_kept(finished: FinishedRun) -> None:
    run_dir, result = finished.run_dir, finished.result
    health = read_health(run_dir / "tokenizer")
    assert health.kept == "after" and health.after.error_bp < health.before.error_bp
    assert health.before.tokenizer_hash == hash_of(GOLDEN / "tokenizer")
    assert health.after.tokenizer_hash == hash_of(run_dir / "tokenizer" / "best_model")
    assert result.records["basemodel"].tokenizer_hash == health.after.tokenizer_hash
    assert not (run_dir / "tokenizer" / "rejected_model").exists()
    line = (
        f"tokenizer  reconstruction error {health.before.error_bp:.1f} → {health.after.error_bp:.1f} bp, s1 codes used "
    )
    assert sum(message.startswith(line) for message in finished.messages) == 1


@pytest.mark.slow
def test_a_worse_tokenizer_is_set_aside(
    tiny_config: Path, run_dir: Path, caplog: pytest.LogCaptureFixture, never_trains_again
) -> None:
    with caplog.at_level(logging.WARNING, logger="kronos"):
        result = run_spoilt(tiny_config)
    health = read_health(run_dir / "tokenizer")
    assert health.kept == "before" and health.after.error_bp > health.before.error_bp
    assert equal(weights(run_dir / "tokenizer"), pretrained())
    assert health.after.tokenizer_hash == hash_of(run_dir / "tokenizer" / "rejected_model")
    assert result.records["basemodel"].tokenizer_hash == health.before.tokenizer_hash
    assert f"({health.before.error_bp:.1f} → {health.after.error_bp:.1f} bp). " in caplog.text.replace(
        "reconstruction error ", ""
    )
    done = never_trains_again()
    run(tiny_config, skip_existing=True)
    assert done == [] and read_health(run_dir / "tokenizer") == health


@pytest.mark.slow
def test_a_worse_tokenizer_is_kept_where_told(
    tiny_config: Path, run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="kronos"):
        run_spoilt(tiny_config, KEEP, stages=["tokenizer"])
    health = read_health(run_dir / "tokenizer")
    assert health.kept == "after" and health.got_worse
    assert health.after.tokenizer_hash == hash_of(run_dir / "tokenizer" / "best_model")
    assert "It is kept because of training.keep_worse_tokenizer=true" in caplog.text


@pytest.mark.slow
def test_the_key_takes_effect_without_training_the_tokenizer(
    tiny_config: Path, run_dir: Path, never_trains_again
) -> None:
    run_spoilt(tiny_config)
    worse = rejected(run_dir)
    done = never_trains_again()
    record = run(tiny_config, KEEP, skip_existing=True).records["basemodel"]
    assert equal(weights(run_dir / "tokenizer"), worse) and not (run_dir / "tokenizer" / "rejected_model").exists()
    assert record.tokenizer_hash == hash_of(run_dir / "tokenizer" / "best_model")
    run(tiny_config, skip_existing=True)
    assert equal(weights(run_dir / "tokenizer"), pretrained()) and equal(rejected(run_dir), worse)
    assert done == ["basemodel", "basemodel"]


@pytest.mark.slow
@pytest.mark.parametrize("n_writes", [0, 1, 2])
def test_a_kill_between_the_steps_is_survived(
    tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, never_trains_again, n_writes: int
) -> None:
    """Before anything is moved; with the trained one in both places; before health.json is written."""
    run_spoilt(tiny_config, stages=["tokenizer"])
    worse, expected = rejected(run_dir), (run_dir / "tokenizer" / "health.json").read_text()
    written = []

    def counting(write):
        def write_or_die(*given) -> None:
            if len(written) == n_writes:
                raise Killed
            written.append(given)
            write(*given)

        return write_or_die

    with monkeypatch.context() as patched, pytest.raises(Killed):
        for name in ("save_model", "write_sealed"):
            patched.setattr(tokenizer_gate, name, counting(getattr(tokenizer_gate, name)))
        run_spoilt(tiny_config, stages=["tokenizer"])
    assert len(written) == n_writes and not (run_dir / "tokenizer" / "health.json").exists()
    assert StageRecord.read(run_dir / "tokenizer").finished
    done = never_trains_again()
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    assert done == ["measured", "measured"]
    assert equal(weights(run_dir / "tokenizer"), pretrained()) and equal(rejected(run_dir), worse)
    assert (run_dir / "tokenizer" / "health.json").read_text() == expected


@pytest.mark.slow
def test_a_kill_while_the_rejected_one_returns_is_survived(
    tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_spoilt(tiny_config, stages=["tokenizer"])
    worse = rejected(run_dir)

    def die(*given: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(tokenizer_gate.shutil, "rmtree", die)
        run(tiny_config, KEEP, stages=["tokenizer"], skip_existing=True)
    run(tiny_config, KEEP, stages=["tokenizer"], skip_existing=True)
    assert equal(weights(run_dir / "tokenizer"), worse) and not (run_dir / "tokenizer" / "rejected_model").exists()


@pytest.mark.slow
def test_an_untouched_model_is_neither_better_nor_worse(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config, "training.tokenizer_learning_rate=3.0", stages=["tokenizer"])
    health = read_health(run_dir / "tokenizer")
    assert health.before == health.after and health.kept == "after"
    assert not (run_dir / "tokenizer" / "rejected_model").exists()


@pytest.mark.slow
def test_other_weights_are_measured_anew(tiny_config: Path, run_dir: Path, never_trains_again) -> None:
    run(tiny_config, stages=["tokenizer"])
    spoil(run_dir / "tokenizer" / "best_model")
    StageRecord.read(run_dir / "tokenizer").seal(run_dir / "tokenizer")
    done = never_trains_again()
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    assert done == ["measured", "measured"] and read_health(run_dir / "tokenizer").kept == "before"
    (run_dir / "tokenizer" / "health.json").write_text("{")
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    assert len(done) == 4 and read_health(run_dir / "tokenizer").kept == "before"


@pytest.mark.slow
def test_one_that_began_with_another_tokenizer_is_not_compared(
    tiny_config: Path, run_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an update: a finished stage without health.json, and settings that name another pretrained tokenizer."""
    run_spoilt(tiny_config, KEEP, stages=["tokenizer"])
    kept = weights(run_dir / "tokenizer")
    (run_dir / "tokenizer" / "health.json").unlink()
    (tmp_path / "other").symlink_to(GOLDEN / "tokenizer")
    with caplog.at_level(logging.WARNING, logger="kronos"):
        run(
            tiny_config,
            f"model_paths.pretrained_tokenizer={tmp_path / 'other'}",
            stages=["tokenizer"],
            skip_existing=True,
        )
    health = read_health(run_dir / "tokenizer")
    assert health.before is None and health.kept == "after" and "not compared" in caplog.text
    assert equal(weights(run_dir / "tokenizer"), kept)


@pytest.mark.slow
def test_from_scratch_the_untrained_one_is_before(tiny_config: Path, run_dir: Path) -> None:
    scratch = ["experiment.pre_trained_tokenizer=false"]
    untrained = prepare_inputs(load_config(tiny_config, scratch)).tokenizer
    run_spoilt(tiny_config, *scratch, "training.tokenizer_learning_rate=1e-9", stages=["tokenizer"])
    health = read_health(run_dir / "tokenizer")
    assert health.before.tokenizer_hash == hash_weights(untrained)
    kept = {"before": untrained.state_dict(), "after": weights(run_dir / "tokenizer")}[health.kept]
    assert equal(weights(run_dir / "tokenizer"), dict(kept))


SPOILT_RUN = """
import os, sys
from pathlib import Path
from accelerate import PartialState
from kronos import load_config
from kronos.training import run_pipeline
from kronos.training.arguments import start_process
from tests.training.test_tokenizer_gate import Spoiling
config = load_config(sys.argv[1], ["training.batch_size=8"])
start_process(config, int(os.environ["WORLD_SIZE"]))
result = run_pipeline(config, False, [Spoiling()])
Path(sys.argv[2] + os.environ["RANK"]).write_text(result.records["basemodel"].tokenizer_hash)
PartialState().destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_agree(tiny_config: Path, run_dir: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(SPOILT_RUN)
    done: subprocess.CompletedProcess[str] = launch(*TORCHRUN, worker, tiny_config, tmp_path / "hash")
    assert done.returncode == 0, done.stderr
    health = read_health(run_dir / "tokenizer")
    assert health.kept == "before" and equal(weights(run_dir / "tokenizer"), pretrained())
    assert [(tmp_path / f"hash{rank}").read_text() for rank in (0, 1)] == [health.before.tokenizer_hash] * 2


@pytest.mark.slow
def test_the_command_says_what_is_kept(tiny_config: Path, run_dir: Path) -> None:
    run_spoilt(tiny_config, stages=["tokenizer"])
    done = launch(TORCHRUN[0], ROOT / "finetune_tokenizer.py", "--config", tiny_config, "--skip-existing")
    assert done.returncode == 0, done.stderr
    assert "training made it worse, this is the model before training" in done.stdout
    assert done.stderr.count("rejected_model") == 1
