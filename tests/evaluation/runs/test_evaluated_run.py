"""What evaluated runs are called."""

from pathlib import Path

from kronos.evaluation.runs.evaluated_run import flatten_settings
from kronos.files import shorten_names


def test_names_are_short_and_unique() -> None:
    folders = [Path(text) for text in ("/runs/a/demo", "/runs/b/demo", "/runs/small", "/other/b/demo", "/")]
    assert shorten_names(folders) == ["a/demo", "runs/b/demo", "small", "other/b/demo", "/"]
    assert shorten_names([Path("/demo"), Path("/x/demo")]) == ["/demo", "x/demo"]


def test_a_configuration_by_dotted_key() -> None:
    nested = {
        "data": {"data_path": ["a.csv"], "start": None},
        "training": {"lora": {"r": 8, "targets": []}, "extra": {}},
    }
    assert flatten_settings(nested) == {"data.data_path": ["a.csv"], "training.lora.r": 8, "training.lora.targets": []}
