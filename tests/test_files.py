"""Names of folders."""

from pathlib import Path

from kronos.files import shorten_names


def test_names_are_short_and_unique() -> None:
    folders = [Path(text) for text in ("/runs/a/demo", "/runs/b/demo", "/runs/small", "/other/b/demo", "/")]
    assert shorten_names(folders) == ["a/demo", "runs/b/demo", "small", "other/b/demo", "/"]
    assert shorten_names([Path("/demo"), Path("/x/demo")]) == ["/demo", "x/demo"]
