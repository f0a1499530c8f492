"""Each warning appears where its rule says, and not just short of it."""

from dataclasses import replace

import pytest

from kronos.config import Config
from kronos.config.load import build_config
from kronos.planning.advice import RULES, advise, format_bytes
from kronos.planning.measure import Measurement
from kronos.planning.plan import Outlook, RunPlan, SplitPlan, StagePlan

GIB, MIB = 2**30, 2**20


def configure(*overrides: str) -> Config:
    values = {
        "data": {"data_path": "candles.csv", "lookback_window": 400, "predict_window": 100, "test_ratio": 0.1},
        "model_paths": {"pretrained_tokenizer": "a/b", "pretrained_predictor": "a/c"},
    }
    return build_config(values, ["data.train_ratio=0.8", *overrides])


MEASURED = Measurement(
    n_parameters=1_000_000,
    n_trainable=1_000_000,
    step_seconds=0.1,
    n_steps=5,
    validation_batch_seconds=0.1,
    memory_mb=1000,
    growth_mb=500,
    checkpoint_bytes=12 * MIB,
    model_bytes=4 * MIB,
)


def stage(name: str, rate: float) -> StagePlan:
    return StagePlan(
        name=name,
        source="a/b",
        pre_trained=True,
        n_parameters=1_000_000,
        n_trainable=1_000_000,
        learning_rate=rate,
        windows_a_step=32,
        window=500,
        n_ranks=1,
        precision="fp32",
        device="cpu",
        steps_an_epoch=1000,
        total_steps=10_000,
        first_step=0,
        validations=11,
        validation_batches=10,
        checkpoints_kept=2,
        steps_a_checkpoint=1000,
        outlook=Outlook("nothing", ""),
        occupied=False,
        measurement=MEASURED,
    )


def plan(**changes: object) -> RunPlan:
    return RunPlan(
        **{
            "config": configure(),
            "skip_existing": False,
            "candles": "",
            "findings": (),
            "splits": {
                "train": SplitPlan(100_000, 90_000, 200),
                "val": SplitPlan(10_000, 9_000, 100),
                "test": SplitPlan(10_000, 9_000, 100),
            },
            "clipped": 0.001,
            "stages": {"tokenizer": stage("tokenizer", 2e-4), "basemodel": stage("basemodel", 4e-5)},
            "free_bytes": 100 * GIB,
            "memory_mb": 10_000,
        }
        | changes
    )


def with_stages(tokenizer: dict | None = None, **base_model: object) -> RunPlan:
    stages = plan().stages
    return plan(
        stages={
            "tokenizer": replace(stages["tokenizer"], **tokenizer or {}),
            "basemodel": replace(stages["basemodel"], **base_model),
        }
    )


def with_split(name: str, independent: int) -> RunPlan:
    splits = plan().splits
    return plan(splits=splits | {name: replace(splits[name], independent=independent)})


def codes(of: RunPlan) -> list[str]:
    return [advice.code for advice in advise(of)]


def test_a_sound_plan_gets_no_warning() -> None:
    assert advise(plan()) == []


HOUR = replace(MEASURED, step_seconds=3.6)  # 1000 steps take an hour
TWO_STAGES_DISK = 2 * (3 * 12 + 2 * 4) * MIB

# Each rule: a plan just beyond it, one just short of it, and words of the remedy.
CASES = {
    "disk": (
        plan(free_bytes=TWO_STAGES_DISK),
        plan(free_bytes=TWO_STAGES_DISK * 10 // 9 + 1),
        "training.save_total_limit",
    ),
    "memory": (plan(memory_mb=1100), plan(memory_mb=1112), "training.accumulation_steps"),
    "context": (
        plan(config=configure("data.max_context=499")),
        plan(config=configure("data.max_context=500")),
        "at most 399",
    ),
    "rate": (with_stages(learning_rate=4.1e-4), with_stages(learning_rate=4e-4), "training.predictor_learning_rate"),
    "drift": (
        with_stages({"learning_rate": 4.1e-4}),
        with_stages({"learning_rate": 4e-4}),
        "--skip-tokenizer",
    ),
    "little_data": (with_split("train", 19), with_split("train", 20), "more candles"),
    "large_batch": (with_stages({"windows_a_step": 201}), with_stages({"windows_a_step": 200}), "training.batch_size"),
    "few_steps": (with_stages(total_steps=59, learning_rate=4e-4), with_stages(total_steps=9_000), "more epochs"),
    "few_validations": (with_split("val", 29), with_split("val", 30), "data.val_ratio"),
    "no_test": (plan(splits={k: v for k, v in plan().splits.items() if k != "test"}), plan(), "data.test_ratio"),
    "clipping": (plan(clipped=0.051), plan(clipped=0.05), "kronos check"),
    "long": (
        with_stages(measurement=replace(MEASURED, step_seconds=8.7), steps_a_checkpoint=400),
        with_stages(measurement=replace(MEASURED, step_seconds=8.6), steps_a_checkpoint=400),
        "data.windows_per_epoch",
    ),
    "long_validation": (
        with_stages(validation_batches=1000),
        with_stages(validation_batches=900),
        "data.val_windows",
    ),
    "at_risk": (
        with_stages(measurement=replace(MEASURED, step_seconds=3.7)),
        with_stages(measurement=replace(MEASURED, step_seconds=3.6)),
        "training.save_steps to 486",
    ),
}


def test_every_rule_is_tested() -> None:
    assert set(CASES) | {"refused"} == set(RULES)


@pytest.mark.parametrize("code", CASES)
def test_a_rule_and_its_limit(code: str) -> None:
    beyond, short, remedy = CASES[code]
    assert remedy in next(advice.message for advice in advise(beyond) if advice.code == code)
    assert code not in codes(short)


def test_a_message_is_one_sentence() -> None:
    for beyond, _, _ in CASES.values():
        for advice in advise(beyond):
            assert advice.message.endswith(".") and ". " not in advice.message, advice.message
            assert "  " not in advice.message


def test_a_refused_stage_stops_a_run_with_skip_existing_only() -> None:
    refused = with_stages(outlook=Outlook("refuse", "other settings"), measurement=None)
    assert codes(refused) == []
    assert codes(replace(refused, skip_existing=True)) == ["refused"]


def test_rates_have_other_limits_from_scratch_and_with_lora() -> None:
    assert codes(with_stages(learning_rate=3.9e-7)) == ["rate", "drift"]
    assert "rate" not in codes(with_stages(learning_rate=4e-7))
    assert "rate" in codes(with_stages(learning_rate=4e-5, pre_trained=False))  # the default, made for fine-tuning
    for rate in (1e-4, 1e-3, 1e-2):
        assert "rate" not in codes(with_stages(learning_rate=rate, pre_trained=False, n_trainable=1000))
    assert "rate" in codes(with_stages(learning_rate=1.1e-2, pre_trained=False))
    lora = replace(with_stages(learning_rate=4e-3), config=configure("training.lora={}"))
    assert "rate" not in codes(lora)


def test_data_is_counted_against_what_has_to_move() -> None:
    """200 windows of 500: 100,000 candles, each once."""
    assert "little_data" in codes(with_stages(n_parameters=10_000_200, n_trainable=10_000_200))
    assert "little_data" not in codes(with_stages(n_parameters=10_000_000, n_trainable=10_000_000))
    assert "little_data" in codes(with_stages(pre_trained=False, n_trainable=100_001))
    assert "little_data" not in codes(with_stages(pre_trained=False, n_trainable=100_000))
    assert "little_data" not in codes(with_stages(n_parameters=10**9, n_trainable=100_000))  # low-rank additions


def test_drift_needs_two_pretrained_models() -> None:
    assert "drift" in codes(with_stages({"learning_rate": 1e-3}))
    assert "drift" not in codes(with_stages({"learning_rate": 1e-3}, pre_trained=False, n_trainable=1000))
    assert "drift" in codes(with_stages({"total_steps": 20_001}))  # or more steps at the default rates
    alone = with_stages({"learning_rate": 1e-3})
    assert codes(replace(alone, stages={"tokenizer": alone.stages["tokenizer"]})) == []


def test_a_skipped_stage_is_left_in_peace() -> None:
    skipped = {"measurement": None, "total_steps": 10, "n_parameters": 10**9, "n_trainable": 10**9}
    made = with_stages(skipped, **skipped)
    assert codes(made) == []


def test_sizes() -> None:
    said = [format_bytes(n) for n in (0, 1023, 1024, 45.3 * MIB, 166 * MIB, 64.2 * GIB, 5000 * 1024**4)]
    assert said == ["0 bytes", "1023 bytes", "1.0 KB", "45.3 MB", "166 MB", "64.2 GB", "5000 TB"]
