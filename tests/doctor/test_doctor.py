"""`kronos doctor`: what it finds, in both languages, and when something is broken."""

import json
import shutil
import stat
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from kronos.doctor import machine, models, software
from kronos.doctor.published import MODEL, TOKENIZER, Match
from kronos.report.words.catalogue import Words
from tests.conftest import GOLDEN, invoke
from tests.hub.conftest import SMALL
from tests.hub.fake_hub import FakeHub


def run_doctor(*arguments: str, status: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return the findings by topic."""
    done = invoke("doctor", "--json", *arguments)
    assert done.exit_code == status, done.output
    found = json.loads(done.stdout)
    assert found["broken"] == sum(each["level"] == "broken" for each in found["findings"])
    return {each["topic"]: [f for f in found["findings"] if f["topic"] == each["topic"]] for each in found["findings"]}


def levels(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["code"], each["level"]) for each in findings]


def test_a_healthy_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    found = run_doctor()
    assert [*found] == [
        *("kronos", "python", "packages", "extras", "command", "device", "threads", "memory", "disk", "font", "models"),
        *("hub", "forecasts"),
    ]
    assert levels(found["models"]) == [("nano", "ok"), ("none_cached", "note")]
    assert levels(found["hub"]) == [("hub_offline", "note")]
    assert levels(found["forecasts"]) == [("forecasts_skipped", "note")]
    done = invoke("doctor", "--language", "zh")
    assert (done.exit_code == 0 and "没有故障。" in done.output and "警告" in done.output) or "提示" in done.output


def test_every_finding_has_words() -> None:
    """A code of the program without a text in one of the languages would raise."""
    source = "".join(Path(str(module.__file__)).read_text() for module in (machine, models, software))
    for language in ("en", "zh"):
        known = Words(language).section("doctor")
        codes = [code for code in known if "." not in code and code not in ("healthy", "n_broken")]
        assert not [code for code in codes if f'"{code}"' not in source]
        assert Counter(codes).keys() == Words("en").section("doctor").keys() - {
            code for code in known if "." in code or code in ("healthy", "n_broken")
        }


def test_models_at_hand(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("download").exit_code == 0
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "predictor", tmp_path / "models" / "mine")
    shutil.copytree(GOLDEN / "predictor", tmp_path / "models" / "torn")
    weights = tmp_path / "models" / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    found = run_doctor()
    codes = ["nano", "cached", "cached", "folder", "unreadable"]
    assert [each["code"] for each in found["models"]] == codes
    assert "not a readable safetensors file" in found["models"][-1]["text"]
    assert levels(found["hub"]) == [("hub", "ok")]
    # The weights of the fake hub are no published ones, and are of another commit.
    assert levels(found["forecasts"]) == [("forecasts_differ", "warning")] * 2


def test_a_folder_of_a_published_name(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before the model of the hub; what is in the cache is checked all the same."""
    assert invoke("download").exit_code == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / SMALL).mkdir(parents=True)
    found = run_doctor()
    assert levels(found["models"])[1:] == [("cached", "ok"), ("cached", "ok"), ("hides_hub", "warning")]
    assert levels(found["forecasts"]) == [("forecasts_differ", "warning")] * 2


def test_a_configuration_that_cannot_be_read(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "mine"
    (folder / "config.json").mkdir(parents=True)
    (folder / "model.safetensors").touch()
    assert levels(run_doctor()["models"])[-1] == ("unreadable", "warning")


def test_published_weights_that_differ_are_broken(
    hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        models, "list_pairs_to_compare", lambda: [(TOKENIZER.partition("@")[0], MODEL.partition("@")[0])]
    )
    monkeypatch.setattr(models, "MODEL", SMALL)
    found = run_doctor("--published", status=1)
    assert levels(found["forecasts"]) == [("forecasts_differ", "broken")] * 2
    monkeypatch.setattr(models, "compare_published", lambda *models: [Match(512, 1e-6)])
    assert levels(run_doctor("--published")["forecasts"]) == [("forecasts", "ok")]


def test_published_weights_that_cannot_be_fetched(hub: FakeHub) -> None:
    hub.status = 503
    found = run_doctor("--published", "--endpoint", hub.endpoint, status=1)
    assert levels(found["hub"]) == [("hub_unreachable", "warning")]
    assert levels(found["forecasts"]) == [("forecasts_failed", "broken")]
    assert "hf-mirror.com" in found["hub"][0]["text"]


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://host:80a"])
def test_an_address_that_is_none(hub: FakeHub, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke("doctor", "--endpoint", endpoint)
    assert done.exit_code == 1 and "is no address of a hub. Give one such as" in " ".join(done.output.split())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    assert levels(run_doctor()["hub"]) == [("hub_no_address", "warning")]


def test_another_command_of_this_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "kronos"
    script.write_text("#!/usr/bin/env python\nfrom kronos_time import main\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert software.check_command().code == "command_other"
    script.write_text("#!/usr/bin/env python\nfrom kronos.cli.start import main\n")
    assert software.check_command().level == "ok"
    script.unlink()
    assert software.check_command().code == "command_missing"


def test_missing_and_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def pretend(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "transformers" else version(name)

    monkeypatch.setattr(metadata, "version", pretend)
    found = list(software.check_software())
    assert [(each.code, each.level, each.values.get("name")) for each in found if each.topic == "packages"][:2] == [
        ("package_missing", "broken", "torch"),
        ("package_version", "warning", "transformers"),
    ]
    assert [*run_doctor(status=1)] == ["kronos", "python", "packages", "extras", "command"]  # nothing that needs them


def test_requirements_of_an_installed_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From a wheel there is no pyproject.toml; its metadata have the same."""
    of_clone = software._list_requirements()
    monkeypatch.setattr(software, "PACKAGE", tmp_path / "kronos")
    try:
        metadata.distribution(software.DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    required, extras = software._list_requirements()
    names, of_clone_names = ({canonicalize_name(each.name) for each in found} for found in (required, of_clone[0]))
    assert names <= of_clone_names
    assert {"tune", "excel"} <= extras.keys()
    assert [each.name for each in extras["tune"]] == ["optuna"]


def test_little_memory_and_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LITTLE_MEMORY", 1 << 60)
    monkeypatch.setattr(machine, "LITTLE_DISK", 1 << 60)
    monkeypatch.setattr(machine, "can_draw", lambda text: False)
    found = {finding.code: finding.level for finding in machine.check_machine()}
    assert found["memory"] == found["disk_here"] == found["disk_cache"] == "warning"
    assert found["font_missing"] == "note"


def test_a_gpu_whose_driver_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(n: int) -> None:
        raise RuntimeError("CUDA error: no kernel image\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", fail)
    first, *others = machine.check_machine()
    assert (first.code, first.level, first.values) == (
        "gpu_unusable",
        "broken",
        {"error": "CUDA error: no kernel image"},
    )
    assert {each.topic for each in others} == {"threads", "memory", "disk", "font"}


def test_a_cache_on_a_disk_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cache on a Windows drive that does not exist: no parent exists."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "nowhere/cache")
    monkeypatch.setattr(Path, "exists", Path.is_absolute)
    found = [each for each in machine.check_machine() if each.topic == "disk"]
    assert (found[-1].code, found[-1].level) == ("disk_missing", "warning")
    assert found[-1].values["folder"] == "nowhere/cache"
