"""A hub on this machine that speaks the few requests which the client makes, and a second host for its large files."""

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMIT = "a" * 40


@dataclass
class FakeHub:
    """What it holds, how it misbehaves, and what was asked of it.

    Attributes:
        models: folders by "owner/name".
        status: of all answers, if not 0. silent: it takes connections and never answers.
        cut: a large file's connection ends after so many bytes, once for each number.
        falsify: large files are sent with another last byte.
        requests: method, path and headers of all requests. uploaded: files by path, after a commit.
    """

    models: dict[str, Path]
    status: int = 0
    silent: bool = False
    cut: list[int] = field(default_factory=list)
    falsify: bool = False
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    public: bool = False  # all repositories that exist
    posted: list[tuple[str, Any]] = field(default_factory=list)
    endpoint: str = ""
    other_host: str = ""

    def paths(self, method: str) -> list[str]:
        return [path for each, path, _ in self.requests if each == method]


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.requests.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.silent:
            threading.Event().wait(30)
        if self.hub.status:
            return self._send(self.hub.status, b"out of order")
        path = self.path.partition("?")[0].lstrip("/")
        if self.command == "PUT":
            self.hub.blobs[path.rpartition("/")[2]] = body
            return self._send(200)
        if path.startswith("cdn/"):
            return self._send_large(Path("/" + path.removeprefix("cdn/")))
        if path.startswith("api/") or path.endswith("/info/lfs/objects/batch"):
            return self._send_json(_answer_api(self.hub, path, body))
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        folder = self.hub.models.get(repository)
        if folder is None:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if not (folder / name).is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = (folder / name).read_bytes()
        headers = {"X-Repo-Commit": COMMIT}
        if name.endswith(".json"):
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self._send(200, content, headers | {"ETag": f'"{etag}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-ETag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
        return self._send(302, b"", headers | {"Location": f"{self.hub.other_host}/cdn{folder / name}"})

    def _send_large(self, path: Path) -> None:
        content = path.read_bytes()
        if self.hub.falsify:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        whole, content = len(content), content[start:]
        end = self.hub.cut.pop(0) if self.hub.cut else None
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        self.wfile.write(content[:end])
        self.close_connection = end is not None

    def _send_json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


def _answer_api(hub: FakeHub, path: str, body: bytes) -> Any:
    """Answer what an upload asks: create, whoami, preupload, large files' addresses, commit."""
    if path == "api/repos/create":
        hub.posted.append((path, json.loads(body)))
        return {"url": f"{hub.endpoint}/me/{json.loads(body)['name']}"}
    if path.endswith("/preupload/main"):
        files = json.loads(body)["files"]
        return {
            "files": [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if is_large(each["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for each in files
            ]
        }
    if path.endswith("/info/lfs/objects/batch"):
        upload = {each["oid"]: f"{hub.endpoint}/upload/{each['oid']}" for each in json.loads(body)["objects"]}
        objects = [
            {"oid": each["oid"], "size": each["size"], "actions": {"upload": {"href": upload[each["oid"]]}}}
            for each in json.loads(body)["objects"]
        ]
        return {"transfer": "basic", "objects": objects}
    if "/commit/" in path:
        repository = path.removeprefix("api/models/").partition("/commit/")[0]
        _commit(hub, repository, [json.loads(line) for line in body.splitlines()])
        return {
            "success": True,
            "commitOid": COMMIT,
            "commitUrl": f"{hub.endpoint}/{repository}/commit/{COMMIT}",
            "hookOutput": "",
        }
    return {"id": path, "siblings": [], "sha": COMMIT, "private": not hub.public, "name": "me", "type": "user"}


def _commit(hub: FakeHub, repository: str, lines: list[dict[str, Any]]) -> None:
    hub.commits.append(lines[0]["value"])
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "file":
            hub.uploaded[f"{repository}/{value['path']}"] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            hub.uploaded[f"{repository}/{value['path']}"] = hub.blobs[value["oid"]]


@contextmanager
def serve_hub(models: dict[str, Path]) -> Iterator[FakeHub]:
    """Serve models on two ports, which are two hosts to the client."""
    hub = FakeHub(models)
    handler = type("Handler", (_Handler,), {"hub": hub})
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    hub.endpoint, hub.other_host = (f"http://127.0.0.1:{each.server_port}" for each in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
