"""The pages of the server: whole in one file each, with nothing from the network."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class Page(NamedTuple):
    """text: HTML. policy: a content security policy that allows this page's own script and style, and its own server."""

    text: str
    policy: str


@cache
def read_page(name: str) -> Page:
    """Return a page of this package."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in INLINE.findall(text):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    parts = ["default-src 'none'", "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    parts += [f"{kind}-src {' '.join(sources)}" for kind, sources in allowed.items() if sources]
    return Page(text, "; ".join([*parts, "frame-ancestors 'none'"]))
