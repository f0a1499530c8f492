"""Every number of the schema has two bounds, every list a length, every name of a folder stays in its place."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kronos.config.load import build_config, build_reading_config, load_config
from kronos.config.schema import Config
from kronos.errors import ConfigError

SCHEMA = Config.model_json_schema()
BASE = {"experiment.train_tokenizer": False, "experiment.train_basemodel": False, "data.data_path": "a.csv"}


def walk(node: dict[str, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the plain values of a JSON schema: [] for an item of a list, {} for a value of a mapping."""
    if "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
    for each in node.get("anyOf", ()):
        yield from walk(each, keys)
    for name, each in node.get("properties", {}).items():
        yield from walk(each, (*keys, name))
    if "properties" not in node and "anyOf" not in node:
        yield keys, node
    if isinstance(node.get("items"), dict):
        yield from walk(node["items"], (*keys, "[]"))
    if isinstance(node.get("additionalProperties"), dict):
        yield from walk(node["additionalProperties"], (*keys, "{}"))


VALUES = list(walk(SCHEMA))
NUMBERS = [(keys, node) for keys, node in VALUES if node.get("type") in ("integer", "number") and "enum" not in node]


def build(keys: tuple[str, ...], value: object) -> Config:
    values: dict[str, Any] = {}
    for dotted, each in (*BASE.items(), (".".join(keys), value)):
        section = values
        *path, name = dotted.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[name] = each
    return build_config(values)


def test_the_walk_finds_all() -> None:
    assert len(NUMBERS) > 45 and {keys[0] for keys, _ in NUMBERS} >= {
        "data",
        "repairs",
        "training",
        "device",
        "evaluation",
    }
    assert ("training", "lora", "alpha") in {keys for keys, _ in NUMBERS}


@pytest.mark.parametrize(("keys", "node"), NUMBERS, ids=lambda each: ".".join(each) if isinstance(each, tuple) else "")
def test_a_number_has_two_bounds(keys: tuple[str, ...], node: dict[str, Any]) -> None:
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    assert low is not None and high is not None, f"{keys} has no bounds"
    step = 1 if node["type"] == "integer" else max(abs(high), 1.0)
    wrong = [high + step, low - step, 10**21, -(10**21), 10**400, float("inf"), float("nan"), 1e308]
    for value in (each for each in wrong if not low <= each <= high):
        held = {"key": value} if keys[-1] == "{}" else value
        path = keys[:-1] if keys[-1] in ("{}", "[]") else keys
        with pytest.raises(ConfigError) as error:
            build(path, held)
        assert ".".join(path) in str(error.value) and len(str(error.value).splitlines()[0]) < 500, error.value
        assert "must" in str(error.value), error.value


@pytest.mark.parametrize(
    "keys", [keys for keys, node in VALUES if node.get("type") in ("array", "object")], ids=".".join
)
def test_a_list_has_a_length(keys: tuple[str, ...]) -> None:
    (node,) = [node for each, node in VALUES if each == keys and node.get("type") in ("array", "object")]
    most = node.get("maxItems", node.get("maxProperties"))
    assert most is not None, f"{keys} has no maximum length"
    many = {str(n): "x" for n in range(most + 1)} if node["type"] == "object" else ["x"] * (most + 1)
    with pytest.raises(ConfigError) as error:
        build(keys, many)
    assert len(str(error.value)) < 1000 or most == 100, str(error.value)[:500]


@pytest.mark.parametrize("moment", ["99999-01-01", "9999-12-31", "0001-01-01", "2500-01-01 10:00", "1e999"])
@pytest.mark.parametrize("key", ["since", "until", "train_end"])
def test_a_moment_lies_in_history(key: str, moment: object) -> None:
    with pytest.raises(ConfigError, match=f"data.{key}"):
        build(("data", key), moment)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../x",
            "/abs",
            "a/b",
            "a\\b",
            "a ",
            " a",
            "a.",
            "a\nb",
            "a\x1b[31m",
            "a\u202eb",
            "a\0b",
            "x" * 300,
        ),
        *(
            "report",
            "Report",
            "report-later",
            "evaluation",
            "logs",
            "tune",
            "config.yaml",
            "tokenizer.previous",
            "汉" * 100,
        ),
    ],
)
def test_a_name_of_a_folder_stays_in_its_place(name: str) -> None:
    for key in ("exp_name", "tokenizer_save_name", "basemodel_save_name"):
        with pytest.raises(ConfigError, match=f"model_paths.{key}") as error:
            build(("model_paths", key), name)
        assert (
            str(error.value).isprintable() and "\\x1b" in str(error.value).replace("\\\\", "\\")
        ) or "\x1b" not in name


def test_stages_do_not_share_a_folder_by_case() -> None:
    with pytest.raises(ConfigError, match="two different"):
        build(("model_paths",), {"tokenizer_save_name": "Model", "basemodel_save_name": "model"})


def test_names_of_upstream_and_explicit_paths_stay_free() -> None:
    for name in ("HK_ali_09988_kline_5min_all", "2024-01-01 10:00", "茅台", "reports", "run.1"):
        config = build(("model_paths",), {"exp_name": name, "base_save_path": "../elsewhere/report"})
        assert config.model_paths.base_save_path == Path("../elsewhere/report")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
BOMBS = {
    "aliases": BOMB + "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e]\n",
    "long texts": "a: &a '" + "x" * 100_000 + "'\ndata: [" + "*a," * 5000 + "]\n",
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 20)),
    "nested lists": "a: " + "[" * 100_000,
    "nested maps": "\n".join(" " * n + "a:" for n in range(300)),
    "itself": "a: &a [*a]\n",
    "a tag": "a: !!python/object/apply:os.system ['true']\n",
    "binary": "a: !!binary aGk=\n",
    "a timestamp": "a: !!timestamp 2024-01-01\n",
    "a set": "a: !!set {x}\n",
    "a huge integer": "data: {lookback_window: " + "9" * 5000 + "}\n",
    "infinite": "data: {clip: .inf}\n",
    "nan": "data: {clip: .nan}\n",
    "twice": "data: {clip: 1}\ndata: {clip: 2}\n",
    "too large": "# " + "x" * (1 << 20) + "\n",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_in_yaml_is_an_error_with_its_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(BOMBS[kind])
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(path) in str(error.value) and all(len(line) < 1000 for line in str(error.value).splitlines())


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    paths = [
        tmp_path,
        tmp_path / "fifo",
        tmp_path / "link",
        tmp_path / "loop",
        Path("/dev/zero"),
        Path("/proc/self/status"),
    ]
    for path in paths:
        errors: list[str] = []

        def load(path: Path = path, errors: list[str] = errors) -> None:
            try:
                load_config(path)
            except ConfigError as error:
                errors.append(str(error))

        thread = threading.Thread(target=load, daemon=True)  # a failure would hang
        thread.start()
        thread.join(30)
        assert errors and str(path) in errors[0], path


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1b[31mb.csv", "a\tb.csv"])
def test_a_file_that_is_there_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.data_path\.0 is '.*b\.csv'; between double quotes") as error:
        build_reading_config([str(tmp_path / name)], [])
    assert str(error.value).isprintable()
    (tmp_path / name).write_text("")
    assert build_reading_config([str(tmp_path / name)], []).data.data_path == (tmp_path / name,)


def test_this_folder_and_the_home_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert build_reading_config(["."], []).data.data_path == (tmp_path,)
    with pytest.raises(ConfigError, match=r"there is no user of that name. Write \./~nobody-here/a\.csv"):
        build_reading_config(["~nobody-here/a.csv"], [])


def test_an_override_of_many_keys() -> None:
    with pytest.raises(ConfigError, match="is not an override"):
        build_reading_config(["a.csv"], [".".join(["data"] * 5000) + "=1"])
