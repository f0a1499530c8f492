import functools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kronos.errors import CheckpointError
from kronos.model import PRESETS, Kronos, KronosTokenizer, pretrained
from kronos.model.pretrained import hash_weights
from tests.conftest import GOLDEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "predictor", tmp_path / "model"))


def check(folder: Path | str, words: str, model_class: type = Kronos) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        model_class.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    check(tmp_path / "none", "no such model folder")


def test_unreachable_hub_name() -> None:
    check("NeoQuasar/Kronos-nothing", "no folder of this name here .* could not be fetched from the Hugging Face Hub")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    check(folder, f"this model folder has no {name}")


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    check(folder, "has no model.safetensors")


@pytest.mark.parametrize(
    "text", ["{", "[1]", '"x"', "", '{"n_layers": NaN}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}", " " * (1 << 21)]
)
def test_damaged_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    check(folder, "not readable as JSON|expected a JSON object")


def test_truncated_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    check(folder, "not a readable safetensors file")


def test_tensors_of_other_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"ff_dim": 64}))
    check(folder, r"does not fit its config.json as a Kronos: .*ffn.w1.weight is \(48, 32\), should be \(64, 32\)")


def test_more_layers_than_stored(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layers": 4}))
    check(folder, "transformer.3.* missing")


def test_the_other_network_s_folder(folder: Path) -> None:
    check(folder, "not the configuration of a KronosTokenizer: d_in, .* missing", KronosTokenizer)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("n_layers", value) for value in (1_000_000, 10**30, 0, -1, 3.0, "3", True, None, [3])),
        *(("d_model", value) for value in (10**9, 0, -32, 32.0, "wide")),
        *(("s1_bits", value) for value in (10**7, -6)),
        *(("ffn_dropout_p", value) for value in (1e999, "0.1", False, 1e30)),
        ("learn_te", "yes"),
    ],
)
def test_a_config_is_checked_before_anything_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object
) -> None:
    monkeypatch.setattr(Kronos, "__init__", forbid_building(Kronos.__init__))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}).replace("Infinity", "1e999"))
    check(folder, f"config.json: {key} is .*, but a Kronos needs (a whole number|a number|true or false)")


def forbid_building(original):
    @functools.wraps(original)
    def build(*args: object, **kwargs: object) -> None:
        pytest.fail("something was built")

    return build


@pytest.mark.parametrize("change", [{"n_heads": 5}, {"ffn_dropout_p": 2}, {"s1_bits": 900_000}, {"d_model": 900_000}])
def test_impossible_architecture(folder: Path, change: dict) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    check(folder, "cannot build a Kronos|does not fit")


def rewrite_header(path: Path, change) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = json.dumps(change(json.loads(content[8 : 8 + length]))).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def change_one(header: dict, **change: object) -> dict:
    return header | {"norm.weight": header["norm.weight"] | change}


HEADERS = {
    "a huge shape": lambda header: change_one(header, shape=[2**40]),
    "offsets behind the end": lambda header: change_one(header, data_offsets=[0, 2**50]),
    "negative": lambda header: change_one(header, shape=[-1]),
    "no shape": lambda header: header | {"norm.weight": {}},
    "no object": lambda header: [1],
    "a list": lambda header: header | {"norm.weight": []},
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_damaged_headers(folder: Path, change) -> None:
    rewrite_header(folder / "model.safetensors", change)
    check(folder, "not a readable safetensors file")


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_no_safetensors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    check(folder, "not a readable safetensors file")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "broken link"])
def test_no_regular_file(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    path.unlink()
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "broken link": lambda: path.symlink_to("nothing"),
    }[kind]()
    check(folder, f"this model folder has no {name}")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64, torch.float8_e4m3fn])
def test_weights_that_are_no_floating_point_numbers(folder: Path, dtype: torch.dtype) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"norm.weight": weights["norm.weight"].to(dtype)}, folder / "model.safetensors")
    check(folder, "norm.weight is .*, should be floating point")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e300])
def test_weights_that_are_not_finite(folder: Path, number: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["norm.weight"] = weights["norm.weight"].double()
    weights["norm.weight"][3] = number
    save_file(weights, folder / "model.safetensors")
    check(folder, "norm.weight has a number that is not finite")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_weights_are_converted(folder: Path, dtype: torch.dtype) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    assert Kronos.from_pretrained(folder).norm.weight.dtype == torch.float32


def test_the_same_model_is_the_same_file(tmp_path: Path) -> None:
    """safetensors writes its metadata in an order that differs from one time to the next."""
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    model.tokenizer_hash = "a" * 64
    for n in range(8):
        model.save_pretrained(tmp_path / str(n))
    assert len({path.read_bytes() for path in tmp_path.glob("*/model.safetensors")}) == 1
    assert Kronos.from_pretrained(tmp_path / "0").tokenizer_hash == "a" * 64


def test_loaded_in_eval_mode_and_saved_again(folder: Path, tmp_path: Path) -> None:
    model = Kronos.from_pretrained(str(folder))
    assert not model.training
    model.save_pretrained(tmp_path / "again")
    assert hash_weights(Kronos.from_pretrained(tmp_path / "again")) == hash_weights(model)


def test_hash_tells_weights_apart() -> None:
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    before = hash_weights(model)
    with torch.no_grad():
        model.norm.weight[0] += 1e-6
    assert hash_weights(model) != before


def count(model: torch.nn.Module) -> float:
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


@pytest.mark.parametrize(("name", "millions"), [("mini", 4.11), ("small", 24.74), ("base", 102.31)])
def test_presets_have_the_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        assert count(Kronos(**PRESETS[name].base_model)) == millions
        assert count(KronosTokenizer(**PRESETS[name].tokenizer)) == 3.96


@pytest.mark.network
@pytest.mark.parametrize(("model_class", "name"), [(KronosTokenizer, "Kronos-Tokenizer-base"), (Kronos, "Kronos-mini")])
def test_hub_names(model_class: type, name: str) -> None:
    model_class.from_pretrained(f"NeoQuasar/{name}")


@pytest.mark.parametrize("revision", ["", "@main"])
def test_both_files_are_of_one_commit_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    """The branch moves between the two downloads."""
    commits = iter("abc")

    def download(repository: str, filename: str, revision: str = "main") -> Path:
        commit = revision if revision != "main" else 40 * next(commits)
        folder = tmp_path / "snapshots" / commit
        shutil.copytree(GOLDEN / "predictor", folder, dirs_exist_ok=True)
        return folder / filename

    monkeypatch.setattr(pretrained, "fetch_file", download)
    identity = Kronos.from_pretrained(f"owner/moving{revision}").identity
    assert identity and (identity.name, identity.commit) == (f"owner/moving{revision}", 40 * "a")
    assert next(commits) == "b"


def test_a_folder_is_preferred_to_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(GOLDEN / "predictor", tmp_path / "owner" / "name@main")
    monkeypatch.chdir(tmp_path)
    identity = Kronos.from_pretrained("owner/name@main").identity
    assert identity and identity.commit is None
