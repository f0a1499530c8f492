"""What is trained of a model: low-rank additions, or all but frozen parts."""

import importlib.util
import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kronos import Kronos, KronosTokenizer, load_config
from kronos.config.training import LoraConfig, TrainingConfig
from kronos.errors import ConfigError
from kronos.stage_record import StageRecord
from kronos.training import stage as stage_module
from kronos.training.fit.lora_and_freezing import (
    ADAPTER,
    adapt_model,
    add_lora,
    describe_parameters,
    freeze,
    merge,
    merge_weights,
)
from tests.conftest import GOLDEN
from tests.training.test_distributed import TORCHRUN, launch
from tests.training.test_stage import Killed, equal, interrupt_at, read_metrics, run, weights

pytest.importorskip("peft")

LORA = "training.lora={r: 4, dropout: 0.2}"


def build_base_model() -> Kronos:
    return Kronos.from_pretrained(GOLDEN / "predictor")


def build_inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(8, (2, 3, 10), generator=generator)
    return {"s1_ids": ids[0], "s2_ids": ids[1], "stamp": torch.randint(7, (3, 10, 5), generator=generator).float()}


def train_a_little(model: Kronos) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    for _ in range(3):
        model.train()(**build_inputs()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def copy_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Stricter than torch.equal, for which 0 and -0 are the same."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name].view(torch.uint8), second[name].view(torch.uint8)) for name in first
    )


def test_merging_computes_the_same_and_changes_nothing() -> None:
    pretrained, model = build_base_model(), build_base_model()
    add_lora(model, LoraConfig(r=4), seed=1)
    train_a_little(model)
    before = copy_tensors(model)
    plain = merge(model)
    assert same_bits(before, copy_tensors(model))
    assert type(plain) is Kronos and not plain.training
    assert [name for name, _ in plain.named_modules()] == [name for name, _ in pretrained.named_modules()]
    expected, merged, start = (m(**build_inputs()) for m in (model, plain, pretrained))
    for logits in ("s1_logits", "s2_logits"):
        torch.testing.assert_close(merged[logits], expected[logits], rtol=1e-5, atol=1e-5)
        assert (merged[logits] - start[logits]).abs().max() > 0.01  # it did learn something
    targets = LoraConfig().targets
    for name, tensor in pretrained.state_dict().items():
        targeted = name.endswith(".weight") and name.split(".")[-2] in targets
        assert torch.equal(tensor, plain.state_dict()[name]) != targeted, name


def test_before_the_first_step_nothing_is_different() -> None:
    pretrained, model = build_base_model(), build_base_model()
    for each in (pretrained, model):
        with torch.no_grad():
            each.transformer[0].ffn.w1.weight[0, 0] = -0.0
    state = torch.get_rng_state()
    assert add_lora(model, LoraConfig(), seed=1) is model
    assert same_bits(pretrained.state_dict(), merge(model).state_dict())
    assert torch.equal(torch.get_rng_state(), state)  # neither adding nor merging draws from the global generator
    assert torch.equal(model(**build_inputs()).s2_logits, pretrained(**build_inputs()).s2_logits)


def test_every_addition_is_trained_and_nothing_else() -> None:
    model = build_base_model()
    add_lora(model, LoraConfig(), seed=1)
    train_a_little(model)  # B is no longer zero, so that A has a gradient
    model(**build_inputs()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".lora_" in name), name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (".lora_" in name), name


def test_the_seed_decides_what_the_additions_start_with() -> None:
    first, same, other = (add_lora(build_base_model(), LoraConfig(), seed).state_dict() for seed in (1, 1, 2))
    assert equal(first, same) and not equal(first, other)


def test_merge_weights_by_hand() -> None:
    state = {
        "q.base_layer.weight": torch.tensor([[1.0, 2.0]]),
        "q.base_layer.bias": torch.tensor([3.0]),
        f"q.lora_A.{ADAPTER}.weight": torch.tensor([[1.0, 10.0]]),
        f"q.lora_B.{ADAPTER}.weight": torch.tensor([[4.0]]),
        "norm.weight": torch.tensor([5.0]),
    }
    merged = merge_weights(state, scaling=0.5)
    assert {name: tensor.tolist() for name, tensor in merged.items()} == {
        "q.weight": [[3.0, 22.0]],
        "q.bias": [3.0],
        "norm.weight": [5.0],
    }


def test_a_model_without_lora_is_its_own_merger() -> None:
    model = build_base_model()
    assert merge(model) is model


def test_weight_decay_is_for_both_factors() -> None:
    model = build_base_model()
    add_lora(model, LoraConfig(targets=("w1",)), seed=1)
    decayed = stage_module.KronosTrainer.get_decay_parameter_names(None, model)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and set(trained) <= set(decayed)


def test_targets_are_ends_of_names() -> None:
    model = build_base_model()
    add_lora(model, LoraConfig(targets=("self_attn.q_proj", "proj_s1")), seed=1)
    adapted = {name.partition(".lora_")[0] for name, p in model.named_parameters() if p.requires_grad}
    blocks = range(len(model.transformer))
    assert adapted == {"head.proj_s1", *(f"transformer.{i}.self_attn.q_proj" for i in blocks)}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("q_porj", r"ends with 'q_porj' \(did you mean 'q_proj'\?\)\. Valid: fusion_proj, q_proj, .*proj_s2"),
        ("proj", r"ends with 'proj'.*\. Valid: "),  # whole words only
        ("norm1", r"ends with 'norm1'.*\. Valid: "),  # not a linear layer
    ],
)
def test_a_target_that_fits_nothing(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.lora\.targets: no linear layer .*" + message):
        add_lora(build_base_model(), LoraConfig(targets=("q_proj", target)), seed=1)


def test_no_targets_at_all() -> None:
    with pytest.raises(ConfigError, match=r"training\.lora\.targets is empty"):
        add_lora(build_base_model(), LoraConfig(targets=()), seed=1)


def test_without_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install peft"):
        add_lora(build_base_model(), LoraConfig(), seed=1)


def test_frozen_layers_get_no_addition() -> None:
    model = adapt_model(
        build_base_model(), "basemodel", TrainingConfig(lora=LoraConfig(), freeze_basemodel=("transformer.0",))
    )
    adapted = {name.split(".lora_")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert adapted and not [name for name in adapted if name.startswith("transformer.0.")]


def test_freezing_is_by_whole_words() -> None:
    model = build_base_model()
    model.transformer = torch.nn.ModuleList(model.transformer[0] for _ in range(1)).extend(
        build_base_model().transformer[0] for _ in range(10)
    )
    freeze(model, ["transformer.1", "head.proj_s1.bias"], "freeze_basemodel")
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"head.proj_s1.bias"} | {
        f"transformer.1.{name}" for name, _ in model.transformer[1].named_parameters()
    }


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            "embeding",
            r"begins with 'embeding' \(did you mean 'embedding'\?\)\. The parts are: embedding, time_emb, trans",
        ),
        ("transformer.7", r"begins with 'transformer.7' \(did you mean 'transformer.\d'\?\)"),
        ("token_drop", r"begins with 'token_drop'"),  # a module, but nothing to train in it
        ("emb", r"begins with 'emb'"),
        ("", r"begins with ''\. The parts are"),
    ],
)
def test_a_part_that_fits_nothing(part: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.freeze_basemodel: no parameter's name " + message):
        freeze(build_base_model(), ["embedding", part], "freeze_basemodel")


def test_freezing_everything() -> None:
    parts = ["embed", "encoder", "quant_embed", "post_quant_embed_pre", "post_quant_embed", "decoder", "head"]
    with pytest.raises(ConfigError, match=r"training\.freeze_tokenizer freezes every parameter"):
        freeze(KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), parts, "freeze_tokenizer")


def test_describe_parameters() -> None:
    model = torch.nn.Linear(100, 20)
    assert describe_parameters(model) == "2,020 parameters"
    model.bias.requires_grad_(False)
    assert describe_parameters(model) == "2,000 trainable of 2,020 parameters"


def test_a_lora_run(tiny_config: Path, run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kronos"):
        record = run(tiny_config, LORA, stages=["basemodel"]).records["basemodel"]
    losses = [line["loss"] for line in read_metrics(run_dir / "basemodel") if "loss" in line]
    assert record.improved and losses[-1] < losses[0]
    assert "trainable of" in caplog.text
    assert record.settings["training.lora"]["r"] == 4
    pretrained, best = load_file(GOLDEN / "predictor" / "model.safetensors"), weights(run_dir / "basemodel")
    assert {k: (v.shape, v.dtype) for k, v in pretrained.items()} == {k: (v.shape, v.dtype) for k, v in best.items()}
    changed = {name for name in best if not torch.equal(best[name], pretrained[name])}
    assert changed == {
        f"{n}.weight" for n, _ in build_base_model().named_modules() if n.split(".")[-1] in LoraConfig().targets
    }
    Kronos.from_pretrained(run_dir / "basemodel" / "best_model")
    config = json.loads((run_dir / "basemodel" / "best_model" / "config.json").read_text())
    assert config == json.loads((GOLDEN / "predictor" / "config.json").read_text())
    optimizer = torch.load(run_dir / f"basemodel/checkpoints/checkpoint-{record.steps}/optimizer.pt", weights_only=True)
    assert len(optimizer["state"]) == 2 * len(changed)


@pytest.mark.slow
def test_the_best_model_is_the_checkpoint_s_merged(tiny_config: Path, run_dir: Path) -> None:
    record = run(tiny_config, LORA, stages=["basemodel"]).records["basemodel"]
    model = build_base_model()
    add_lora(model, LoraConfig(r=4), seed=99)
    checkpoint = run_dir / f"basemodel/checkpoints/checkpoint-{record.best_step}/model.safetensors"
    model.load_state_dict(load_file(checkpoint))
    best = Kronos.from_pretrained(run_dir / "basemodel" / "best_model")
    for logits in ("s1_logits", "s2_logits"):
        torch.testing.assert_close(
            best(**build_inputs())[logits], model.eval()(**build_inputs())[logits], rtol=1e-5, atol=1e-5
        )


def test_the_untouched_model_is_kept_bit_for_bit(
    tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 2)  # after step 0's validation, before the next
        run(tiny_config, LORA, stages=["basemodel"])
    assert StageRecord.read(run_dir / "basemodel").best_step == 0
    assert same_bits(weights(run_dir / "basemodel"), load_file(GOLDEN / "predictor" / "model.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [pytest.param(3, marks=pytest.mark.slow), 7]
)  # before the first checkpoint; in the second epoch
def test_interrupted_equals_uninterrupted_bit_for_bit(
    tiny_config: Path,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    overrides = [LORA, "training.batch_size=12", "training.freeze_basemodel=transformer.0"]
    run(tiny_config, *overrides, stages=["basemodel"])
    (run_dir / "basemodel").rename(tmp_path / "uninterrupted")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, step)
        run(tiny_config, *overrides, stages=["basemodel"])
    steps = (
        run(tiny_config, *overrides, "training.gradient_checkpointing=true", stages=["basemodel"], skip_existing=True)
        .records["basemodel"]
        .steps
    )
    assert equal(weights(run_dir / "basemodel"), weights(tmp_path / "uninterrupted"))
    last = f"checkpoints/checkpoint-{steps}/model.safetensors"
    assert equal(load_file(run_dir / "basemodel" / last), load_file(tmp_path / "uninterrupted" / last))


@pytest.mark.slow
def test_resuming_with_another_rank_is_refused(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, LORA, stages=["basemodel"])
    with pytest.raises(ConfigError, match=r"other settings \(training.lora "):
        run(tiny_config, "training.lora.r=8", stages=["basemodel"], skip_existing=True)


@pytest.mark.parametrize(
    ("stage", "golden", "parts"),
    [("tokenizer", "tokenizer", ("embed", "encoder.0")), ("basemodel", "predictor", ("embedding", "transformer.0"))],
)
def test_frozen_parts_stay_bit_for_bit(
    tiny_config: Path,
    run_dir: Path,
    stage: str,
    golden: str,
    parts: tuple[str, ...],
) -> None:
    record = run(tiny_config, f"training.freeze_{stage}={list(parts)}", stages=[stage]).records[stage]
    assert record.improved
    before, after = load_file(GOLDEN / golden / "model.safetensors"), weights(run_dir / stage)
    frozen = {name for name in before if name.startswith(tuple(f"{part}." for part in parts))}
    assert frozen and same_bits({name: before[name] for name in frozen}, {name: after[name] for name in frozen})
    model_class = {"tokenizer": KronosTokenizer, "basemodel": Kronos}[stage]
    trained = [
        name for name, _ in model_class.from_pretrained(GOLDEN / golden).named_parameters() if name not in frozen
    ]
    assert all(not torch.equal(before[name], after[name]) for name in trained)
    optimizer = torch.load(run_dir / f"{stage}/checkpoints/checkpoint-{record.steps}/optimizer.pt", weights_only=True)
    assert len(optimizer["state"]) == len(trained)


def test_faults_are_found_before_the_first_stage_is_trained(tiny_config: Path, run_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.lora\.targets"):
        run(tiny_config, "training.lora={targets: [nothing]}")
    assert not (run_dir / "tokenizer").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "basemodel"])
def test_gradient_checkpointing_changes_no_bit(
    tiny_config: Path,
    run_dir: Path,
    tmp_path: Path,
    stage: str,
) -> None:
    run(tiny_config, stages=[stage])
    (run_dir / stage).rename(tmp_path / "kept")
    run(tiny_config, "training.gradient_checkpointing=true", stages=[stage])
    assert equal(weights(run_dir / stage), weights(tmp_path / "kept"))
    assert read_metrics(run_dir / stage)[-1]["val_loss"] == read_metrics(tmp_path / "kept")[-1]["val_loss"]


@pytest.mark.slow
def test_two_ranks(tiny_config: Path, tmp_path: Path) -> None:
    """LoRA, frozen parts and gradient checkpointing under DDP, which looks for no unused parameters."""
    script = tmp_path / "train.py"
    overrides = [
        LORA,
        "training.gradient_checkpointing=true",
        "training.freeze_tokenizer=[encoder]",
        "training.batch_size=8",
    ]
    script.write_text(
        "from kronos import load_config\nfrom kronos.training import run_pipeline\n"
        "from kronos.training.arguments import start_process\n"
        f"config = load_config({str(tiny_config)!r}, {overrides!r})\n"
        "start_process(config, 2)\nrun_pipeline(config, skip_existing=False)\n"
    )
    done = launch(*TORCHRUN, script)
    assert done.returncode == 0, done.stderr
    folder = load_config(tiny_config).model_paths.base_save_path
    for stage in ("tokenizer", "basemodel"):
        assert StageRecord.read(folder / stage).improved
    Kronos.from_pretrained(folder / "basemodel" / "best_model")
