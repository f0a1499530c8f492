"""Model folders, local or on the hub: config.json (the constructor's arguments) and model.safetensors."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from kronos.errors import CheckpointError

MODEL_CARD = """---
{{ card_data }}
---

A Kronos model ([paper](https://arxiv.org/abs/2508.02739)), loaded by `from_pretrained` of the class that wrote it:

```python
from kronos import Kronos, KronosPredictor, KronosTokenizer
```

A forecast is not advice, and nothing here promises profit.
"""
NANO = "nano"  # the name of the small model that the package contains
NANO_FOLDER = Path(__file__).parent / NANO
TOKENIZER_KEY = "tokenizer_sha256"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class PretrainedModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="kronos",
    model_card_template=MODEL_CARD,
    tags=["time-series-forecasting", "finance", "kronos"],
):
    """Adds `from_pretrained`, `save_pretrained` and `push_to_hub`. Loads only safetensors and JSON, and all tensors must fit.

    tokenizer_hash: `hash_weights` of the tokenizer that a base model was trained with; None if its file does not name it.
    """

    tokenizer_hash: str | None = None
    nano_part: ClassVar[str] = ""  # its folder in NANO_FOLDER

    gradient_checkpointing = False

    def gradient_checkpointing_enable(self) -> None:
        """Compute each block's activations again in the backward pass of training: the same gradients, less memory."""
        self.gradient_checkpointing = True

    @property
    def recomputes(self) -> bool:
        """Whether the activations of a forward pass made now are computed again in the backward pass."""
        return self.gradient_checkpointing and self.training and torch.is_grad_enabled()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load a model from a local folder, a hub name or the package.

        Args:
            pretrained_model_name_or_path: a folder with config.json and model.safetensors, "owner/name", or "nano" for the
                model in the package.
            kwargs: revision, cache_dir, token, force_download, local_files_only, for the hub.

        Returns:
            The model in eval mode on the CPU.

        Raises:
            CheckpointError: the folder or a file is missing, unreadable, or its tensors do not fit.
        """
        config_file, weights_file = (
            locate_file(pretrained_model_name_or_path, name, cls.nano_part, **kwargs)
            for name in (CONFIG_NAME, SAFETENSORS_SINGLE_FILE)
        )
        with torch.device("meta"):  # drawing weights that are replaced takes seconds
            model = cls.from_config(read_model_config(config_file), config_file)
        model._load_weights(weights_file)
        return model.eval()

    @classmethod
    def from_config(cls, config: dict[str, Any], source: Path | str) -> Self:
        """Build an untrained model from the content of config.json. Errors name source."""
        known = list(cls._hub_mixin_init_parameters)[1:]
        missing = [name for name in known if name not in config]
        if missing:
            raise CheckpointError(f"{source}: not the configuration of a {cls.__name__}: {', '.join(missing)} missing.")
        try:
            return cls(**{name: config[name] for name in known})
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise CheckpointError(f"{source}: cannot build a {cls.__name__}: {error}.") from error

    def _save_pretrained(self, save_directory: Path) -> None:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        metadata = {"format": "pt"} | ({TOKENIZER_KEY: self.tokenizer_hash} if self.tokenizer_hash else {})
        save_file(weights, save_directory / SAFETENSORS_SINGLE_FILE, metadata)

    def _load_weights(self, weights_file: Path) -> None:
        try:
            stored = load_file(weights_file)
            with safe_open(weights_file, "pt") as opened:
                self.tokenizer_hash = (opened.metadata() or {}).get(TOKENIZER_KEY)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{weights_file}: not a readable safetensors file: {error}.") from error
        differences = _compare_tensors(self.state_dict(), stored)
        if differences:
            listed = "; ".join(differences[:3])
            listed += f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise CheckpointError(
                f"{weights_file}: does not fit its {CONFIG_NAME} as a {type(self).__name__}: {listed}."
            )
        # Copies, because what is loaded may be a map of the file, which training may replace.
        own = {name: stored[name].to(tensor.dtype, copy=True) for name, tensor in self.state_dict().items()}
        self.load_state_dict(own, assign=True)


def locate_file(name_or_path: str | Path, filename: str, nano_part: str = "", **hub_options: Any) -> Path:
    """Return the path of a file of a model folder. If a hub name is given, download the file.

    Args:
        nano_part: the folder in NANO_FOLDER if name_or_path is "nano"; a local folder of this name is preferred.

    Raises:
        CheckpointError: there is no such folder or file, or the download failed.
    """
    folder = NANO_FOLDER / nano_part if names_nano(name_or_path) and nano_part else Path(name_or_path).expanduser()
    if folder.is_dir():
        if not (folder / filename).is_file():
            raise CheckpointError(f"{folder}: this model folder has no {filename}.")
        return folder / filename
    if folder.exists() or not HUB_NAME.fullmatch(str(name_or_path)):
        raise CheckpointError(
            f"{name_or_path}: no such model folder. Give a folder with {CONFIG_NAME} and {SAFETENSORS_SINGLE_FILE}, "
            f"a hub name such as NeoQuasar/Kronos-small, or {NANO}, the small model in this package."
        )
    try:
        return Path(hf_hub_download(str(name_or_path), filename, **hub_options))
    except (OSError, ValueError, RuntimeError) as error:  # raised by the hub client: offline, not found, refused
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name_or_path}: no folder of this name here ({Path.cwd()}), and {filename} could not be fetched from the "
            f"Hugging Face Hub: {reason}"
        ) from error


def names_nano(name_or_path: str | Path) -> bool:
    """Whether this is the model in the package, not a local model folder of the same name."""
    return str(name_or_path) == NANO and not Path(name_or_path, CONFIG_NAME).is_file()


def read_model_config(path: Path) -> dict[str, Any]:
    """Read a config.json.

    Raises:
        CheckpointError: it is not a JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON: {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object of constructor arguments.")
    return config


def check_pair(tokenizer: Any, base_model: Any, n_features: int) -> None:
    """Check that a tokenizer reads n_features and writes tokens of the size that the base model, if given, reads.

    Raises:
        CheckpointError: they do not fit.
    """
    if tokenizer.head.out_features != n_features:
        raise CheckpointError(
            f"the tokenizer reads {tokenizer.head.out_features} features, but candles have {n_features}."
        )
    if base_model is None:
        return
    written, read = ((model.s1_bits, model.s2_bits) for model in (tokenizer, base_model))
    if written != read:
        raise CheckpointError(
            f"the tokenizer writes {written[0]} + {written[1]} bits, but the base model reads {read[0]} + {read[1]}: they do "
            "not belong together."
        )


def check_trained_with(base_model: PretrainedModel, tokenizer: nn.Module) -> None:
    """Check that a base model was trained with this tokenizer, if the model's file names its tokenizer.

    Raises:
        CheckpointError: it was trained with another tokenizer.
    """
    if base_model.tokenizer_hash not in (None, hash_weights(tokenizer)):
        raise CheckpointError(
            "this base model was trained with another tokenizer than the one given, and would misread its tokens. Use its own "
            "tokenizer (tokenizer/best_model beside it), or retrain the base model (finetune_base_model.py)."
        )


def hash_weights(model: nn.Module) -> str:
    """Return a SHA-256 of the model's tensors and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _compare_tensors(expected: dict[str, torch.Tensor], stored: dict[str, torch.Tensor]) -> list[str]:
    """Describe each stored tensor that differs from the expected one in name or shape."""
    missing = [f"{name} missing" for name in expected if name not in stored]
    unknown = [f"{name} unknown" for name in stored if name not in expected]
    misshapen = [
        f"{name} is {tuple(stored[name].shape)}, should be {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in stored and stored[name].shape != tensor.shape
    ]
    return misshapen + missing + unknown
