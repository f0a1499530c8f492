"""The Dockerfile: checked by a linter and against the repository; built where Docker runs."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORE = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
COPIED = [word for words in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in words.split()]
SENT = [line[1:] for line in IGNORE if line[0] == "!"]


def docker_runs() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.process
def test_the_linter_finds_nothing() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def lies_in(path: str, places: list[str]) -> bool:
    return any(Path(path).is_relative_to(each) for each in places)


def test_what_is_copied_exists_and_is_sent() -> None:
    assert {"requirements.txt", "kronos"} <= set(COPIED)
    assert IGNORE[0] == "*" and all((ROOT / each).exists() for each in [*COPIED, *SENT])
    assert all(lies_in(each, COPIED) for each in SENT)
    assert all(lies_in(each, SENT) or any(lies_in(other, [each]) for other in SENT) for each in COPIED)


def test_what_the_wheel_is_built_from_is_in_the_image() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = list(wheel["force-include"])
    assert included and not [each for each in included if not (lies_in(each, COPIED) and lies_in(each, SENT))]


def test_versions_are_pinned_as_elsewhere() -> None:
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-\w+", DOCKERFILE, re.MULTILINE)
    pinned = "".join((ROOT / f"requirements{each}.txt").read_text() for each in ("", "-dev"))
    named = re.findall(
        r"[\w-]+==[\d.]+\d", DOCKERFILE + (ROOT / "README.md").read_text() + (ROOT / "README_CN.md").read_text()
    )
    assert len(named) == 3 and set(named) <= set(pinned.split())


def test_no_candles_of_the_user_are_sent() -> None:
    assert not any(fnmatch(name, each) for name in ("data/mine.csv", "finetuned", ".venv", ".git") for each in SENT)


@pytest.mark.slow
@pytest.mark.process
def test_it_builds_and_runs() -> None:
    if not docker_runs():
        pytest.skip("no Docker runs here")
    subprocess.run(["docker", "build", "--tag", "kronos-test", ROOT], check=True)
    done = subprocess.run(
        ["docker", "run", "--rm", "kronos-test", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("kronos ")
