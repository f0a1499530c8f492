"""Models of a hub: how they are fetched, verified and kept, and what is said if they cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from kronos.errors import CheckpointError, WriteError
from kronos.files import hash_file
from kronos.model import Kronos
from kronos.model.pretrained import hash_weights
from kronos.model.stored import hub as hub_module
from kronos.model.stored.identity import ModelIdentity
from tests.conftest import GOLDEN, ROOT, invoke
from tests.hub.conftest import SMALL
from tests.hub.fake_hub import COMMIT, FakeHub, serve_hub

WEIGHTS = GOLDEN / "predictor" / "model.safetensors"


def fail(words: str, name: str = SMALL, error: type[Exception] = CheckpointError, **options: object) -> str:
    with pytest.raises(error, match=words) as caught:
        Kronos.from_pretrained(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_a_model_is_fetched_once(hub: FakeHub, revision: str) -> None:
    model = Kronos.from_pretrained(SMALL + revision)
    assert hash_weights(model) == hash_weights(Kronos.from_pretrained(GOLDEN / "predictor"))
    assert model.identity and (model.identity.commit, model.identity.sha256) == (COMMIT, hash_file(WEIGHTS))
    n_gets = len(hub.paths("GET"))
    assert Kronos.from_pretrained(SMALL + revision).identity == model.identity
    assert len(hub.paths("GET")) == n_gets
    assert not [*Path(huggingface_hub.constants.HF_HUB_CACHE).rglob("*kronos-part*")]


def test_cached_models_need_no_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    Kronos.from_pretrained(SMALL)
    n_requests = len(hub.requests)
    hub.status = 503
    assert Kronos.from_pretrained(SMALL).identity
    assert len(hub.requests) > n_requests
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    n_requests = len(hub.requests)
    assert Kronos.from_pretrained(SMALL).identity
    assert len(hub.requests) == n_requests


def test_offline_without_the_model(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = fail("HF_HUB_OFFLINE is set, and the file is not in the cache")
    assert f"kronos download {SMALL}" in message
    assert not hub.requests


def test_an_interrupted_download_is_resumed(hub: FakeHub) -> None:
    """The connection breaks twice in one process; and once more in one that gives up."""
    hub.cut = [1000, 500]
    Kronos.from_pretrained(SMALL)
    assert [headers.get("range") for method, path, headers in hub.requests if method == "GET" and "/cdn/" in path] == [
        None,
        "bytes=1000-",
        "bytes=1500-",
    ]


def test_a_download_is_resumed_by_the_next_command(hub: FakeHub) -> None:
    hub.cut = [1000, 0, 0, 0]
    message = fail("model.safetensors could not be fetched")
    assert "HF_ENDPOINT=https://hf-mirror.com" in message
    Kronos.from_pretrained(SMALL)
    assert hub.requests[-1][0] == "HEAD" and any(each[2].get("range") == "bytes=1000-" for each in hub.requests)


def test_another_file_than_the_hub_names_is_refused(hub: FakeHub) -> None:
    hub.falsify = True
    fail("what was fetched from 127.0.0.1:.* is damaged: its size or hash differs")
    assert not [*Path(huggingface_hub.constants.HF_HUB_CACHE).rglob("*.safetensors")]
    hub.falsify = False
    Kronos.from_pretrained(SMALL)


def test_a_damaged_file_of_the_cache_is_found(hub: FakeHub) -> None:
    Kronos.from_pretrained(SMALL)
    (weights,) = Path(huggingface_hub.constants.HF_HUB_CACHE).rglob("model.safetensors")
    blob = weights.resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    assert str(blob) in fail("this file of the Hugging Face cache is damaged")
    blob.unlink()
    Kronos.from_pretrained(SMALL)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NeoQuasar/Kronos-none", r"access is denied \(status 401\): there is no such model, or it is private. Check"),
        (f"{SMALL}@v9", r"there is no such model, revision or file \(status 404\). Check the name"),
        ("NeoQuasar/Kronos..small", "Check the name"),
        (f"a--b/c@{COMMIT}", "Check the name"),
    ],
)
def test_what_the_hub_does_not_have(hub: FakeHub, name: str, words: str) -> None:
    message = fail(words, name)
    assert "hf-mirror" not in message
    assert len(hub.requests) <= 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_is_out_of_order_is_asked_once(hub: FakeHub, status: int) -> None:
    hub.status = status
    fail("could not be fetched from the Hugging Face Hub")
    assert len(hub.requests) == 1


def test_a_hub_that_does_not_answer(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.silent = True
    monkeypatch.setattr(hub_module, "REACH_SECONDS", 0.2)
    monkeypatch.setattr(hub_module.ask, "__defaults__", (0.2,))
    message = fail("no folder of this name here .* could not be fetched from the Hugging Face Hub")
    for words in (
        "HF_ENDPOINT=https://hf-mirror.com",
        "model_paths.hub_endpoint in the configuration",
        "modelscope download --model AI-ModelScope/Kronos-small --local_dir models/Kronos-small",
        "config.json and model.safetensors",
    ):
        assert words in message
    assert len(hub.requests) == 1


def test_no_connection(hub: FakeHub) -> None:
    message = fail("could not be fetched from the Hugging Face Hub", endpoint="http://127.0.0.1:9")
    assert "(http://127.0.0.1:9)" in message and "hf-mirror.com" in message
    assert not hub.requests


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://host:80a"])
def test_an_address_that_is_none(hub: FakeHub, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail("is no address of a hub. Correct HF_ENDPOINT", endpoint=endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    fail("is no address of a hub. Correct HF_ENDPOINT")
    assert Kronos.from_pretrained(SMALL, endpoint=hub.endpoint)  # HF_ENDPOINT does not matter then


def test_a_server_that_is_no_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.status = 200
    fail("the server is no hub: its answer names no commit")


def test_no_room_on_the_disk(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    fail("No space left on device .*Free some space, or choose another place with HF_HOME", error=WriteError)


def test_a_cache_that_cannot_be_locked(hub: FakeHub) -> None:
    sha256 = hash_file(WEIGHTS)
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE) / "models--NeoQuasar--Kronos-small" / "blobs"
    (cache / f"{sha256}.kronos-part.lock").mkdir(parents=True)
    fail("kronos-part: cannot be written: .* another place with HF_HOME", error=WriteError)


def test_a_lock_file_that_another_process_holds(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not remove it."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".lock":
            raise PermissionError(13, "in use", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    Kronos.from_pretrained(SMALL)


def test_a_token_is_sent_to_the_hub_only(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to the host that has the large files, nor to an endpoint of a configuration."""
    Kronos.from_pretrained(SMALL)
    sent = {path: headers.get("authorization") for _, path, headers in hub.requests}
    assert {value for path, value in sent.items() if "/resolve/" in path} == {"Bearer hf_secret"}
    assert {value for path, value in sent.items() if "/cdn/" in path} == {None}
    hub.requests.clear()
    own = "https://huggingface.co"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", own)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", own + "/{repo_id}/resolve/{revision}/{filename}"
    )
    Kronos.from_pretrained(SMALL, endpoint=hub.endpoint, force_download=True)
    assert hub.requests and {headers.get("authorization") for *_, headers in hub.requests} == {None}


def test_the_way_out_in_chinese(hub: FakeHub) -> None:
    hub.status = 503
    done = invoke("download", "--language", "zh")
    assert done.exit_code == 1
    for words in (
        "无法从 Hugging Face Hub",
        "请使用镜像",
        "HF_ENDPOINT=https://hf-mirror.com",
        "非官方副本",
        "放进同一个文件夹",
    ):
        assert words in done.output, done.output
    assert "could not" not in done.output and "Or put" not in done.output


@pytest.mark.slow
@pytest.mark.process
def test_the_endpoint_of_the_environment(tmp_path: Path) -> None:
    """HF_ENDPOINT and HF_HOME, read by a process of its own."""
    code = """
from kronos import CheckpointError, Kronos
for name in ("NeoQuasar/Kronos-small", "NeoQuasar/Kronos-none", "NeoQuasar/Kronos-small@" + "b" * 40):
    try:
        print(Kronos.from_pretrained(name).identity)
    except CheckpointError as error:
        print(error)
"""
    with serve_hub({SMALL: GOLDEN / "predictor"}) as served:
        environment = os.environ | {
            "HF_ENDPOINT": served.endpoint,
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    identity, none, other_commit = done.stdout.splitlines()
    assert identity == repr(ModelIdentity(SMALL, COMMIT, hash_file(WEIGHTS)))
    assert none.startswith("NeoQuasar/Kronos-none: no folder of this name here") and served.endpoint in none
    assert other_commit.startswith(f"{SMALL}@{'b' * 40}: no folder of this name here")
    assert [*(tmp_path / "hub").rglob("model.safetensors")]
