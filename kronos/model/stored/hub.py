"""Fetch files from the Hugging Face Hub into its cache: bounded attempts, resumed after an interruption, verified.

huggingface_hub itself asks a hub that does not answer for minutes, and begins an interrupted download anew. It still keeps
the cache, the tokens and the environment variables: what is fetched here, it finds and links.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock
from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_download, hf_hub_url, is_offline_mode
from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.file_download import HfFileMetadata, repo_folder_name
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]
from tqdm import tqdm

from kronos.errors import WriteError
from kronos.model.stored.hub_errors import HubError, explain_failure, is_unreachable
from kronos.names import Message, find_hub_host

OFFICIAL = "https://huggingface.co"
REACH_SECONDS = 15.0  # for an answer, including the look-up of the server's name
STALL_SECONDS = 20.0  # without a byte
ATTEMPTS = 3  # without a byte more
SHA256, GIT_SHA1 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}")
UNREACHABLE = (HTTPError, TimeoutError, ConnectionError, FileMetadataError)

T = TypeVar("T")
logger = logging.getLogger(__name__)


def fetch_file(repository: str, filename: str, **options: Any) -> Path:
    """Return the path of a file in the hub's cache. Fetch it if it is not there.

    Args:
        options: revision, cache_dir, token, endpoint, force_download, local_files_only, as of `hf_hub_download`. A token
            that is not given is sent to the hub itself, not to another endpoint.

    Raises:
        HubError: it is not in the cache, and cannot be fetched. WriteError: the cache cannot be written.
    """
    revision, force = options.get("revision") or constants.DEFAULT_REVISION, options.get("force_download", False)
    endpoint = options.get("endpoint") or constants.ENDPOINT
    if is_offline_mode() or options.get("local_files_only"):
        return _find_cached(repository, filename, endpoint, options)
    if GIT_SHA1.fullmatch(revision) and not force:
        try:
            return Path(hf_hub_download(repository, filename, **options | {"local_files_only": True}))
        except (OSError, ValueError):  # it is not there, or the client refuses the name
            pass
    check_address(endpoint)
    options = options | {"token": choose_token(options.get("token"), endpoint)}
    try:
        url = hf_hub_url(repository, filename, revision=revision, endpoint=endpoint)
        remote = ask(lambda: get_hf_file_metadata(url, token=options["token"], timeout=REACH_SECONDS))
        if remote.commit_hash is None or remote.etag is None:
            raise FileMetadataError(Message("the server is no hub: its answer names no commit"))
        blob = _name_blob(repository, remote.etag, options.get("cache_dir"))
        at_commit = hf_hub_url(repository, filename, revision=remote.commit_hash, endpoint=endpoint)
        if force or not blob.exists():
            download(at_commit, blob, remote, options["token"], f"{repository}/{filename}")
        return Path(hf_hub_download(repository, filename, **options | {"force_download": False}))
    except UNREACHABLE as error:
        if not force and is_unreachable(error):
            try:
                return _find_cached(repository, filename, endpoint, options)
            except HubError:
                pass
        raise explain_failure(repository, filename, endpoint, error) from error
    except ValueError as error:  # the client refuses the name
        raise explain_failure(repository, filename, endpoint, error) from error


def check_address(endpoint: str) -> None:
    """Check the address of a hub, of which HF_ENDPOINT may be anything.

    Raises:
        HubError: it is none.
    """
    if find_hub_host(endpoint) is None:
        raise HubError(
            "{endpoint} is no address of a hub. Correct HF_ENDPOINT, or what was given instead, for example "
            "https://hf-mirror.com.",
            endpoint=endpoint.rpartition("@")[2],
        )


def choose_token(token: bool | str | None, endpoint: str) -> bool | str | None:
    """Return the token to send: none to an endpoint that is neither the hub's nor that of HF_ENDPOINT, unless one is given."""
    trusted = {find_hub_host(OFFICIAL), find_hub_host(constants.ENDPOINT)} - {None}
    return False if token is None and find_hub_host(endpoint) not in trusted else token


def ask(question: Callable[[], T], seconds: float = REACH_SECONDS) -> T:
    """Return the answer of a server. Looking up its name, or trying its addresses, may take minutes otherwise.

    Raises:
        TimeoutError: there is none in time.
    """
    answer: Future[T] = Future()

    def wait() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=wait, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise TimeoutError(Message("no answer within {seconds:.0f} seconds", seconds=seconds)) from None


def download(url: str, target: Path, remote: HfFileMetadata, token: bool | str | None, name: str) -> None:
    """Download a file to target, from where an interrupted download ended, and verify it.

    Args:
        remote: the size and the hash that the hub names. name: of the file, for messages.

    Raises:
        HubError: its size or hash differs. WriteError: it cannot be written. HTTPError, TimeoutError: the connection broke.
    """
    part = target.with_name(f"{target.name}.kronos-part")
    with _locking(part):
        if target.exists() and _fits(target, remote):  # another process fetched it meanwhile
            return
        _check_room(part, remote.size)
        size = f"{remote.size / 1e6:,.1f} MB" if remote.size else "unknown size"
        logger.info("%s: fetching from %s (%s)", name, urlsplit(url).netloc, size)
        with tqdm(total=remote.size, unit="B", unit_scale=True, desc=Path(name).name, disable=None, leave=False) as bar:
            _fill(part, url, remote, token, bar)
        if not _fits(part, remote):
            part.unlink()
            raise HubError(
                "{name}: what was fetched from {endpoint} is damaged: its size or hash differs from what the hub names. Run the "
                "command again. If it happens again, a proxy or the mirror changes the file: use another endpoint.",
                name=name,
                endpoint=urlsplit(url).netloc,
            )
        with _writing(target):
            part.replace(target)


@contextmanager
def _locking(part: Path) -> Iterator[None]:
    """Let one process at a time fetch a file."""
    lock = FileLock(f"{part}.lock")
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
    with suppress(OSError):  # Windows refuses while another process waits for it
        Path(lock.lock_file).unlink()


def _fill(part: Path, url: str, remote: HfFileMetadata, token: bool | str | None, bar: Any) -> None:
    """Fetch what a file lacks. A connection that breaks is opened again as long as it brings more."""
    headers = build_hf_headers(token=token, library_name="kronos") | {"Accept-Encoding": "identity"}
    with _writing(part):
        part.touch()
    failures = 0
    while remote.size is None or _count_bytes(part) < remote.size:
        done, broken = _count_bytes(part), None
        bar.n = done
        try:
            _append(part, url, headers, done, bar)
            if remote.size is None:
                return
        except HfHubHTTPError:
            raise
        except (HTTPError, TimeoutError) as error:
            broken = error
        failures = 0 if _count_bytes(part) > done else failures + 1
        if failures == ATTEMPTS:
            raise broken or TimeoutError(Message("the connection ends before the file does"))


def _count_bytes(part: Path) -> int:
    return part.stat().st_size


def _append(part: Path, url: str, headers: dict[str, str], done: int, bar: Any) -> None:
    session = get_session()
    ranged = headers | ({"Range": f"bytes={done}-"} if done else {})
    request = session.build_request("GET", url, headers=ranged, timeout=STALL_SECONDS)
    response = ask(lambda: session.send(request, stream=True, follow_redirects=True))  # a token stays with its host
    try:
        hf_raise_for_status(response)
        with _writing(part), part.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in response.iter_bytes():  # as they come, to keep what a broken connection brought
                file.write(chunk)
                bar.update(len(chunk))
    finally:
        response.close()


def _fits(file: Path, remote: HfFileMetadata) -> bool:
    """Whether a file has the size and, if the etag is one, the hash that the hub names."""
    if remote.size is not None and file.stat().st_size != remote.size:
        return False
    etag = remote.etag or ""
    if SHA256.fullmatch(etag):  # of large files
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == etag
    content = file.read_bytes() if GIT_SHA1.fullmatch(etag) else b""  # git's hash of small files
    return not content or hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == etag


def check_intact(file: Path, sha256: str) -> None:
    """Check a file of the cache, which names large files by their hash.

    Raises:
        HubError: it is damaged.
    """
    blob = file.resolve()
    if SHA256.fullmatch(blob.name) and blob.name != sha256:
        raise HubError(
            "{blob}: this file of the Hugging Face cache is damaged: its SHA-256 is {sha256}. Delete it, and run the command "
            "again to fetch it anew.",
            blob=blob,
            sha256=sha256,
        )


def _find_cached(repository: str, filename: str, endpoint: str, options: dict[str, Any]) -> Path:
    try:
        return Path(hf_hub_download(repository, filename, **options | {"local_files_only": True}))
    except (OSError, ValueError) as error:
        raise explain_failure(repository, filename, endpoint, error) from error


def _name_blob(repository: str, etag: str, cache_dir: str | Path | None) -> Path:
    folder = Path(cache_dir or constants.HF_HUB_CACHE).expanduser().resolve()
    return folder / repo_folder_name(repo_id=repository, repo_type="model") / "blobs" / etag


def _check_room(part: Path, size: int | None) -> None:
    missing = (size or 0) - (_count_bytes(part) if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        full = OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({missing / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free)"
        )
        raise WriteError.about(part, full, "HF_HOME or --to")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREACHABLE:
        raise
    except OSError as error:
        raise WriteError.about(path, error, "HF_HOME or --to") from error
