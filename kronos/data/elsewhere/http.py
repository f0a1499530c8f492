"""Fetch one file by http or https."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import threading
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from kronos.data.elsewhere.copying import MASKED_HINT, check_size, copy_stream, safe_name
from kronos.data.elsewhere.snapshot import keep_time
from kronos.errors import DataError
from kronos.urls import MASK, Url, mask_secrets
from kronos.version import __version__

TIMEOUT_SECONDS = 30  # without a byte
ANSWER_SECONDS = 60  # until the headers are complete, redirects included
PARTIAL = 206
WEB_PAGE = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.IGNORECASE)
REMEDIES = {
    401: "It needs a login: write it as https://user:password@host/…, or download the file yourself.",
    403: "The server refuses access. Check the rights or whether a signature has expired, or download the file yourself.",
    404: "There is no such file. Check the URL.",
    407: "The proxy needs a login.",
    410: "The file has been removed.",
    429: "Too many requests. Try again later.",
}


class _Redirect(HTTPRedirectHandler):
    """Follows redirects to other pages of the web, and gives the password to the host of the URL only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(req.full_url, code, f"{msg}, a redirect to {mask_secrets(newurl)}", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            request.remove_header("Authorization")
        return request


def fetch_http(url: Url, folder: Path) -> None:
    """Download the file of a URL into a folder, under the name that the server gives it.

    Raises:
        DataError: the server cannot be reached, refuses, answers with a web page, or the download is cut off.
    """
    try:
        with _open(_build_request(url)) as response:
            if response.status == PARTIAL:
                raise DataError("{url}: the server answers with a part of the file only. Try again later.", url=url)
            path = folder / _choose_name(response.headers, response.geturl())
            length = _read_length(response.headers.get("Content-Length"))
            copy_stream(response, path, url, length)
            headers = response.headers
    except HTTPError as error:
        remedy = REMEDIES.get(error.code, "Try again later." if error.code >= 500 else "Check the URL.")
        template = "{url}: the server answers {code} {reason}. {remedy}"
        raise DataError(template, url=url, code=error.code, reason=_shorten(error.reason), remedy=remedy) from None
    except (URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise _explain(url, error) from None
    check_size(path, url, length)
    with path.open("rb") as file:
        head = file.read(512)
    if WEB_PAGE.match(head):
        template = (
            "{url}: the server answers with a web page, not with a file of candles. Perhaps it asks for a login, or the URL is "
            "that of a page about the file: give the URL of the file itself (on GitHub that of the button Raw)."
        )
        raise DataError(template, url=url)
    modified = _read_time(headers.get("Last-Modified"))
    keep_time(path, modified)


def _open(request: Request) -> Any:
    """Open a URL in a thread that is left alone if the server never ends its headers."""
    answers: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(build_opener(_Redirect).open(request, timeout=TIMEOUT_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise http.client.HTTPException from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read_length(text: str | None) -> int | None:
    """Read a number of bytes; None if there is none, or one that no file has."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _build_request(url: Url) -> Request:
    if MASK in url.address:
        raise DataError(MASKED_HINT, url=url)
    parts = urlsplit(url.address)
    user, at, host = parts.netloc.rpartition("@")
    path, query = quote(parts.path, safe="/%:@!$&'()*+,;=~"), quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    address = urlunsplit((parts.scheme, host.encode("idna").decode(), path, query, ""))
    request = Request(address, headers={"User-Agent": f"kronos-finetune/{__version__}"})
    if at:
        login = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return request


def _choose_name(headers: Message, address: str) -> str:
    name = headers.get_filename() or unquote(Path(urlsplit(address).path).name)
    return safe_name(re.split(r"[/\\]", name)[-1].lstrip(".") or "candles")


def _read_time(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def _shorten(reason: object) -> str:
    return mask_secrets(str(reason).partition("\n")[0]).rstrip(".:")


def _explain(url: Url, error: Exception) -> DataError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        template = "{url}: the server has sent nothing for {n} seconds. Try again later."
        return DataError(template, url=url, n=TIMEOUT_SECONDS)
    if isinstance(reason, socket.gaierror):
        return DataError("{url}: there is no such host, or no connection to the network. Check the URL.", url=url)
    if isinstance(reason, ssl.SSLError):
        template = "{url}: no secure connection: {reason}. Check the URL, or download the file yourself."
        return DataError(template, url=url, reason=getattr(reason, "verify_message", "") or reason.reason or reason)
    if isinstance(reason, OSError):
        text = reason.strerror or type(reason).__name__
        return DataError("{url}: no connection: {reason}. Check the URL, or try again later.", url=url, reason=text)
    if isinstance(reason, ValueError | http.client.InvalidURL):
        return DataError("{url}: this is no valid URL. Check it.", url=url)
    template = "{url}: the connection was lost ({reason}). Try again."
    return DataError(template, url=url, reason=type(reason).__name__)
