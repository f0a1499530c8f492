"""What mkdocs.yml needs besides: pages that lie outside docs/, their links, and one language at a time."""

import copy
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {  # a file of the repository: its page
    "README.md": "index.md",
    "README_CN.md": "zh/index.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
}
SOURCES = {page: file for file, page in OUTSIDE.items()}
LANGUAGES = {"en": "English", "zh": "中文"}
NAMES = {"en": "Kronos fine-tuning", "zh": "Kronos 微调"}  # of the site
CODE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    for file, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / file).read_text(encoding="utf-8")))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write links as they are between the pages of the site; a link to another file of the repository becomes its text."""
    place = page.file.src_uri
    source = SOURCES.get(place, f"docs/{place}")

    def rewrite(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        name, hash_, section = target.partition("#")
        if not name or re.match(r"[a-z]+:", name):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        linked = OUTSIDE.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if linked is None:
            return text
        return f"{image}[{text}]({posixpath.relpath(linked, posixpath.dirname(place) or '.')}{hash_}{section})"

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(rewrite, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(rewrite, markdown[end:])])


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """Show the menu and the words of the page's language, and a switch to the same page in the other one."""
    language = "zh" if page.file.src_uri.startswith("zh/") else "en"
    config.theme["language"], config.site_name = language, NAMES[language]
    urls = {each.file.src_uri: each.url for each in nav.pages}
    name = page.file.src_uri.removeprefix("zh/")
    config.extra["alternate"] = [
        {"name": LANGUAGES["en"], "lang": "en", "link": urls[name]},
        {"name": LANGUAGES["zh"], "lang": "zh", "link": urls.get(f"zh/{name}", urls["zh/index.md"])},
    ]
    shown = copy.copy(nav)
    shown.items = next(each.children or [] for each in nav.items if each.title == LANGUAGES[language])
    return context | {"nav": shown}
