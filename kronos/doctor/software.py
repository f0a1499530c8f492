"""Which packages are installed, and which program the command `kronos` starts."""

import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from kronos.doctor.diagnoses import Diagnosis
from kronos.version import __version__

DISTRIBUTION = "kronos-finetune"
PACKAGE = Path(__file__).parents[1]
TESTED_PYTHON = (3, 11)
OWN_MODULE = b"kronos.cli"  # which our command starts


def check_software() -> Iterator[Diagnosis]:
    """Find the versions, what is missing or of another version than is needed, and the extras."""
    yield Diagnosis("kronos", "kronos", values={"version": __version__, "folder": str(PACKAGE)})
    version, tested = platform.python_version(), ".".join(map(str, TESTED_PYTHON))
    is_tested = sys.version_info[:2] == TESTED_PYTHON
    code = "python" if is_tested else "python_untested"
    yield Diagnosis("python", code, "ok" if is_tested else "note", {"version": version, "tested": tested})
    required, extras = _list_requirements()
    found = {each.name: _find_version(each.name) for each in required}
    for each in required:
        installed = found[each.name]
        if installed is None:
            yield Diagnosis("packages", "package_missing", "broken", {"name": each.name, "needed": str(each.specifier)})
        elif not each.specifier.contains(installed, prereleases=True):
            values = {"name": each.name, "version": installed, "needed": str(each.specifier)}
            yield Diagnosis("packages", "package_version", "warning", values)
    shown = [
        f"{name} {found[name]}"
        for name in ("torch", "transformers", "accelerate", "huggingface_hub")
        if found.get(name)
    ]
    yield Diagnosis("packages", "packages", values={"packages": ", ".join(shown)})
    present = [name for name, packages in extras.items() if all(_find_version(each.name) for each in packages)]
    missing = [name for name in extras if name not in present]
    if present:
        yield Diagnosis("extras", "extras_present", values={"extras": ", ".join(present)})
    if missing:
        packages = " ".join(f'"{each.name}{each.specifier}"' for each in extras[missing[0]])
        values = {"extras": ", ".join(missing), "command": f"pip install {packages}", "first": missing[0]}
        yield Diagnosis("extras", "extras_missing", "note", values)


def check_command() -> Diagnosis:
    """Find what the command `kronos` starts: another package installs one of this name, too."""
    path = shutil.which("kronos")
    if path is None:
        return Diagnosis("command", "command_missing", "note")
    try:
        is_own = OWN_MODULE in Path(path).read_bytes()
    except OSError:
        is_own = False
    return Diagnosis("command", "command" if is_own else "command_other", "ok" if is_own else "warning", {"path": path})


def _list_requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Return what is needed, and by extra what is optional: of the installed package, or of the clone."""
    clone = PACKAGE.parent / "pyproject.toml"
    if clone.is_file():
        project = tomllib.loads(clone.read_text(encoding="utf-8"))["project"]
        optional = project.get("optional-dependencies", {})
        return _parse(project["dependencies"]), {name: _parse(each) for name, each in optional.items()}
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return [], {}
    listed = _parse(distribution.requires or [])
    extras = distribution.metadata.get_all("Provides-Extra") or []
    by_extra = {
        extra: [each for each in listed if each.marker and each.marker.evaluate({"extra": extra})] for extra in extras
    }
    required = [each for each in listed if not each.marker or each.marker.evaluate({"extra": ""})]
    return required, {name: [each for each in packages if each not in required] for name, packages in by_extra.items()}


def _parse(texts: list[str]) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
