"""`kronos download` from a hub, and what it leaves."""

import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from kronos.files import hash_file
from kronos.hub.downloads import list_models_to_fetch
from kronos.model import Kronos, KronosTokenizer
from tests.conftest import GOLDEN, invoke, write_tiny_config
from tests.hub.conftest import SMALL, TOKENIZER
from tests.hub.fake_hub import COMMIT, FakeHub

SHA256 = {name: hash_file(GOLDEN / name / "model.safetensors") for name in ("tokenizer", "predictor")}


def test_the_default_is_a_pair_that_then_works_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke("download")
    assert done.exit_code == 0, done.output
    for words in (SMALL, TOKENIZER, COMMIT[:12], *SHA256.values(), f"pretrained_predictor: {SMALL}"):
        assert words in done.output
    assert f"predict --tokenizer {TOKENIZER} --model {SMALL}" in done.output
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    Kronos.from_pretrained(SMALL), KronosTokenizer.from_pretrained(TOKENIZER)
    assert invoke("download").exit_code == 0  # nothing is missing


def test_folders_for_another_machine(hub: FakeHub, tmp_path: Path) -> None:
    to = tmp_path / "models"
    done = invoke("download", "Kronos-small", "--to", to, "--language", "zh")
    assert done.exit_code == 0, done.output
    assert "所有文件均已校验" in done.output and f"pretrained_tokenizer: {to / 'Kronos-Tokenizer-base'}" in done.output
    assert sorted(path.name for path in (to / "Kronos-small").iterdir()) == ["config.json", "model.safetensors"]
    assert hash_file(to / "Kronos-small" / "model.safetensors") == SHA256["predictor"]
    assert not (to / "Kronos-small" / "model.safetensors").is_symlink()
    Kronos.from_pretrained(to / "Kronos-small")


def test_the_models_of_a_configuration_from_its_endpoint(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_tiny_config(tmp_path)
    text = config.read_text().replace(str(GOLDEN / "predictor"), SMALL)
    config.write_text(text.replace("model_paths:", f"model_paths:\n  hub_endpoint: {hub.endpoint}/"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    done = invoke("download", "--config", config)
    assert done.exit_code == 0, done.output
    assert SMALL in done.output and TOKENIZER not in done.output  # the tokenizer is a folder
    config.write_text(text.replace(SMALL, "nano"))
    assert "names no model of the hub" in invoke("download", "--config", config).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Kronos-large"], "Kronos-large: no model of this name is published. Choose from Kronos-Tokenizer-2k,"),
        (["me/none"], "me/none: config.json could not be fetched .* access is denied"),
        (["--endpoint", "hf-mirror.com"], "is no address of a hub. Give one such as https://hf-mirror.com"),
        (["--endpoint", "http://[::1"], "is no address of a hub"),
        (["--endpoint", "http://host:80a"], "is no address of a hub"),
        (["--endpoint", "http://127.0.0.1:9"], r"\(http://127.0.0.1:9\): .* Use a mirror"),
        (["Kronos-small", "--config", "a.yaml"], "either names or --config|a.yaml"),
    ],
)
def test_mistakes(hub: FakeHub, arguments: list[str], words: str) -> None:
    done = invoke("download", *arguments)
    assert done.exit_code == 1
    assert re.search(words, " ".join(done.output.split())), done.output


def test_what_is_no_kronos_model(hub: FakeHub, tmp_path: Path) -> None:
    """Its weights are whole, but not those of its configuration."""
    shutil.copytree(GOLDEN / "predictor", tmp_path / "odd")
    shutil.copy(GOLDEN / "tokenizer" / "model.safetensors", tmp_path / "odd" / "model.safetensors")
    hub.models["me/odd"] = tmp_path / "odd"
    done = invoke("download", "me/odd", "--to", tmp_path / "to")
    assert done.exit_code == 1 and "does not fit its config.json as a Kronos" in done.output
    assert not (tmp_path / "to").exists()


def test_a_folder_that_cannot_be_written(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = invoke("download", "Kronos-small", "--to", tmp_path / "file")
    assert done.exit_code == 1 and "cannot be written" in done.output and "Traceback" not in done.output


def test_names() -> None:
    tokens = "NeoQuasar/Kronos-Tokenizer-2k"
    assert list_models_to_fetch(["Kronos-mini"], None) == [tokens, "NeoQuasar/Kronos-mini"]
    assert list_models_to_fetch(["Kronos-Tokenizer-2k", "NeoQuasar/Kronos-mini@main"], None) == [
        tokens,
        "NeoQuasar/Kronos-mini@main",
    ]
    assert list_models_to_fetch(["me/own"], None) == ["me/own"]


def test_a_tokenizer_that_is_given_is_not_fetched_twice() -> None:
    names = [f"{TOKENIZER}@{COMMIT}", f"{SMALL}@{COMMIT}"]
    assert list_models_to_fetch([f"Kronos-Tokenizer-base@{COMMIT}", names[1]], None) == names


def test_each_base_model_is_printed_with_its_own_tokenizer(hub: FakeHub) -> None:
    for name, folder in (
        ("Kronos-mini", "predictor"),
        ("Kronos-Tokenizer-2k", "tokenizer"),
        ("Kronos-base", "predictor"),
    ):
        hub.models[f"NeoQuasar/{name}"] = GOLDEN / folder
    done = invoke("download", "Kronos-small", "Kronos-mini", "Kronos-base")
    assert done.exit_code == 0, done.output
    printed = re.findall(r"pretrained_tokenizer: (.*)\n *pretrained_predictor: (.*)", done.output)
    small, mini, base = (f"NeoQuasar/Kronos-{each}" for each in ("small", "mini", "base"))
    assert printed == [(TOKENIZER, small), ("NeoQuasar/Kronos-Tokenizer-2k", mini), (TOKENIZER, base)]


def test_a_model_of_an_unknown_tokenizer(hub: FakeHub) -> None:
    """It is paired with the only one, and with none of several."""
    hub.models |= {"me/own": GOLDEN / "predictor", "me/tokens": GOLDEN / "tokenizer"}
    assert "--tokenizer me/tokens --model me/own" in " ".join(invoke("download", "me/tokens", "me/own").output.split())
    output = invoke("download", "me/tokens", TOKENIZER, "me/own").output
    assert "pretrained_predictor: me/own" in output and "pretrained_tokenizer" not in output


def test_a_pinned_commit_is_kept(hub: FakeHub) -> None:
    done = invoke("download", f"Kronos-small@{COMMIT}")
    assert f"pretrained_predictor: {SMALL}@{COMMIT}\n" in done.output
    assert f"--model {SMALL}@{COMMIT}" in " ".join(done.output.split())


def test_a_folder_that_holds_more_than_a_model_is_kept(hub: FakeHub, tmp_path: Path) -> None:
    """It may be a run of this name. A model alone is replaced."""
    folder = tmp_path / "Kronos-small"
    (folder / "basemodel").mkdir(parents=True)
    done = invoke("download", "Kronos-small", "--to", tmp_path)
    assert done.exit_code == 1 and "it holds more than a model (basemodel)" in " ".join(done.output.split())
    assert (folder / "basemodel").is_dir() and not hub.requests
    (folder / "basemodel").rmdir()
    (folder / "config.json").write_text("{}")
    assert invoke("download", "Kronos-small", "--to", tmp_path).exit_code == 0
    Kronos.from_pretrained(folder)


def test_two_models_do_not_share_a_folder(hub: FakeHub, tmp_path: Path) -> None:
    done = invoke("download", "a/m", "b/M", "--to", tmp_path / "to")
    assert done.exit_code == 1 and "b/M and a/m would both be put into" in " ".join(done.output.split())
    assert not hub.requests and not (tmp_path / "to").exists()


def test_a_folder_of_the_same_name_here(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / SMALL).mkdir(parents=True)
    done = invoke("download")
    assert done.exit_code == 0 and f"{SMALL}: the folder of this name here is used" in " ".join(done.output.split())
    done = invoke("download", "--to", "models")
    assert done.exit_code == 0 and hash_file(Path("models/Kronos-small/model.safetensors")) == SHA256["predictor"]
