"""The documentation as a site, built from the files that are read on GitHub."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def test_the_menu_has_every_page() -> None:
    menu = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert len(menu) == len(set(menu)) and pages == {
        page for page in menu if page not in ("index.md", "zh/index.md") and not page[0].isupper()
    }


@pytest.mark.slow
@pytest.mark.process
def test_the_site_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("material")
    build = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr  # a link that leads nowhere, or a page that is not in the menu
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "zh/index.html", "SECURITY.html", "zh/faq.html"} <= set(pages)
    for name, page in pages.items():
        fetched = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="?([^" >]+)', page)
        assert not [url for url in fetched if re.match(r"https?:|//", url)], name  # nothing comes from the network
        assert not re.search(r'href="[^":]*\.(?:md|py|yaml)[#"]', page), name
        assert f'lang="{"zh" if name.startswith("zh/") else "en"}"' in page, name
    assert 'href="zh/faq.html" hreflang="zh"' in pages["faq.html"]
    assert 'href="../faq.html" hreflang="en"' in pages["zh/faq.html"]
    assert "<h1" in pages["index.html"] and 'src="forecast.png"' in pages["index.html"]
    index = json.loads((tmp_path / "search" / "search_index.json").read_text())
    assert any("\u200b回答\u200b" in each["text"] for each in index["docs"])  # words of Chinese can be found
