"""Addresses: checked before anything is asked of them, and shown without what is secret in them.

http://user:word@host/a b.zip?signature=x   is asked for as   http://host/a%20b.zip?signature=x,
                                            with user and word in a header that no redirect takes along,
                                            and is shown as   http://host/a%20b.zip
"""

from __future__ import annotations

import base64
import os
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.foreign import visible

_SCHEMES = ("http", "https")
_PLAIN_IN_PATHS = "/%~!$&'()*+,;=:@"


class Address(NamedTuple):
    """One file on a server."""

    url: str  # without user and password
    shown: str  # for people and logs: without the query too
    authorization: str = ""  # value of the header, or nothing

    @property
    def origin(self) -> tuple[str, str]:
        """Scheme and host: who may see the authorization."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.scheme, parts.netloc


def address_of(url: str) -> Address:
    """Check an address; a UserError, which shows nothing secret, for what is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        user, word = urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or "")
    except ValueError:  # a bracket that is not closed, a port that is no number, a host that is no name
        host = ""
    if not host or parts.scheme not in _SCHEMES or not url.isprintable() or not host.isprintable() or " " in host:
        raise UserError("this is no address", got=shown(url), wanted="http://host/path or https://host/path")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    path = urllib.parse.quote(parts.path, safe=_PLAIN_IN_PATHS) or "/"
    query = urllib.parse.quote(parts.query, safe=_PLAIN_IN_PATHS + "?")
    authorization = ""
    if user or word:
        authorization = "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode("ascii")
    clean = urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))
    token = token_for(clean)
    return Address(clean, f"{parts.scheme}://{netloc}{path}", f"Bearer {token}" if token else authorization)


def shown(url: str) -> str:
    """An address, right or wrong, without user, password, query and fragment."""
    head = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    text = f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else head.rpartition("@")[2]
    return visible(text)


def token_for(url: str) -> str | None:
    """The user's Hugging Face token, for that host over https only; never shown or logged."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or parts.hostname not in ("huggingface.co", "hf.co"):
        return None
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            return _checked(os.environ[name], f"the variable {name}")
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    path = Path(os.environ.get("HF_TOKEN_PATH", home / "token"))
    return _checked(path.read_text(encoding="utf-8", errors="replace"), str(path)) if path.is_file() else None


def _checked(token: str, where: str) -> str | None:
    """A token that fits into a header; what is wrong with another one is said without showing it."""
    token = token.strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise UserError(
            "the access token is none",
            where=where,
            got="spaces, line ends or other characters that tokens do not have",
            do="log in again with `hf auth login`, or correct the variable",
        )
    return token or None
