"""Any configuration ends in checked settings or in one error that names the places."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from kronos.config import Config, load_config
from kronos.config.load import dump_config
from kronos.errors import ConfigError
from tests.conftest import FAST, ROOT, FinishedRun, invoke, write_tiny_config
from tests.fuzzing import (
    CHANGES,
    MUTATIONS,
    ODD_VALUES,
    Change,
    Mutation,
    assert_ended_well,
    assert_explained,
    fuzz,
    mutate_bytes,
    mutate_values,
)

SHIPPED = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if "space" not in path.name)
SECTIONS = {
    name: sorted(field.annotation.model_fields)  # type: ignore[union-attr]
    for name, field in Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
KEYS = [f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys]


@functools.cache
def read_every_key() -> dict[str, Any]:
    """The tiny configuration with all keys."""
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = yaml.safe_load(dump_config(load_config(write_tiny_config(Path(folder)))))
    return values


def check_config(content: bytes, overrides: Sequence[str] = ()) -> bool:
    """Load a configuration and assert the property; return whether it was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_bytes(content)
        try:
            config = load_config(path, overrides)
        except ConfigError as error:
            assert_explained(str(error))
            return False
        saved = dump_config(config)
        path.write_text(saved, encoding="utf-8")
        assert dump_config(load_config(path)) == saved
    return True


@fuzz(60, CHANGES, n_fuzz=6000, kind="configurations")
def test_odd_values(changes: Sequence[Change]) -> bool:
    values = mutate_values(read_every_key(), changes)
    return check_config(yaml.safe_dump(values, allow_unicode=True).encode())


@fuzz(30, st.sampled_from(SHIPPED), MUTATIONS, n_fuzz=3000, kind="configurations")
def test_mutated_bytes(shipped: Path, mutations: Sequence[Mutation]) -> bool:
    return check_config(mutate_bytes(shipped.read_bytes(), mutations))


NAMES = st.sampled_from(KEYS) | st.sampled_from([*SECTIONS, "", ".", "data.", ".data", "data.data_path.x", "a.b.c"])
TEXTS = ODD_VALUES.map(str) | st.text(st.characters(codec="utf-8"), max_size=12)


@fuzz(
    30,
    st.lists(st.tuples(NAMES, TEXTS).map("=".join) | TEXTS, min_size=1, max_size=3),
    n_fuzz=3000,
    kind="configurations",
)
def test_odd_overrides(overrides: list[str]) -> bool:
    return check_config(yaml.safe_dump(read_every_key()).encode(), overrides)


YAML_MARKS = ["a: ", "&a ", "*a", "<<: ", "[", "]", "{", "}", ", ", "- ", "? ", "|\n", "'", '"', "#", "\n", "\n  "]
YAML_TAGS = ["!!set ", "!!python/name:os.system ", "!!binary ", "%YAML 1.2\n", "---\n", "...\n"]
YAML_PIECES = st.sampled_from([*YAML_MARKS, *YAML_TAGS, "data:\n  ", "data_path: ", "1e999", "0x" + "f" * 999])


@fuzz(30, st.lists(YAML_PIECES | st.text(max_size=3), max_size=40).map("".join), n_fuzz=1500, kind="configurations")
def test_odd_yaml(text: str) -> bool:
    return check_config(text.encode(errors="replace"))


@functools.cache
def make_candles() -> Path:
    return write_tiny_config(Path(tempfile.mkdtemp()))


@fuzz(2, CHANGES, n_fuzz=150, kind="dry runs of odd configurations", slow=True)
def test_a_dry_run(changes: Sequence[Change]) -> bool:
    """What is accepted can be planned, or the plan explains why not."""
    path = make_candles()
    base: dict[str, Any] = yaml.safe_load(dump_config(load_config(path, FAST)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "c.yaml"
        file.write_text(yaml.safe_dump(mutate_values(base, changes), allow_unicode=True), encoding="utf-8")
        return assert_ended_well(invoke("train", "--config", file, "--dry-run", f"model_paths.base_path={folder}"))


EVALUATION = st.sampled_from([key for key in KEYS if key.startswith(("evaluation.", "report.", "inference."))])


@fuzz(
    2,
    st.lists(st.tuples(EVALUATION, TEXTS).map("=".join), min_size=1, max_size=2),
    n_fuzz=150,
    kind="odd evaluations",
    slow=True,
)
def test_an_evaluation(finished_run: FinishedRun, overrides: list[str]) -> bool:
    """What is accepted can be evaluated, or the command explains why not."""
    return assert_ended_well(invoke("evaluate", "--run", finished_run.path, *overrides))
