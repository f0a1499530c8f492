"""Each warning appears beyond its limit, and not just short of it."""

from dataclasses import replace

import pytest

from kronos.config import Config
from kronos.config.load import build_config
from kronos.planning.advice import Advice, advise
from kronos.planning.measure import Measurement
from kronos.planning.plan import Outlook, RunPlan, SplitPlan, StagePlan
from kronos.report.advice import describe_advice
from kronos.report.words.catalogue import Words, read_texts
from kronos.training.fit.compiling import CompileChoice

GIB, MIB = 2**30, 2**20


def configure(*overrides: str) -> Config:
    values = {
        "data": {"data_path": "candles.csv", "lookback_window": 400, "predict_window": 100, "test_ratio": 0.1},
        "model_paths": {"pretrained_tokenizer": "a/b", "pretrained_predictor": "a/c"},
    }
    return build_config(values, ["data.train_ratio=0.8", *overrides])


MEASURED = Measurement(
    step_seconds=0.1,
    n_steps=5,
    validation_batch_seconds=0.1,
    memory_mb=1000,
    growth_mb=500,
    compiling=CompileChoice(False, "cpu"),
    checkpoint_bytes=12 * MIB,
    model_bytes=4 * MIB,
)


def stage(name: str, rate: float) -> StagePlan:
    return StagePlan(
        name=name,
        pre_trained=True,
        n_parameters=1_000_000,
        n_trainable=1_000_000,
        learning_rate=rate,
        total_steps=10_000,
        source="a/b",
        windows_a_step=32,
        window=500,
        n_ranks=1,
        precision="fp32",
        device="cpu",
        steps_an_epoch=1000,
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
                "train": SplitPlan(100_000, 90_000, 200, 200),
                "val": SplitPlan(10_000, 9_000, 100, 100),
                "test": SplitPlan(10_000, 9_000, 100, 100),
            },
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


def from_scratch(**base_model: object) -> RunPlan:
    return with_stages(**{"pre_trained": False, "n_trainable": 1000} | base_model)


def with_split(name: str, **changes: int) -> RunPlan:
    splits = plan().splits
    return plan(splits=splits | {name: replace(splits[name], **changes)})


def without_test(origins: int) -> RunPlan:
    splits = plan().splits
    return plan(splits={"train": splits["train"], "val": replace(splits["val"], origins=origins)})


def codes(of: RunPlan) -> list[str]:
    return [advice.code for advice in advise(of)]


TWO_STAGES_DISK = 2 * (3 * 12 + 2 * 4) * MIB
REFUSED = with_stages(outlook=Outlook("refuse", "other settings"), measurement=None)

ON_GPU = with_stages({"device": "NVIDIA"}, device="NVIDIA")

# Each code: a plan just beyond the limit, one just short of it, and words of the remedy.
CASES = {
    "refused": (replace(REFUSED, skip_existing=True), REFUSED, "other settings"),
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
    "long_context": (  # lookback and horizon are 500
        plan(config=configure("model_paths.pretrained_predictor=nano")),
        plan(
            config=configure(
                "model_paths.pretrained_predictor=nano", "data.lookback_window=96", "data.predict_window=48"
            )
        ),
        "Set max_context to 144",
    ),
    "rate_high": (
        with_stages(learning_rate=4.1e-4),
        with_stages(learning_rate=4e-4),
        "training.predictor_learning_rate",
    ),
    "rate_low": (with_stages(learning_rate=3.9e-7), with_stages(learning_rate=4e-7), "Raise"),
    "rate_high_from_scratch": (from_scratch(learning_rate=1.1e-2), from_scratch(learning_rate=1e-2), "Lower"),
    "rate_low_from_scratch": (from_scratch(learning_rate=4e-5), from_scratch(learning_rate=1e-4), "Raise"),
    "little_data": (  # 200 windows of 500 are 100,000 candles
        from_scratch(n_trainable=100_001, learning_rate=1e-3),
        from_scratch(n_trainable=100_000, learning_rate=1e-3),
        "smaller model",
    ),
    "little_data_pretrained": (
        with_split("train", independent=19),
        with_split("train", independent=20),
        "more candles",
    ),
    "few_steps": (with_stages(total_steps=59), with_stages(total_steps=60), "more epochs"),
    "few_validations": (with_split("val", independent=29), with_split("val", independent=30), "data.val_ratio"),
    "few_origins": (with_split("test", origins=9), with_split("test", origins=10), "the test split 1,000 candles"),
    "few_origins_val": (without_test(19), without_test(20), "Make a test split of 1,000 candles"),
    "no_test": (plan(splits={k: v for k, v in plan().splits.items() if k != "test"}), plan(), "data.test_ratio"),
    "long": (
        with_stages(measurement=replace(MEASURED, step_seconds=8.7), steps_a_checkpoint=400),
        with_stages(measurement=replace(MEASURED, step_seconds=8.6), steps_a_checkpoint=400),
        "data.windows_per_epoch",
    ),
    "at_risk": (
        with_stages(measurement=replace(MEASURED, step_seconds=3.7)),
        with_stages(measurement=replace(MEASURED, step_seconds=3.6)),
        "training.save_steps to 486",
    ),
    "larger_batch": (  # twice the batch takes 500 MB before the steps, and twice 500 MB for them
        replace(ON_GPU, memory_mb=1667),
        replace(ON_GPU, memory_mb=1666),
        "training.batch_size=64",
    ),
}


def test_every_warning_is_tested() -> None:
    assert set(CASES) == {
        key.removeprefix("plan.advice.") for key in read_texts("en") if key.startswith("plan.advice.")
    }


@pytest.mark.parametrize("code", CASES)
def test_a_warning_and_its_limit(code: str) -> None:
    beyond, short, remedy = CASES[code]
    expected = ["no_test"] if code == "few_origins_val" else []
    assert set(codes(beyond)) == {code, *expected} and codes(short) == expected
    english, chinese = (describe_advice(advise(beyond)[-1], Words(language)) for language in ("en", "zh"))
    assert remedy in english and "{" not in english + chinese


def test_a_batch_grows_until_the_gpu_is_busy_or_the_steps_are_few() -> None:
    def find(**changes: object) -> list[object]:
        stages = with_stages({"device": "NVIDIA"} | changes, **{"device": "NVIDIA"} | changes).stages
        return [advice.values["batch_size"] for advice in advise(replace(ON_GPU, stages=stages))]

    assert find() == [128]  # 32 windows of 500 are 16,000 candles; 64 are still fewer than 32,768
    assert find(windows_a_step=66, window=497) == []  # configured(32) counts per GPU
    assert find(windows_a_step=64, n_ranks=2) == [128]
    assert find(total_steps=239) == [64] and find(total_steps=119) == []  # at least 60 steps are left
    assert find(device="mps") == []


def test_sizes_and_stages_are_worded() -> None:
    advice = Advice("memory", {"stage": "basemodel", "peak_bytes": 1.5 * GIB, "memory_bytes": 1.6 * GIB})
    assert describe_advice(advice, Words("en")).startswith("Base model: 1.5 GB of the 1.6 GB available")
    assert describe_advice(advice, Words("zh")).startswith("基座模型（base model）：")


def test_low_rank_additions_have_their_own_limits() -> None:
    assert codes(with_stages(learning_rate=4e-3)) == ["rate_high"]
    assert codes(replace(with_stages(learning_rate=4e-3), config=configure("training.lora={}"))) == []
    assert codes(with_stages(n_parameters=10**9, n_trainable=100_000)) == []
    assert codes(with_stages(n_parameters=10**9, n_trainable=100_001)) == ["little_data"]


def test_a_stage_that_is_skipped_gets_no_warning() -> None:
    skipped = {"measurement": None, "total_steps": 10, "n_parameters": 10**9, "n_trainable": 10**9}
    assert codes(with_stages(skipped, **skipped)) == []
