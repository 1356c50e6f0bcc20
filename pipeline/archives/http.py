"""One request over HTTP that ends: in an answer, or in an exception that says in words why not.

Neither a server that sends header after header, nor one that sends a byte now and then, nor
one that leads from address to address keeps a client for ever: `Guard` bounds the bytes and
the time of everything that is read, below the library that parses it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.archives.addresses import Address, address_of
from pipeline.errors import UserError

_HEAD_BYTES = 1 << 18
_MOST_REDIRECTS = 10


class Refused(Exception):
    """This address will not work; the next one may."""


class Broken(Exception):
    """It may work another time; after `wait_s`, where the server says so."""

    def __init__(self, problem: str, wait_s: float | None = None):
        self.wait_s = wait_s
        super().__init__(problem)


class Guard:
    """What may still be read from one connection, in bytes and until when."""

    def __init__(self, now: Callable[[], float], timeout_s: float):
        self._now, self.timeout_s = now, timeout_s
        self._opened: list[socket.socket] = []
        self.allow(_HEAD_BYTES, 4 * timeout_s)

    def allow(self, count: int, seconds: float) -> None:
        """From now on: so many bytes, within so many seconds."""
        self.left, self.until = count, self._now() + seconds

    def watch(self, connected: socket.socket) -> None:
        """This connection is closed by `close`, whatever becomes of the answer that it brings."""
        self._opened.append(connected)

    def close(self) -> None:
        """Close every connection: an answer that led elsewhere, or to an error, may have left its own open."""
        while self._opened:
            self._opened.pop().close()

    def check(self) -> int:
        """How many bytes the next reading may bring."""
        if self.left <= 0:
            raise Broken("the server sends bytes that belong to no file")
        if self._now() > self.until:
            raise TimeoutError
        return self.left


class _Reader(io.RawIOBase):
    def __init__(self, sock: Any, guard: Guard):
        self._sock, self._guard = sock, guard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._sock.recv_into(memoryview(buffer)[: self._guard.check()])
        self._guard.left -= count
        return count

    def close(self) -> None:
        super().close()
        self._sock.close()


class _Socket:
    """A socket whose readers are guarded; as with a plain one, its reader outlives `close`."""

    def __init__(self, sock: Any, guard: Guard):
        self._sock, self._guard, self._read = sock, guard, False

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        self._read = True
        return io.BufferedReader(_Reader(self._sock, self._guard))

    def close(self) -> None:
        if not self._read:
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Guarded:
    """A connection whose reading is bounded by a guard; beside a class of http.client."""

    def __init__(self, *arguments: Any, guard: Guard, **more: Any):
        super().__init__(*arguments, **more)
        self._guard = guard

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of the class beside this one
        self._guard.watch(self.sock)
        self.sock: Any = _Socket(self.sock, self._guard)


class _Plain(_Guarded, http.client.HTTPConnection):
    pass


class _Secure(_Guarded, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.AbstractHTTPHandler):
    def __init__(self, guard: Guard):
        super().__init__()
        self._guard = guard

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_Plain, guard=self._guard), request)  # type: ignore[arg-type]

    def https_open(self, request: urllib.request.Request) -> Any:
        secure = functools.partial(_Secure, guard=self._guard, context=ssl.create_default_context())
        return self.do_open(secure, request)  # type: ignore[arg-type]

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To other web addresses only, never from https to http, and with no secret to another host."""

    max_redirections = _MOST_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        found = address_of(newurl)
        if req.type == "https" and not found.url.startswith("https:"):
            raise Refused("the address leads from https to http, where anybody could change the file")
        new = super().redirect_request(req, fp, code, msg, headers, found.url)
        if new is not None and found.origin == (req.type, req.host):
            new.unredirected_hdrs.update(req.unredirected_hdrs)
        return new


@contextlib.contextmanager
def asked(address: Address, headers: dict[str, str], guard: Guard, *, method: str = "GET") -> Iterator[Any]:
    """The answer to one request, with status 2xx, while the block runs.

    Raises HTTPError for other statuses, Refused and Broken for all else, also what the block's reading raises.
    """
    common = {"User-Agent": "shapes-to-vaegan", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(address.url, headers={**common, **headers}, method=method)
        if address.authorization:  # unredirected: the storage host behind a redirect must not see it
            request.add_unredirected_header("Authorization", address.authorization)
        with _opener(guard).open(request, timeout=guard.timeout_s) as answer:
            yield answer
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _in_words(error, guard.timeout_s) from None  # what it quotes may be secret
    except UserError as error:
        if error.what != "this is no address":
            raise
        raise Refused(f"the address leads to what is none: {error.got}") from None
    except ValueError:
        raise Broken("the answer is no HTTP") from None
    finally:
        guard.close()


def _opener(guard: Guard) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Handler(guard),
    ):
        opener.add_handler(handler)
    return opener


def _in_words(error: Exception, timeout_s: float) -> Exception:
    """Why no answer came, in words of our own: those of the libraries quote addresses and headers."""
    reason = getattr(error, "reason", None)
    if isinstance(error, urllib.error.URLError) and isinstance(reason, Exception):
        return _in_words(reason, timeout_s)
    if isinstance(error, socket.gaierror):
        known = error.errno != socket.EAI_NONAME
        return Broken("its host cannot be looked up now") if known else Refused("there is no such host")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(f"its certificate cannot be verified: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return Broken("no secure connection comes about")
    if isinstance(error, TimeoutError):
        return Broken(f"the server is silent or too slow (it has {timeout_s:g} s)")
    if isinstance(error, http.client.InvalidURL):
        return Refused("this is no address")
    if isinstance(error, http.client.IncompleteRead):
        return Broken("the connection ended early")
    if isinstance(error, ConnectionError):  # with http.client.RemoteDisconnected
        return Broken(
            "the server refuses the connection"
            if isinstance(error, ConnectionRefusedError)
            else "the connection ended early"
        )
    if isinstance(error, http.client.HTTPException):
        return Broken("the answer is no HTTP")
    return Broken(getattr(error, "strerror", None) or "no connection")
