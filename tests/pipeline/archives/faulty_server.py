"""A web server on the loopback interface that breaks in the ways real ones do."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator


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


# ---- a table of everything else that servers do --------------------------------------------
#
# A behaviour answers a request with the bytes of the whole connection; the outcome is "whole", or
# what the downloader has to say, for a file whose checksum is published and for one of which nothing is.

SECRET = "sesame"


@dataclasses.dataclass
class Request:
    """One request to a `raw` server."""

    number: int  # from 0
    content: bytes  # of the file
    port: int
    headers: dict[str, str]  # names in small letters
    path: str

    @property
    def start(self) -> int:
        """Where the part that is asked for begins."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


Reply = Callable[[Request], Iterable[bytes]]


def head(status: str = "200 OK", *lines: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", "Connection: close", *lines, "", ""]).encode("latin-1")


def whole(request: Request, *lines: str, tag: str | None = '"v1"', length: bool = True) -> Iterator[bytes]:
    """As the standard says it: the file, or the part that is asked for if the guard still fits."""
    content, start = request.content, request.start
    fits = tag is not None and request.headers.get("if-range", tag) == tag
    tags = [] if tag is None else [f"ETag: {tag}"]
    if start and fits:
        last = len(content) - 1
        said = [f"Content-Length: {len(content) - start}", f"Content-Range: bytes {start}-{last}/{len(content)}"]
        yield head("206 Partial Content", *said, *tags, *lines)
        yield content[start:]
        return
    yield head("200 OK", *([f"Content-Length: {len(content)}"] if length else []), *tags, *lines)
    yield content


def plain(*lines: str, body: bytes | None = None, status: str = "200 OK", version: str = "HTTP/1.1") -> Reply:
    """Always the same head, then the file or `body`."""
    return lambda request: [head(status, *lines, version=version), request.content if body is None else body]


def only(status: str, *lines: str) -> Reply:
    return plain("Content-Length: 0", *lines, body=b"", status=status)


def cut(size: int, reply: Reply = whole) -> Reply:
    """The connection ends after so many bytes of the body."""

    def answer(request: Request) -> Iterator[bytes]:
        first, *rest = list(reply(request))
        yield first
        yield b"".join(rest)[:size]

    return answer


def then(*replies: Reply) -> Reply:
    """One reply a request; the last one stays."""
    return lambda request: replies[min(request.number, len(replies) - 1)](request)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> Reply:
    return lambda request: [head("200 OK", "Transfer-Encoding: chunked"), *chunks, end]


def for_ever(first: bytes, piece: bytes, pause_s: float = 0.0) -> Reply:
    def answer(request: Request) -> Iterator[bytes]:
        yield first
        while True:
            time.sleep(pause_s)
            yield piece

    return answer


def moved(location: str, status: str = "302 Found") -> Reply:
    """A redirect of the first address only."""
    to = only(status, f"Location: {location}")
    return lambda request: to(request) if request.path.startswith("/file.zip") else whole(request)


def part(content_range: str | None, *lines: str, tag: str = '"v1"') -> Reply:
    """A 206 that says something odd of itself."""

    def answer(request: Request) -> Iterator[bytes]:
        last, start = len(request.content) - 1, request.start
        said = [] if content_range is None else [content_range.format(start=start, last=last, size=last + 1)]
        yield head("206 Partial Content", f"ETag: {tag}", *said, *lines)
        yield b"?" * (last + 1 - start)

    return answer


def slowly(piece: bytes, pause_s: float) -> Reply:
    """A right head, a hundred bytes, and then `piece` now and then."""
    return lambda request: for_ever(next(iter(whole(request))) + request.content[:100], piece, pause_s)(request)


def a_chunk(request: Request) -> bytes:
    return b"%x\r\n" % len(request.content) + request.content + b"\r\n"


BROKEN_OFF = cut(100_000)
AGAIN = "times in a row"
REDIRECTED = "redirects in a circle"
Outcome = str
BEHAVIOURS: dict[str, tuple[Reply, Outcome, Outcome]] = {
    # What is fine, in its varieties.
    "fine": (whole, "whole", "whole"),
    "no length": (lambda r: whole(r, length=False), "whole", "whole"),
    "HTTP/1.0": (plain(version="HTTP/1.0"), "whole", "whole"),
    "chunked": (lambda r: chunked(a_chunk(r))(r), "whole", "whole"),
    "more after the length": (lambda r: [*whole(r), b"junk" * 1000], "whole", "whole"),
    "weak tag": (lambda r: whole(r, tag='W/"v1"'), "whole", "whole"),
    "date for a tag": (lambda r: whole(r, "Last-Modified: Sat, 28 Nov 2026 12:00:00 GMT", tag=None), "whole", "whole"),
    "redirect to another path": (moved("/other.zip"), "whole", "whole"),
    "redirect with blanks": (moved("/an other.zip"), "whole", "whole"),
    "redirect with a secret": (moved(f"/other.zip?token={SECRET}"), "whole", "whole"),
    "redirect 308": (moved("/other.zip", "308 Permanent Redirect"), "whole", "whole"),
    # Connections that end.
    "cut once": (then(BROKEN_OFF, whole), "whole", "whole"),
    "cut at once": (then(cut(0), whole), "whole", "whole"),
    "cut every 20 kB": (cut(20_000), "whole", "whole"),
    "cut every 20 kB, no tag": (cut(20_000, lambda r: whole(r, tag=None)), AGAIN, AGAIN),
    "cut before the last byte": (lambda r: cut(len(r.content) - r.start - 1)(r), AGAIN, AGAIN),
    "nothing": (lambda r: [], AGAIN, AGAIN),
    "nothing once": (then(lambda r: [], whole), "whole", "whole"),
    "half a head": (lambda r: [b"HTTP/1.1 200 OK\r\nContent-Le"], AGAIN, "damaged: the file is empty"),
    "shorter, no length": (cut(100_000, plain()), AGAIN, "damaged"),
    "silent": (for_ever(b"", b"", 0.05), "silent or too slow", "silent or too slow"),
    "silent in the middle": (slowly(b"", 0.05), "silent", "silent"),
    # What never ends.
    "endless body": (for_ever(head(), b"x" * 65536), "more than the", "more than the"),
    "endless chunks": (
        for_ever(head("200 OK", "Transfer-Encoding: chunked"), b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
        "more than the",
        "more than the",
    ),
    "endless headers": (for_ever(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 99), AGAIN, AGAIN),
    "endless header": (for_ever(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 1000), AGAIN, AGAIN),
    "endless status": (for_ever(b"HTTP/1.1 200 ", b"OK" * 1000), AGAIN, AGAIN),
    "endless 100 Continue": (for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), AGAIN, AGAIN),
    "endless trailers": (
        for_ever(head("200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n", b"X-A: b\r\n" * 100),
        AGAIN,
        AGAIN,
    ),
    "endless chunk head": (
        for_ever(head("200 OK", "Transfer-Encoding: chunked") + b"1;", b"x=y;" * 1000),
        AGAIN,
        AGAIN,
    ),
    "head by single bytes": (for_ever(b"HTTP/1.1 200 OK\r\nX-A: ", b"b", 0.03), "silent or too slow", "too slow"),
    "body by single bytes": (slowly(b"x", 0.03), "slow", "slow"),
    "chunk head by single bytes": (
        for_ever(head("200 OK", "Transfer-Encoding: chunked") + b"1;", b"x", 0.03),
        "slow",
        "slow",
    ),
    # Parts of other files.
    "part of another file": (
        then(BROKEN_OFF, part("Content-Range: bytes {start}-{last}/{size}", tag='"v2"'), whole),
        "whole",
        "whole",
    ),
    "another file each time": (lambda r: cut(100_000, lambda q: whole(q, tag=f'"{q.number}"'))(r), AGAIN, AGAIN),
    "part of another place": (then(BROKEN_OFF, part("Content-Range: bytes 7-{last}/{size}"), whole), "whole", "whole"),
    "part of another size": (
        then(BROKEN_OFF, part("Content-Range: bytes {start}-{last}/999999"), whole),
        "whole",
        "whole",
    ),
    "part without a place": (then(BROKEN_OFF, part(None), whole), "whole", "whole"),
    "part of no place": (then(BROKEN_OFF, part("Content-Range: bytes */{size}"), whole), "whole", "whole"),
    "part in odd digits": (
        then(BROKEN_OFF, part("Content-Range: bytes \u00b2-{last}/{size}"), whole),
        "whole",
        "whole",
    ),
    "part of another length": (
        then(BROKEN_OFF, part("Content-Range: bytes {start}-{last}/{size}", "Content-Length: 5"), whole),
        "whole",
        "whole",
    ),
    "part that nobody wanted": (part("Content-Range: bytes {start}-{last}/{size}"), AGAIN, AGAIN),
    "416 and a lie": (then(BROKEN_OFF, only("416 No", "Content-Range: bytes */100000"), whole), "whole", "whole"),
    "416 without a size": (then(BROKEN_OFF, only("416 No"), whole), "whole", "whole"),
    "416 always": (only("416 No", "Content-Range: bytes */5"), "HTTP status 416", "HTTP status 416"),
    # Headers that no standard knows.
    "length in odd digits": (plain("Content-Length: \u00b2"), "whole", "whole"),
    "length below zero": (plain("Content-Length: -5"), "whole", "whole"),
    "length of 30 digits": (plain(f"Content-Length: {10**29}"), "whole", "whole"),
    "length above every disk": (plain(f"Content-Length: {10**17}"), "are published", "not enough space"),
    "two lengths": (plain("Content-Length: 5", "Content-Length: 6"), AGAIN, AGAIN),
    "tag of junk": (lambda r: whole(r, tag="v 1\x7f"), "whole", "whole"),
    "date of junk": (lambda r: whole(r, "Last-Modified: \u00b2 tomorrow", tag=None), "whole", "whole"),
    "junk for headers": (lambda r: [b"HTTP/1.1 200 OK\r\n\xff\xfe\x00: \x01\r\n\r\n", r.content], "whole", "whole"),
    "200 headers": (plain(*[f"X-{n}: y" for n in range(200)]), "no HTTP", "no HTTP"),
    "packed on its way": (plain("Content-Encoding: gzip"), "packed on its way", "packed on its way"),
    "no HTTP": (lambda r: [b"SSH-2.0-OpenSSH_9.6\r\n"], "no HTTP", "no HTTP"),
    "HTTP/0.9": (lambda r: [r.content], "no HTTP", "no HTTP"),
    "status in words": (lambda r: [b"HTTP/1.1 fine OK\r\n\r\n", r.content], "no HTTP", "no HTTP"),
    "status 999": (only("999 Whatever"), "HTTP status 999", "HTTP status 999"),
    "chunk in no digits": (chunked(b"zz\r\nx\r\n"), AGAIN, AGAIN),
    "chunk below zero": (chunked(b"-5\r\nx\r\n"), AGAIN, AGAIN),
    "chunk larger than it is": (chunked(b"ffffff\r\nx", end=b""), AGAIN, AGAIN),
    # Statuses.
    **{
        f"status {code}": (only(f"{code} No"), f"HTTP status {code}", f"HTTP status {code}")
        for code in (204, 300, 304, 400, 401, 403, 404, 410, 418, 451)
    },
    **{
        f"status {code} once": (then(only(f"{code} No"), whole), "whole", "whole") for code in (408, 429, 500, 502, 503)
    },
    "status 503 always": (only("503 No"), AGAIN, AGAIN),
    "wait in odd digits": (then(only("503 No", "Retry-After: \u00b2"), whole), "whole", "whole"),
    "wait for ages": (then(only("503 No", f"Retry-After: {10**12}"), whole), "whole", "whole"),
    "wait until junk": (then(only("429 No", "Retry-After: Fri, 99 Foo 99999 99:99:99"), whole), "whole", "whole"),
    "wait until long ago": (
        then(only("429 No", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"), whole),
        "whole",
        "whole",
    ),
    # Redirects.
    "redirect in a circle": (moved("/file.zip"), REDIRECTED, REDIRECTED),
    "redirect on and on": (lambda r: only("302 Found", f"Location: /{len(r.path)}{r.path}")(r), REDIRECTED, REDIRECTED),
    "redirect to a file": (moved("file:///etc/passwd"), "302", "302"),
    "redirect to ftp": (moved(f"ftp://user:{SECRET}@127.0.0.1/x"), "what is none", "what is none"),
    "redirect to data": (moved("data:text/plain,x"), "302", "302"),
    "redirect to an open bracket": (moved("http://[::1/x"), AGAIN, AGAIN),
    "redirect to no port": (moved(f"http://user:{SECRET}@127.0.0.1:x/"), "what is none", "what is none"),
    "redirect to nowhere": (only("302 Found"), REDIRECTED, REDIRECTED),
    "redirect to a closed port": (moved(f"http://127.0.0.1:9/?{SECRET}"), AGAIN, AGAIN),
    # Other contents.
    "a web page": (plain("Content-Type: text/html", body=b"<!DOCTYPE html>"), "web page", "web page"),
    "a web page in disguise": (plain(body=b"<html>log in</html>"), AGAIN, "damaged: a web page"),
    "an empty file": (plain(body=b""), AGAIN, "damaged: the file is empty"),
    "one bit": (lambda r: [head(), bytes([r.content[0] ^ 1]) + r.content[1:]], "damaged", "damaged"),
    "another size": (plain("Content-Length: 5", body=b"short"), "are published", "damaged"),
}


@contextlib.contextmanager
def raw(content: bytes, reply: Reply) -> Iterator[tuple[int, list[Request], list[int]]]:
    """Port of a server with one behaviour, the requests that it got, and how many bytes it sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[Request] = []
    sent: list[int] = []
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            text = b""
            while b"\r\n\r\n" not in text and (more := connection.recv(65536)):
                text += more
            first, *lines = text.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
            named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            request = Request(len(requests), content, listener.getsockname()[1], named, first.split(" ")[1])
            requests.append(request)
            for piece in reply(request):
                if ended.is_set():
                    return
                connection.sendall(piece)
                sent.append(len(piece))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], requests, sent
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
