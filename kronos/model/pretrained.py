"""Model folders, local or on the hub: config.json (the constructor's arguments) and model.safetensors."""

import hashlib
import re
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from torch import nn

from kronos.errors import CheckpointError, first_line
from kronos.model.stored.architecture import read_model_config, select_arguments
from kronos.model.stored.hub import check_intact, fetch_file
from kronos.model.stored.hub_errors import HubError
from kronos.model.stored.identity import ModelIdentity, find_commit, identify
from kronos.model.stored.weights import read_header, read_weights, write_weights

MODEL_CARD = """---
{{ card_data }}
---

A Kronos model ([paper](https://arxiv.org/abs/2508.02739)), loaded by `from_pretrained` of the class that wrote it:

```python
from kronos import Kronos, KronosPredictor, KronosTokenizer
```

A forecast is not advice, and nothing here promises profit.
"""
TAGS = ["time-series-forecasting", "finance", "kronos", "candlestick", "k-line"]
NANO = "nano"  # the name of the small model that the package contains
NANO_FOLDER = Path(__file__).parent / NANO
TOKENIZER_KEY = "tokenizer_sha256"
HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # with a commit, branch or tag


class PretrainedModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="kronos",
    model_card_template=MODEL_CARD,
    tags=[*TAGS],  # the mixin appends its own
):
    """Adds `from_pretrained`, `save_pretrained` and `push_to_hub`. Loads only safetensors and JSON, and all tensors must fit.

    tokenizer_hash: `hash_weights` of the tokenizer that a base model was trained with; None if its file does not name it.
    identity: of the weights that it was loaded with; None if it was not loaded.
    """

    tokenizer_hash: str | None = None
    identity: ModelIdentity | None = None
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
            pretrained_model_name_or_path: a folder with config.json and model.safetensors, "owner/name" or
                "owner/name@commit", or "nano" for the model in the package.
            kwargs: for the hub: revision, cache_dir, token, endpoint, force_download, local_files_only.

        Returns:
            The model in eval mode on the CPU.

        Raises:
            CheckpointError: the folder or a file is missing, unreadable, or its tensors do not fit.
        """
        config_file, weights_file = locate_model(pretrained_model_name_or_path, cls.nano_part, **kwargs)
        from_hub = not find_folder(pretrained_model_name_or_path, cls.nano_part).is_dir()
        identity = identify(pretrained_model_name_or_path, weights_file, from_hub)
        if from_hub:
            check_intact(weights_file, identity.sha256)
        header = read_header(weights_file)
        with torch.device("meta"):  # drawing weights that are replaced takes seconds
            model = cls.from_config(read_model_config(config_file), config_file, len(header.shapes))
        model.load_state_dict(read_weights(weights_file, model.state_dict(), cls.__name__), assign=True)
        model.tokenizer_hash = header.metadata.get(TOKENIZER_KEY)
        model.identity = identity
        return model.eval()

    @classmethod
    def from_config(cls, config: dict[str, Any], source: Path | str, n_tensors: int | None = None) -> Self:
        """Build an untrained model from the content of config.json. Errors name source.

        Args:
            n_tensors: of the stored weights, if there are any.
        """
        arguments = select_arguments(cls, config, source, n_tensors)
        try:
            return cls(**arguments)
        except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
            reason = first_line(error)
            raise CheckpointError(
                "{source}: cannot build a {model}: {reason}.", source=source, model=cls.__name__, reason=reason
            ) from error

    def _save_pretrained(self, save_directory: Path) -> None:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        metadata = {"format": "pt"} | ({TOKENIZER_KEY: self.tokenizer_hash} if self.tokenizer_hash else {})
        write_weights(save_directory / SAFETENSORS_SINGLE_FILE, weights, metadata)


def locate_model(name_or_path: str | Path, nano_part: str = "", **hub_options: Any) -> tuple[Path, Path]:
    """Return the paths of a model's two files, as `locate_file`; on the hub both are of one commit, even if a branch moves."""
    config_file = locate_file(name_or_path, CONFIG_NAME, nano_part, **hub_options)
    commit = None if find_folder(name_or_path, nano_part).is_dir() else find_commit(config_file)
    name = f"{str(name_or_path).partition('@')[0]}@{commit}" if commit else name_or_path
    return config_file, locate_file(name, SAFETENSORS_SINGLE_FILE, nano_part, **hub_options)


def fetch_model(name: str, **hub_options: Any) -> tuple[Path, Path]:
    """Return the paths of the two files of a model of the hub, as `locate_model`. A local folder of its name does not count.

    Raises:
        HubError: they cannot be fetched.
    """
    on_hub = HUB_NAME.fullmatch(name)
    assert on_hub
    try:
        config_file = fetch_file(on_hub[1], CONFIG_NAME, **hub_options | {"revision": on_hub[2]})
        options = hub_options | {"revision": find_commit(config_file)}
        return config_file, fetch_file(on_hub[1], SAFETENSORS_SINGLE_FILE, **options)
    except HubError as error:
        raise error.within("{name}", name=name) from error


def locate_file(name_or_path: str | Path, filename: str, nano_part: str = "", **hub_options: Any) -> Path:
    """Return the path of a file of a model folder. If a hub name is given, download the file.

    Args:
        nano_part: the folder in NANO_FOLDER if name_or_path is "nano"; a local folder of this name is preferred.

    Raises:
        CheckpointError: there is no such folder or file, or the download failed.
    """
    folder = find_folder(name_or_path, nano_part)
    if folder.is_dir():
        if not (folder / filename).is_file():
            raise CheckpointError("{folder}: this model folder has no {name}.", folder=folder, name=filename)
        return folder / filename
    on_hub = HUB_NAME.fullmatch(str(name_or_path))
    if folder.exists() or not on_hub:
        raise CheckpointError(
            "{name}: no such model folder. Give a folder with {config} and {weights}, a hub name such as NeoQuasar/Kronos-small, "
            "or nano, the small model in this package.",
            name=name_or_path,
            config=CONFIG_NAME,
            weights=SAFETENSORS_SINGLE_FILE,
        )
    revision = {"revision": on_hub[2]} if on_hub[2] else {}
    try:
        return fetch_file(on_hub[1], filename, **hub_options | revision)
    except HubError as error:
        raise error.within(
            "{name}: no folder of this name here ({here})", name=name_or_path, here=Path.cwd()
        ) from error


def name_endpoint(endpoint: str) -> dict[str, str]:
    """Return the option of `from_pretrained` that names the hub's endpoint; none if it is empty: HF_ENDPOINT decides then."""
    return {"endpoint": endpoint} if endpoint else {}


def find_folder(name_or_path: str | Path, nano_part: str = "") -> Path:
    """Return the local folder that a name stands for. If it is no folder, the name is one of the hub."""
    return NANO_FOLDER / nano_part if names_nano(name_or_path) and nano_part else Path(name_or_path).expanduser()


def names_nano(name_or_path: str | Path) -> bool:
    """Whether this is the model in the package, not a local model folder of the same name."""
    return str(name_or_path) == NANO and not Path(name_or_path, CONFIG_NAME).is_file()


def check_pair(tokenizer: Any, base_model: Any, n_features: int) -> None:
    """Check that a tokenizer reads n_features and writes tokens of the size that the base model, if given, reads.

    Raises:
        CheckpointError: they do not fit.
    """
    if tokenizer.head.out_features != n_features:
        raise CheckpointError(
            "the tokenizer reads {n} features, but candles have {n_features}.",
            n=tokenizer.head.out_features,
            n_features=n_features,
        )
    if base_model is None:
        return
    written, read = ((model.s1_bits, model.s2_bits) for model in (tokenizer, base_model))
    if written != read:
        raise CheckpointError(
            "the tokenizer writes {written} bits, but the base model reads {read}: they do not belong together.",
            written=" + ".join(map(str, written)),
            read=" + ".join(map(str, read)),
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
