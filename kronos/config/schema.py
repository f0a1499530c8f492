"""The sections of the configuration, one class each. Defaults are here and in the other modules of kronos.config only.

Every key of Kronos' own YAML files is accepted under its original name, with its original meaning.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from kronos.config.affects import (
    BASE_MODEL,
    BASE_MODEL_VALIDATION,
    NAMING,
    REPORT,
    SHORTHAND,
    SPEED,
    STAGES_THAT_RUN,
    TOKENIZER,
)
from kronos.config.data import DataConfig, RepairsConfig
from kronos.config.evaluation import EvaluationConfig, LstmConfig
from kronos.config.recipes import RecipeName, fill_recipe, list_defaults
from kronos.config.section import MAX_PATHS, FolderName, Integer, Number, Section, UserPath, cross_field_error
from kronos.config.training import RATE_KEYS, DistributedConfig, ModelName, TrainingConfig
from kronos.names import Message
from kronos.run_folder import RunFolder
from kronos.urls import is_endpoint


class ModelPathsConfig(Section):
    """`model_paths`: the pretrained models, and the folder of the run's results."""

    pretrained_tokenizer: Annotated[str, TOKENIZER] = ""  # a folder, hub name or nano; a preset to train from scratch
    pretrained_predictor: Annotated[str, BASE_MODEL] = ""
    exp_name: Annotated[FolderName, NAMING] = "default_experiment"
    base_path: Annotated[UserPath, NAMING] = Path("finetuned")
    base_save_path: Annotated[UserPath, NAMING] = Path()  # empty: {base_path}/{exp_name}
    tokenizer_save_name: Annotated[FolderName, NAMING] = "tokenizer"
    basemodel_save_name: Annotated[FolderName, NAMING] = "basemodel"
    finetuned_tokenizer: Annotated[UserPath, BASE_MODEL_VALIDATION] = Path()  # empty: the best model of stage 1
    hub_endpoint: Annotated[str, SPEED] = ""  # of the hub or a mirror; empty: HF_ENDPOINT, else https://huggingface.co

    @field_validator("hub_endpoint")
    @classmethod
    def _check_endpoint(cls, hub_endpoint: str) -> str:
        if hub_endpoint and not is_endpoint(hub_endpoint):
            raise cross_field_error(
                "model_paths.hub_endpoint",
                "{endpoint} is no address of a hub. Give one such as https://hf-mirror.com",
                endpoint=repr(hub_endpoint),
            )
        return hub_endpoint.rstrip("/")

    @field_validator("base_save_path", mode="before")
    @classmethod
    def _fill_base_save_path(cls, value: Any, info: ValidationInfo) -> Any:
        return _expand(value, "{base_path}/{exp_name}", info.data)

    @field_validator("finetuned_tokenizer", mode="before")
    @classmethod
    def _fill_finetuned_tokenizer(cls, value: Any, info: ValidationInfo) -> Any:
        return _expand(value, "{base_save_path}/{tokenizer_save_name}/best_model", info.data)

    @field_validator("basemodel_save_name")
    @classmethod
    def _check_folder_names(cls, basemodel_save_name: str, info: ValidationInfo) -> str:
        names = [info.data.get("tokenizer_save_name", "tokenizer"), basemodel_save_name]
        if names[0].casefold() == names[1].casefold():
            raise cross_field_error(
                "model_paths.basemodel_save_name",
                "tokenizer_save_name and basemodel_save_name must be two different plain folder names, but they are "
                "{names}",
                names=names,
            )
        return basemodel_save_name

    @property
    def run_folder(self) -> RunFolder:
        """All paths that the run writes."""
        return RunFolder(self.base_save_path, self.tokenizer_save_name, self.basemodel_save_name)

    def list_derived(self) -> list[str]:
        """Return the keys whose paths have their default, derived from base_path and the names."""
        derived = {
            "base_save_path": self.base_path / self.exp_name,
            "finetuned_tokenizer": self.run_folder.tokenizer.best_model,
        }
        return [key for key, path in derived.items() if getattr(self, key) == path]

    def list_given(self) -> dict[str, Any]:
        return {key: value for key, value in super().list_given().items() if key not in self.list_derived()}


def _expand(value: Any, template: str, known: dict[str, Any]) -> Any:
    """Replace an empty path by its template, and placeholders such as {exp_name} by their values."""
    if not isinstance(value, str | Path):
        return value
    text = template if str(value) in ("", ".") else str(value)
    return re.sub(r"\{(\w+)\}", lambda match: str(known.get(match[1], match[0])), text)


TrackerName = Literal["tensorboard", "wandb", "swanlab", "mlflow", "comet", "trackio"]
TrackerNames = Annotated[
    tuple[TrackerName, ...],
    Field(max_length=100),
    BeforeValidator(lambda v: v if isinstance(v, list | tuple) else (v,) if v else ()),
]


class ExperimentConfig(Section):
    """`experiment`: its name, the stages to run, and whether they start from pretrained weights."""

    name: Annotated[str, NAMING] = "kronos_custom_finetune"
    description: Annotated[str, NAMING] = ""
    use_comet: Annotated[bool, REPORT] = False
    trackers: Annotated[TrackerNames, REPORT] = ()  # one name or a list
    train_tokenizer: Annotated[bool, STAGES_THAT_RUN] = True
    train_basemodel: Annotated[bool, STAGES_THAT_RUN] = True
    skip_existing: Annotated[bool, SPEED] = False
    pre_trained: Annotated[bool, SHORTHAND] = (
        True  # false: train from scratch; the two keys below override it for one model
    )
    pre_trained_tokenizer: Annotated[bool, TOKENIZER] = Field(
        default_factory=lambda data: data.get("pre_trained", True)
    )
    pre_trained_predictor: Annotated[bool, BASE_MODEL] = Field(
        default_factory=lambda data: data.get("pre_trained", True)
    )


class DeviceConfig(Section):
    """`device`: the device to compute on."""

    use_cuda: Annotated[bool | None, SPEED] = None  # None: true if there is a GPU
    device_id: Annotated[Integer, SPEED] = Field(0, ge=0, le=1023)


Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class ReportConfig(Section):
    """`report`: the pictures and the page at the end of a run."""

    n_origins: Annotated[Integer, REPORT] = Field(4, ge=0, le=10_000)
    n_paths: Annotated[Integer, REPORT] = Field(30, ge=1, le=MAX_PATHS)
    temperature: Annotated[Number, REPORT] = Field(1.0, ge=0, le=1000)  # 0 is greedy
    top_p: Annotated[Number, REPORT] = Field(1.0, gt=0, le=1)
    rising: Annotated[Literal["hollow", "red", "green"], REPORT] = "hollow"  # colour of rising candles
    language: Annotated[Language, REPORT] = "en"  # of the verdict's sentence, and of the page when it opens


class Config(Section):
    """The whole configuration, with all values resolved."""

    recipe: Annotated[RecipeName, SHORTHAND] = "published"  # defaults of other keys: kronos.config.recipes
    data: DataConfig
    repairs: RepairsConfig = RepairsConfig()
    training: TrainingConfig = TrainingConfig()
    model_paths: ModelPathsConfig = ModelPathsConfig()
    experiment: ExperimentConfig = ExperimentConfig()
    device: DeviceConfig = DeviceConfig()
    distributed: DistributedConfig = DistributedConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_recipe(cls, values: Any) -> Any:
        return fill_recipe(values) if isinstance(values, dict) else values

    def list_given(self) -> dict[str, Any]:
        """Return the values that were set, without those of the recipe."""
        given = super().list_given()
        for key, value in list_defaults(given).items():
            section, name = key.split(".")
            if given.get(section, {}).get(name) == value:
                del given[section][name]
        return given

    def rate_of(self, model: ModelName) -> float:
        """Return the learning rate of a stage's model, or of the LSTM baseline."""
        return self.evaluation.lstm.learning_rate if model == "lstm" else self.training.rate_of(model)

    @field_validator("experiment")
    @classmethod
    def _check_models_and_tokenizer(cls, experiment: ExperimentConfig, info: ValidationInfo) -> ExperimentConfig:
        model_paths = info.data.get("model_paths")
        if model_paths is None:
            return experiment
        sources = {"tokenizer": experiment.train_tokenizer, "predictor": experiment.train_basemodel}
        missing = [f"pretrained_{m}" for m, on in sources.items() if on and not getattr(model_paths, f"pretrained_{m}")]
        if missing:
            raise cross_field_error(
                f"model_paths.{missing[0]}",
                "{keys} missing from model_paths. Give a folder, a hub name such as NeoQuasar/Kronos-small, nano or, with "
                "experiment.pre_trained: false, a preset (demo, nano, mini, small, base)",
                keys=Message.join(missing, " and "),
            )
        if not experiment.train_tokenizer:
            return experiment
        written = model_paths.run_folder.tokenizer.best_model
        if model_paths.finetuned_tokenizer != written:
            raise cross_field_error(
                "model_paths.finetuned_tokenizer",
                'finetuned_tokenizer is {given}, but stage 1 writes {written}. Leave it empty (""), or set '
                "experiment.train_tokenizer: false to use that tokenizer as it is",
                given=model_paths.finetuned_tokenizer,
                written=written,
            )
        return experiment


def find_rate_key(model: ModelName) -> tuple[str, float]:
    """Return the key of a model's learning rate, and its default."""
    if model == "lstm":
        return "evaluation.lstm.learning_rate", LstmConfig.model_fields["learning_rate"].default
    return f"training.{RATE_KEYS[model]}", TrainingConfig.model_fields[RATE_KEYS[model]].default
