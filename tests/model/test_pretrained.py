import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from kronos.errors import CheckpointError
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from tests.conftest import GOLDEN, ROOT


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


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', ""])
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


@pytest.mark.parametrize("change", [{"n_heads": 5}, {"d_model": "wide"}, {"n_layers": -1, "d_model": 0}])
def test_impossible_architecture(folder: Path, change: dict) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    check(folder, "cannot build a Kronos|does not fit")


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


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for one repository: the golden predictor's files."""

    def do_HEAD(self) -> None:
        self.respond(with_body=False)

    def do_GET(self) -> None:
        self.respond(with_body=True)

    def respond(self, with_body: bool) -> None:
        repository, _, name = self.path.lstrip("/").partition("/resolve/main/")
        file = GOLDEN / "predictor" / name
        if repository != "NeoQuasar/Kronos-tiny" or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


def test_hub_name_from_a_hub(tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    code = """
from kronos import CheckpointError, Kronos
from kronos.model.pretrained import hash_weights
print(hash_weights(Kronos.from_pretrained("NeoQuasar/Kronos-tiny")))
try:
    Kronos.from_pretrained("NeoQuasar/Kronos-none")
except CheckpointError as error:
    print(error)
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
        )
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr
    loaded, error = done.stdout.splitlines()
    assert loaded == hash_weights(Kronos.from_pretrained(GOLDEN / "predictor"))
    assert error.startswith("NeoQuasar/Kronos-none: no folder of this name here")
