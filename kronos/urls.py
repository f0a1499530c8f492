"""Where candles are: the path of a file, a folder or a glob, or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from kronos.disk.shipped import locate
from kronos.errors import ConfigError
from kronos.names import find_hub_host, hash_text, shorten_name

DATABASE = "duckdb"
ON_DISK = ("file", "local")
EXAMPLES = ("https", "s3", "gs", "hf", DATABASE)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
IN_TEXT = re.compile(SCHEME.pattern + r"""\S+?(?=['"]?,?[\]}]?['"]?(?:\s|$))""")  # without the signs around it
MASK = "***"
USER = re.compile(r"^([^:/]+://)(?:[^/]*@|[^/:@]+:(?!\d*(?:/|$))[^@]*@)")  # a password may hold a slash, or an @
USER_MASK = rf"\1{MASK}@"
PAIR = re.compile(r"([^?#&;=]+)=([^#&;]*)")  # of a query or a fragment
SECRET = re.compile(
    r"token|secret|passw|pwd|signature|(api|access|user|private|client|consumer|app).?key|credential|auth|jwt|hmac|session"
    r"|^(x-amz|x-goog)-|^(sig|sign|sid|pw|pass)$"
)
OF_SIGNATURES = ("expires", "policy", "key-pair-id", "googleaccessid", "se", "st", "sp", "sr", "sv", "spr")
MAX_NAME = 60  # bytes of a name in a path
KEY_LENGTH = 16  # from which on a parameter `key` is a secret, not a symbol


@dataclass(frozen=True, repr=False)
class Url:
    """The address of candles on a server, or of a database. As text it has *** in place of passwords, keys and signatures.

    address: the whole, with its secrets.
    """

    address: str

    def __str__(self) -> str:
        return _mask(self.address)

    __repr__ = __str__

    @property
    def scheme(self) -> str:
        return self.address.partition("://")[0].lower()

    @property
    def name(self) -> str:
        """A short name: that of the file or folder, without its ending."""
        parts = urlsplit(self.address)
        return Path(parts.path.rstrip("/")).stem or parts.hostname or self.scheme


CandleSource = Path | Url


def parse_source(value: str | Path | Url) -> CandleSource:
    """Return a URL, or the path of a text without a scheme or with file://.

    The sample candles can be named everywhere: data/season_5min.csv, if there is no such file, is the one of the program.

    Raises:
        ConfigError: the scheme is unknown.
    """
    if isinstance(value, Url):
        return value
    text = str(value)
    if isinstance(value, Path) or not (match := SCHEME.match(text)):
        if re.match(r"(https?|s3|gs|hf|duckdb):/[^/]", text) and not Path(text).exists():
            raise ConfigError("a Path cannot hold the URL {url}. Give it as a text.", url=mask_secrets(text))
        return locate(Path(value))
    try:
        urlsplit(text)
    except ValueError as error:
        raise ConfigError("{url} is no valid URL: {reason}.", url=mask_secrets(text), reason=error) from None
    scheme = match[1].lower()
    if scheme in ON_DISK:
        return Path(url2pathname(urlsplit(text).path))
    import fsspec

    known = {*fsspec.available_protocols(), DATABASE}
    if scheme not in known:
        template = "the scheme {scheme}:// is unknown. Known are {known}, …, and paths of files without a scheme."
        raise ConfigError(template, scheme=scheme, known=", ".join(f"{each}://" for each in EXAMPLES))
    return Url(scheme + text[len(match[1]) :])


def is_endpoint(text: str) -> bool:
    """Whether a text is the address of a hub or a mirror, without a password in it."""
    return find_hub_host(text) is not None and "@" not in text


def check_endpoint(endpoint: str) -> str:
    """Return what --endpoint names, without a slash at its end; empty if nothing is given.

    Raises:
        ConfigError: it is no address.
    """
    if endpoint and not is_endpoint(endpoint):
        raise ConfigError(
            "--endpoint {endpoint} is no address of a hub. Give one such as https://hf-mirror.com.",
            endpoint=mask_secrets(endpoint),
        )
    return endpoint.rstrip("/")


def name_source(source: CandleSource) -> str:
    """Return a short name for candles that may stand in a path; others may have the same."""
    name = source.name if isinstance(source, Url) else source.absolute().stem
    return shorten_name(re.sub(r"[^\w.-]+", "_", name), MAX_NAME).rstrip(".")


def hash_source(source: CandleSource) -> str:
    """Return a short hash that tells candles from others of the same name."""
    return hash_text(str(source) if isinstance(source, Url) else str(source.resolve()))


def mask_secrets(text: str) -> str:
    """Return a text in which the URLs have *** in place of passwords, keys and signatures."""
    return IN_TEXT.sub(lambda match: _mask(match[0]), text)


def _mask(address: str) -> str:
    base, rest = address[: (n := len(re.split(r"[?#]", address, maxsplit=1)[0]))], address[n:]
    signed = any(SECRET.search(_plain(match[1])) for match in PAIR.finditer(rest))

    def hide(match: re.Match[str]) -> str:
        return f"{match[1]}={MASK if _is_secret(_plain(match[1]), match[2], signed) else USER.sub(USER_MASK, match[2])}"

    return USER.sub(USER_MASK, base) + PAIR.sub(hide, rest)


def _plain(name: str) -> str:
    return unquote(name).lower()


def _is_secret(name: str, value: str, signed: bool) -> bool:
    if name == "key":
        return len(value) >= KEY_LENGTH
    return bool(SECRET.search(name)) or (signed and name in OF_SIGNATURES)
