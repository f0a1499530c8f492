"""The sections `training` and `distributed`: epochs, rates, batches, and the processes of a launch."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from kronos.config.affects import (
    BASE_MODEL,
    BASE_MODEL_VALIDATION,
    REPORT,
    SEED,
    SHORTHAND,
    SPEED,
    STAGE_WEIGHTS,
    TOKENIZER,
    VALIDATION,
    WEIGHTS,
)
from kronos.config.affects import (
    ModelName as ModelName,
)
from kronos.config.section import (
    AS_TUPLE,
    MAX_RATE,
    MAX_STEPS,
    Integer,
    Names,
    Number,
    Section,
    cross_field_error,
)
from kronos.names import Message
from kronos.run_folder import StageName as StageName

STAGES: tuple[StageName, ...] = ("tokenizer", "basemodel")
RATE_KEYS: dict[StageName, str] = {"tokenizer": "tokenizer_learning_rate", "basemodel": "predictor_learning_rate"}
LOSS_NAME = "loss"  # of training.best_by: the validation loss
HORIZON_LOSS_NAME = "horizon_loss"  # of training.best_by: the validation loss over the horizon only
LOSS_NAMES = LOSS_NAME, HORIZON_LOSS_NAME  # each validation of the base model computes both
AUTO = "auto"  # the value of a key that depends on the machine
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Augmentations = Annotated[tuple[Literal["noise", "mirror", "scale", "warp"], ...], Field(max_length=100), AS_TUPLE]
MAX_EPOCHS = 100_000
Scheduler = Literal[
    "cosine",
    "linear",
    "constant",
    "constant_with_warmup",
    "polynomial",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "inverse_sqrt",
    "warmup_stable_decay",
]

# For transformers: num_cycles, power, min_lr and the like.
SchedulerArguments = dict[
    str,
    Annotated[Integer, Field(ge=-MAX_STEPS, le=MAX_STEPS)]
    | Annotated[Number, Field(ge=-MAX_STEPS, le=MAX_STEPS)]
    | bool
    | str
    | None,
]


class LoraConfig(Section):
    """`training.lora`: train low-rank additions to the base model's linear layers, not the layers (arXiv 2106.09685)."""

    r: Annotated[Integer, BASE_MODEL] = Field(8, ge=1, le=1 << 16)  # rank of the additions
    alpha: Annotated[Number, BASE_MODEL] = Field(16.0, gt=0, le=1e6)  # they count alpha / r times
    dropout: Annotated[Number, BASE_MODEL] = Field(0.0, ge=0, lt=1)
    targets: Annotated[Names, BASE_MODEL] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "out_proj",
        "w1",
        "w2",
        "w3",
    )  # layers, by the end of their names


class TrainingConfig(Section):
    """`training`: epochs, rates and batches."""

    epochs: Annotated[Integer | None, SHORTHAND] = Field(
        None, ge=1, le=MAX_EPOCHS
    )  # of both stages, unless a stage's own key is set
    tokenizer_epochs: Annotated[Integer, TOKENIZER] = Field(
        default_factory=lambda data: data.get("epochs") or 30, ge=1, le=MAX_EPOCHS
    )
    basemodel_epochs: Annotated[Integer, BASE_MODEL] = Field(
        default_factory=lambda data: data.get("epochs") or 20, ge=1, le=MAX_EPOCHS
    )
    max_steps: Annotated[Integer | None, STAGE_WEIGHTS] = Field(
        None, ge=1, le=MAX_STEPS
    )  # ends a stage after so many steps, regardless of epochs
    batch_size: Annotated[Integer, WEIGHTS] = Field(32, ge=1, le=1 << 20)  # windows per optimizer step and process
    accumulation_steps: Annotated[Integer, SPEED] = Field(
        1, ge=1, le=1 << 20
    )  # parts a batch is computed in, to save memory
    auto_find_batch_size: Annotated[bool | None, SPEED] = (
        None  # raise accumulation_steps until a part fits into memory; none: on a GPU
    )
    gradient_checkpointing: Annotated[bool, SPEED] = False  # recompute activations instead of storing them
    precision: Annotated[Precision, STAGE_WEIGHTS] = "auto"  # auto: bf16 on hardware with native bf16, else fp32
    torch_compile: Annotated[bool | Literal["auto"], VALIDATION] = "auto"  # auto: on a GPU, where the steps repay it
    token_cache: Annotated[bool | None, SPEED] = (
        None  # tokenise each window once, not once an epoch; none: where it fits
    )
    data_on_device: Annotated[bool | None, SPEED] = None  # gather batches on the device; none: on a GPU, where they fit
    log_interval: Annotated[Integer, REPORT] = Field(50, ge=1, le=MAX_STEPS)  # steps
    eval_steps: Annotated[Integer | None, VALIDATION] = Field(
        None, ge=1, le=MAX_STEPS
    )  # validation every so many steps; none: every epoch
    save_steps: Annotated[Integer | None, SPEED] = Field(
        None, ge=1, le=MAX_STEPS
    )  # a checkpoint for resuming every so many steps; none: every epoch
    save_total_limit: Annotated[Integer, SPEED] = Field(
        2, ge=1, le=100_000
    )  # checkpoints kept for resuming; the best model is kept beside them
    early_stopping_patience: Annotated[Integer | None, WEIGHTS] = Field(
        None, ge=1, le=MAX_STEPS
    )  # validations without improvement
    best_by: Annotated[Literal["loss", "horizon_loss", "crps", "mae", "direction", "ic"], BASE_MODEL_VALIDATION] = (
        "loss"  # what chooses the base model that is kept
    )
    loss_on: Annotated[Literal["all", "horizon", "weighted", "origins"], BASE_MODEL] = (
        "all"  # positions of a window that the base model learns from
    )
    teacher_forcing: Annotated[bool, BASE_MODEL] = (
        False  # true: s2 is learnt given the true s1, as it is decoded; false: given an s1 that the model samples
    )
    lookback_weight: Annotated[Number, BASE_MODEL] = Field(
        0.1, gt=0, lt=1
    )  # of a position of the lookback, with loss_on: weighted
    num_workers: Annotated[Integer, SPEED] = Field(0, ge=0, le=1024)
    seed: Annotated[Integer, SEED] = Field(42, ge=0, lt=2**32)
    tokenizer_learning_rate: Annotated[Number, TOKENIZER] = Field(2e-4, gt=0, le=MAX_RATE)
    predictor_learning_rate: Annotated[Number, BASE_MODEL] = Field(4e-5, gt=0, le=MAX_RATE)
    lr_scheduler: Annotated[Scheduler, STAGE_WEIGHTS] = "cosine"
    lr_scheduler_kwargs: Annotated[SchedulerArguments, STAGE_WEIGHTS] = Field(default_factory=dict, max_length=100)
    warmup_ratio: Annotated[Number, WEIGHTS] = Field(0.03, ge=0, lt=1)  # share of all steps
    adam_beta1: Annotated[Number, WEIGHTS] = Field(0.9, ge=0, lt=1)
    adam_beta2: Annotated[Number, WEIGHTS] = Field(0.95, ge=0, lt=1)
    adam_weight_decay: Annotated[Number, WEIGHTS] = Field(0.1, ge=0, le=1e6)
    lora: Annotated[LoraConfig | None, BASE_MODEL] = None  # base model only
    keep_worse_tokenizer: Annotated[bool, BASE_MODEL_VALIDATION] = (
        False  # true: only warn of one that reconstructs prices worse than before training
    )
    augment: Annotated[Augmentations, STAGE_WEIGHTS] = ()  # random changes of the train windows
    blend: Annotated[bool, BASE_MODEL_VALIDATION] = (
        False  # true: mix the fine-tuned base model with the pretrained one, as validation says
    )
    freeze_tokenizer: Annotated[Names, TOKENIZER] = ()  # parts that are not trained, by the beginning of their names
    freeze_basemodel: Annotated[Names, BASE_MODEL] = ()

    @field_validator("augment")
    @classmethod
    def _normalised_by_the_lookback(cls, augment: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("loss_on") == "origins" and (kinds := sorted({"noise", "warp"} & set(augment))):
            raise cross_field_error(
                "training.augment",
                "{kinds} cannot be combined with loss_on: origins: after them a window is normalised by its whole lookback. "
                "Leave them out, or set loss_on: horizon",
                kinds=Message.join(kinds, " and "),
            )
        return augment

    def epochs_of(self, stage: ModelName) -> int:
        """Epochs of a stage."""
        return self.tokenizer_epochs if stage == "tokenizer" else self.basemodel_epochs

    def rate_of(self, stage: StageName) -> float:
        """Learning rate of a stage."""
        return float(getattr(self, RATE_KEYS[stage]))

    @field_validator("accumulation_steps")
    @classmethod
    def _batch_divides(cls, accumulation_steps: int, info: ValidationInfo) -> int:
        batch_size = info.data.get("batch_size", accumulation_steps)
        if batch_size % accumulation_steps:
            raise cross_field_error(
                "training.accumulation_steps",
                "accumulation_steps ({accumulation_steps}) must divide batch_size ({batch_size}): a batch is computed "
                "in so many equal parts",
                accumulation_steps=accumulation_steps,
                batch_size=batch_size,
            )
        return accumulation_steps


class DistributedConfig(Section):
    """`distributed`: the processes of a torchrun launch."""

    use_ddp: Annotated[bool | None, SPEED] = None  # none: when launched by torchrun
    backend: Annotated[Literal["nccl", "gloo"] | None, SPEED] = None  # none: nccl on GPUs, gloo on CPUs
    strategy: Annotated[Literal["ddp"], SPEED] = "ddp"  # each process holds the whole model

    @field_validator("strategy", mode="before")
    @classmethod
    def _no_shards(cls, strategy: object) -> object:
        if strategy == "fsdp":
            raise cross_field_error(
                "distributed.strategy",
                "strategy fsdp is not supported any more; use ddp. No Kronos model needs shards: the largest, 0.5 billion "
                "parameters, takes 8 GB for weights, gradients and optimizer",
            )
        return strategy
