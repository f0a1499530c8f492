"""How YAML is read and written, scalar by scalar."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.config import load_config
from kronos.config.yaml_text import parse_yaml, write_yaml_text
from kronos.errors import ConfigError

READ: dict[str, Any] = {
    **{
        "1e-4": 1e-4,
        "2E-5": 2e-5,
        "1E+3": 1e3,
        ".5": 0.5,
        "5.": 5.0,
        "-.5": -0.5,
        "1e400": math.inf,
        "-.INF": -math.inf,
    },
    **{"012": 12, "000001": 1, "-08": -8, "+5": 5, "1_000": 1000, "0x1F": 31, "0o17": 15, "9" * 30: int("9" * 30)},
    **{"true": True, "False": False, "TRUE": True, "null": None, "~": None, "": None, "Null": None},
    # Numbers, dates and booleans of YAML 1.1.
    **{
        text: text
        for text in ("yes", "No", "on", "OFF", "y", "tRUE", "12:30", "1:30:00", "2024-02-30", "0b101", "1.2.3")
    },
    **{text: text for text in ("e5", ".", "inf", "nan", "=", "<<", "http://x.y/z", "a b", "2024-01-01 10:00:00")},
    **{
        "'1e-4'": "1e-4",
        '"true"': "true",
        '"\\u00e9"': "é",
        "!!str 3": "3",
        "[1, x]": [1, "x"],
        "{a: 1e1}": {"a": 10.0},
    },
}


@pytest.mark.parametrize("text", READ)
def test_values(text: str) -> None:
    assert repr(parse_yaml(f"k: {text}\n", "f")[0]) == repr({"k": READ[text]})


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{here}: &{here} [{','.join([f'*{before}'] * 10)}]\n" for before, here in zip("abcde", "bcdef")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 'f:3: found duplicate key "a", first on line 1; keep one of them.'),
        ("a:\n  b: 1\n  'b': 2\n", 'f:3: found duplicate key "b", first on line 2; keep one of them.'),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n", 'f:4: found duplicate key "<<", first on line 3; keep one of them.'),
        ("a:\n  <<: 3\n", "f:2: not valid YAML: << takes a mapping, or a list of mappings."),
        ("a:\n\tb: 1\n", "f:2: not valid YAML: found character '\\t' that cannot start any token."),
        ("a:\n  b: 1\n c: 2\n", "f:3: not valid YAML: expected <block end>, but found '<block mapping start>'."),
        (
            "a: 1\n---\nb: 2\n",
            "f:2: not valid YAML: expected a single document in the stream, but found another document.",
        ),
        ("a: *b\n", "f:1: not valid YAML: found undefined alias 'b'."),
        ("a: 1\nb: \x01\n", "f:2: not valid YAML: the character U+0001 is not allowed."),
        ("a: 1\nb: &x [1, *x]\n", "f:2: not valid YAML: an alias contains itself."),
        ("a: &x\n  <<: *x\n", "f:1: not valid YAML: an alias contains itself."),
        ("a: " + "[" * 5000, "f:1: not valid YAML: it is nested more than 50 levels deep."),
        (LAUGHS, "f:1: not valid YAML: its aliases stand for more than 100,000 values."),
        ("a: 1\n? [b]\n: 2\n", "f:2: not valid YAML: a key must be a text."),
        (
            "a: !!python/object:os.system x\n",
            "f:1: not valid YAML: the tag !!python/object:os.system is not supported: ",
        ),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_bad_yaml(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "path", [r"D:\data\my.csv", r"D:\users\my.csv", r"D:\xy.csv", r"D:\new\table.csv", r"D:\btc.csv"]
)
def test_paths_of_windows_between_double_quotes(tmp_path: Path, path: str) -> None:
    """An unknown escape is bad YAML; a known one, such as \\n, is no character of a path."""
    file = tmp_path / "my.yaml"
    models = "model_paths: {exp_name: a, pretrained_tokenizer: a, pretrained_predictor: a}"
    file.write_text(f'data:\n  data_path: "{path}"\n{models}\n')
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert "my.yaml:2: " in str(error.value) and "\n" not in str(error.value).replace(path, "")
    assert str(error.value).endswith(r"Write a path like 'D:\data\my.csv' or D:/data/my.csv.")
    for written in (f"'{path}'", path):
        file.write_text(f"data:\n  data_path: {written}\n{models}\n")
        assert str(load_config(file).data.data_path[0]) == path


def test_places() -> None:
    text = "a: &a\n  b: 1\n  c: 2\nd:\n  <<: [*a, {e: 3}]\n  c: 4\n  f:\n  - 5\n  - g: 6\n"
    values, places = parse_yaml(text, "f")
    assert values["d"] == {"b": 1, "c": 4, "e": 3, "f": [5, {"g": 6}]}
    lines = {".".join(keys): int(place.removeprefix("f:")) for keys, place in places.items()}
    of_d = {"d": 4, "d.b": 5, "d.e": 5, "d.c": 6, "d.f": 7, "d.f.0": 8, "d.f.1": 9, "d.f.1.g": 9}
    assert lines == {"a": 1, "a.b": 2, "a.c": 3} | of_d


# PyYAML loses a next-line character at the start of a text; no path or name has one.
SCALARS = (
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x85\u2028\u2029"))
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
)
WORDS = st.sampled_from([text for text in READ if text])


@settings(deadline=None)
@given(st.dictionaries(st.text("ab_"), SCALARS | WORDS | st.integers() | st.lists(SCALARS | WORDS)))
def test_what_is_written_is_read_back_here_and_by_yaml_1_1(values: dict[str, Any]) -> None:
    text = write_yaml_text(values)
    assert parse_yaml(text, "f")[0] == values
    assert yaml.safe_load(text) == values
