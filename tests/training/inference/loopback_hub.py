"""A Hub on this machine that speaks as much of its API as huggingface_hub asks of it to push and to pull.

    POST /api/repos/create                            POST /<repo>.git/info/lfs/objects/batch
    POST /api/validate-yaml                           PUT  /lfs/<sha256>
    POST /api/models/<repo>/preupload/<revision>      POST /lfs/verify
    POST /api/models/<repo>/commit/<revision>         HEAD, GET /<repo>/resolve/<revision>/<file>
    GET  /api/models/<repo>/revision/<revision>       GET  /cdn/<sha256>, where large files lie
    GET  /api/models/<repo>/tree/<commit>             (there under another name of this machine)

The protocol: https://huggingface.co/docs/hub/api and the source of huggingface_hub (`_commit_api.py`, `lfs.py`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_loopback"
Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits and the names that stand for them."""

    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # branches and tags
    private: bool = False

    def commit(self, files: Files, branch: str = "main") -> str:
        """Add a commit on top of a branch."""
        parent = self.refs.get(branch, "")
        content = {**self.commits.get(parent, {}), **files}
        digest = hashlib.sha1(parent.encode() + repr(sorted(content.items())).encode()).hexdigest()
        self.commits[digest], self.refs[branch] = content, digest
        return digest


@dataclass
class LoopbackHub:
    """What the server holds; tests look into it and damage it."""

    address: str = ""
    elsewhere: str = ""  # the same server as another host, to which no token goes
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: Files = field(default_factory=dict)  # by SHA-256
    asked: list[str] = field(default_factory=list)  # "GET /path", in order
    broken: int | None = None  # status of every answer, where a test wants the Hub to fail


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """A running server; it is gone after the block."""
    hub = LoopbackHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    hub.elsewhere = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_large(name: str) -> bool:
    """What .gitattributes of the Hub sends to large storage."""
    return name.endswith((".safetensors", ".onnx", ".npz"))


def git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Refused(Exception):
    """Status, and the Hub's code and message in the headers."""

    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is theirs."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {path}")
        try:
            if self.hub.broken is not None:
                raise _Refused(self.hub.broken, message="the Hub is broken")
            self._route(path, body)
        except _Refused as refused:
            self._send(refused.status, b"{}", {"X-Error-Code": refused.code, "X-Error-Message": refused.message})

    def _route(self, path: str, body: bytes) -> None:
        for pattern, method, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                answer(self, body, **found.groupdict())
                return
        raise _Refused(404)

    # ---- pushing ---------------------------------------------------------------------------

    def create(self, body: bytes) -> None:
        self._require_token()
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        known = name in self.hub.repositories
        self.hub.repositories.setdefault(name, Repository())
        self._json({"url": f"{self.hub.address}/{name}", "id": name}, 409 if known else 200)

    def validate(self, body: bytes) -> None:
        """The card must begin with a mapping, in which these have the Hub's types."""
        text = json.loads(body)["content"]
        front = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None
        right = isinstance(front, dict) and isinstance(front.get("license"), str) and isinstance(front["tags"], list)
        errors = [] if right else [{"message": '"license" must be a string'}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, repository: str, revision: str) -> None:
        self._require_token()
        self._repository(repository)
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if is_large(one["path"]) else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def batch(self, body: bytes, repository: str) -> None:
        self._require_token()
        objects = []
        for one in json.loads(body)["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.address}/lfs/{one['oid']}", "header": {}},
                "verify": {"href": f"{self.hub.address}/lfs/verify", "header": {}},
            }
            objects.append(one if one["oid"] in self.hub.large else {**one, "actions": actions})
        self._json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, digest: str) -> None:
        if hashlib.sha256(body).hexdigest() != digest:
            raise _Refused(422, message="the content has another digest")
        self.hub.large[digest] = body
        self._json({})

    def verify(self, body: bytes) -> None:
        asked = json.loads(body)
        if len(self.hub.large.get(asked["oid"], b"")) != asked["size"]:
            raise _Refused(404)
        self._json({})

    def commit(self, body: bytes, repository: str, revision: str) -> None:
        self._require_token()
        files: Files = {}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.hub.large[line["value"]["oid"]]
        digest = self._repository(repository).commit(files, revision)
        self._json({"commitUrl": f"{self.hub.address}/{repository}/commit/{digest}", "commitOid": digest})

    # ---- pulling ---------------------------------------------------------------------------

    def info(self, body: bytes, repository: str, revision: str) -> None:
        digest, files = self._revision(repository, revision)
        self._json({"id": repository, "sha": digest, "siblings": [{"rfilename": name} for name in files]})

    def tree(self, body: bytes, repository: str, revision: str) -> None:
        _, files = self._revision(repository, revision)
        entries = []
        for name, data in files.items():
            entry = {"type": "file", "path": name, "size": len(data), "oid": git_digest(data)}
            if is_large(name):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self._json(entries)

    def resolve(self, body: bytes, repository: str, revision: str, name: str) -> None:
        digest, files = self._revision(repository, revision)
        headers = {"X-Repo-Commit": digest}
        if name not in files:
            raise _Refused(404, "EntryNotFound")
        if not is_large(name):
            self._send(200, files[name], {**headers, "ETag": f'"{git_digest(files[name])}"'})
            return
        large = hashlib.sha256(files[name]).hexdigest()
        self.hub.large.setdefault(large, files[name])
        linked = {"X-Linked-Etag": f'"{large}"', "X-Linked-Size": str(len(files[name]))}
        self._send(302, b"", {**headers, **linked, "Location": f"{self.hub.elsewhere}/cdn/{large}"})

    def content(self, body: bytes, digest: str) -> None:
        if self.headers.get("Authorization"):
            raise _Refused(400, message="a token was sent to another host")
        self._send(200, self.hub.large[digest], {"ETag": f'"{digest}"'})

    # ---- parts -----------------------------------------------------------------------------

    def _require_token(self) -> None:
        sent = self.headers.get("Authorization")
        if sent != f"Bearer {TOKEN}":
            raise _Refused(401, message="Invalid credentials in Authorization header" if sent else "")

    def _repository(self, name: str) -> Repository:
        """A private one is hidden from whoever does not log in, as one that is not there is."""
        repository = self.hub.repositories.get(name)
        if repository is None or repository.private:
            self._require_token()
        if repository is None:
            raise _Refused(404, "RepoNotFound")
        return repository

    def _revision(self, name: str, revision: str) -> tuple[str, Files]:
        repository = self._repository(name)
        digest = repository.refs.get(revision, revision)
        if digest not in repository.commits:
            raise _Refused(404, "RevisionNotFound")
        return digest, repository.commits[digest]

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_REPOSITORY = r"(?P<repository>[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/]+)"
_ROUTES = (
    (r"/api/repos/create", ("POST",), _Handler.create),
    (r"/api/validate-yaml", ("POST",), _Handler.validate),
    (rf"/api/models/{_REPOSITORY}/preupload/{_REVISION}", ("POST",), _Handler.preupload),
    (rf"/api/models/{_REPOSITORY}/commit/{_REVISION}", ("POST",), _Handler.commit),
    (rf"/api/models/{_REPOSITORY}/revision/{_REVISION}", ("GET",), _Handler.info),
    (rf"/api/models/{_REPOSITORY}(?P<revision>)", ("GET",), _Handler.info),
    (rf"/api/models/{_REPOSITORY}/tree/{_REVISION}", ("GET",), _Handler.tree),
    (rf"/{_REPOSITORY}\.git/info/lfs/objects/batch", ("POST",), _Handler.batch),
    (r"/lfs/verify", ("POST",), _Handler.verify),
    (r"/lfs/(?P<digest>\w+)", ("PUT",), _Handler.store),
    (rf"/{_REPOSITORY}/resolve/{_REVISION}/(?P<name>.+)", ("GET", "HEAD"), _Handler.resolve),
    (r"/cdn/(?P<digest>\w+)", ("GET", "HEAD"), _Handler.content),
)
