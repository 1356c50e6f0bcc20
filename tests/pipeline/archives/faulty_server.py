"""A web server on the loopback interface that breaks in the ways real ones do."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import threading
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Plan:
    """What the server does to each request in turn; the last entry stays."""

    content: bytes
    faults: list[str]  # one name a request, see Handler.do_GET
    ranges: bool = True
    etag: str | None = '"v1"'
    requests: list[dict[str, str]] = dataclasses.field(default_factory=list)
    sent: int = 0  # bytes of bodies


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # the connection ends with each answer
    plan: Plan

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        kind, _, value = self.plan.faults[0].partition(":")
        self.send_response(int(value) if kind == "status" else 200)
        self.end_headers()

    def do_GET(self) -> None:
        plan = self.plan
        fault = plan.faults[min(len(plan.requests), len(plan.faults) - 1)]
        plan.requests.append(dict(self.headers.items()))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(plan, fault)

    def _answer(self, plan: Plan, fault: str) -> None:
        kind, _, value = fault.partition(":")
        if kind == "status":
            code, _, wait = value.partition(":")
            self.send_response(int(code))
            if wait:
                self.send_header("Retry-After", wait)
            self.end_headers()
        elif kind == "html":
            self._body(b"<!DOCTYPE html><title>Please log in</title>", {"Content-Type": "text/html"})
        elif kind == "html-disguised":
            self._body(b"<html>Moved</html>", {"Content-Type": "application/zip"})
        elif kind == "redirect-loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif kind == "changed":  # the file on the server is another one now
            plan.content, plan.etag = bytes(reversed(plan.content)), '"v2"'
            self._file(plan, "ok", "")
        elif kind == "wrong-range":
            self._body(plan.content[7:], {"Content-Range": f"bytes 7-{len(plan.content) - 1}/{len(plan.content)}"}, 206)
        else:
            self._file(plan, kind, value)

    def _file(self, plan: Plan, kind: str, value: str) -> None:
        content, start, status, headers = plan.content, 0, 200, {}
        asked = self.headers.get("Range", "")
        guard = self.headers.get("If-Range")
        if plan.ranges and asked and (guard is None or guard == plan.etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(content) - 1}/{len(content)}"
        if plan.etag:
            headers["ETag"] = plan.etag
        body = content[start:]
        if kind == "flip":
            place = int(value)
            body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        stop = {"drop": int(value or 0), "truncate": int(value or 0)}.get(kind, len(body))
        self._body(
            body[:stop],
            headers,
            status,
            None if kind == "truncate" else len(body),
            pause_s=0.02 if kind == "slow" else 3.0 if kind == "stall" else 0.0,
        )

    def _body(
        self, body: bytes, headers: dict[str, str], status: int = 200, length: int | None = -1, pause_s: float = 0.0
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        for at in range(0, len(body), 8192):
            if pause_s and at:
                time.sleep(pause_s)
            self.wfile.write(body[at : at + 8192])
            self.plan.sent += len(body[at : at + 8192])


@contextlib.contextmanager
def serving(plan: Plan) -> Iterator[str]:
    """Address of a file under `plan`, while the block runs."""
    handler = type("Handler", (_Handler,), {"plan": plan})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file.zip"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
