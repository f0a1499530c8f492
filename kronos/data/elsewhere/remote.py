"""Fetch files from any storage that fsspec knows: a file, a folder or a glob."""

from __future__ import annotations

import errno
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec

from kronos.data.elsewhere.copying import MASKED_HINT, check_size, copy_stream, safe_name
from kronos.data.elsewhere.snapshot import keep_time
from kronos.errors import DataError
from kronos.urls import MASK, Url, mask_secrets

S3 = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 3}}
TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


def connect(url: Url) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    Raises:
        DataError: the package for it is not installed.
    """
    if MASK in url.address:
        raise DataError(MASKED_HINT, url=url)
    options = {"config_kwargs": S3} if url.scheme in ("s3", "s3a") else {}
    try:
        system, path = fsspec.core.url_to_fs(url.address, **options, skip_instance_cache=True)
    except ImportError as error:
        package = _find_package(str(error))
        template = "{url}: the package for {scheme}:// is not installed. Run: pip install {package}"
        raise DataError(template, url=url, scheme=url.scheme, package=package) from None
    return system, path


def list_files(system: Any, path: str) -> dict[str, str]:
    """Return the files at a path: a file, those in a folder, or those of a glob, and a local name for each.

    A folder's files keep their names; those of a glob their folders too.
    """
    if glob.has_magic(path):
        found = [name for name, info in system.glob(path, detail=True).items() if info["type"] == "file"]
        fixed = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
    elif system.isfile(path):
        return {path: safe_name(path)}
    else:
        found = [info["name"] for info in system.ls(path, detail=True) if info["type"] == "file"]
        fixed = path.rstrip("/")
    names = {name: _keep_folders(name, fixed) for name in sorted(found)}
    return {name: local for name, local in names.items() if not name.rpartition("/")[2].startswith(".") and local}


def fetch_files(url: Url, folder: Path) -> None:
    """Copy the files of a URL into a folder.

    Raises:
        DataError: there are none, or they cannot be read.
    """
    with translate_errors(url):
        system, path = connect(url)
        files = list_files(system, path)
        if not files:
            template = (
                "{url}: there is no file. Check the URL. Files of a folder must lie directly in it; others are found by a glob "
                "such as folder/**/*.csv."
            )
            raise DataError(template, url=url)
        for name, local in files.items():
            _copy(system, name, folder / local, url)


def _copy(system: Any, name: str, path: Path, url: Url) -> None:
    info: Mapping[str, Any] = system.info(name)
    size = info.get("size")
    with system.open(name, "rb") as stream:
        copy_stream(stream, path, url, size)
    check_size(path, url, size)
    time = next((info[key] for key in TIMES if info.get(key)), None)
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    keep_time(path, time.timestamp() if isinstance(time, datetime) else time)


def _keep_folders(name: str, fixed: str) -> str:
    inside = name.removeprefix(fixed).lstrip("/")
    return "/".join(map(safe_name, inside.split("/"))) if inside else ""


def _find_package(message: str) -> str:
    """Return the package that an error of fsspec asks for."""
    words: Sequence[str] = re.findall(r"(?:[Ii]nstall|requires) [\"'`]?([\w-]+)", message) or re.findall(
        r"named '([\w-]+)", message
    )
    return words[0] if words else "the package that fsspec names: " + message.strip().partition("\n")[0]


@contextmanager
def translate_errors(url: Url) -> Iterator[None]:
    """Turn what storages raise into one line; every library has its own errors."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # of our own disk
            raise
        raise _explain(url, error) from None
    except Exception as error:
        raise _explain(url, error) from None


def _explain(url: Url, error: Exception) -> DataError:
    kind, text = type(error).__name__, mask_secrets(str(error).strip().partition("\n")[0]).rstrip(".")
    template = "{url}: cannot be read: {reason}. Check the URL and the rights, or try again later."
    if isinstance(error, FileNotFoundError) or "NotFound" in kind or "NoSuch" in kind:
        template = "{url}: there is no such file or folder. Check the URL."
    elif "Credentials" in kind or "credentials" in text:
        template = (
            "{url}: there are no credentials for {scheme}://. Set them as its command line does (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or a profile); for a public bucket set FSSPEC_S3_ANON=true."
        )
    elif isinstance(error, PermissionError) or "Forbidden" in kind:
        template = "{url}: the server refuses access ({reason}). Check the credentials and their rights."
    elif isinstance(error, TimeoutError) or "Timeout" in kind:
        template = "{url}: the server does not answer in time. Try again later."
    elif isinstance(error, ConnectionError) or "Connect" in kind or "Endpoint" in kind:
        template = "{url}: no connection to the server. Check the network and the endpoint."
    values = {"url": url, "reason": text or kind, "scheme": url.scheme}
    return DataError(template, **values)
