"""Download one file over HTTP so that what is published is whole, and nothing is fetched twice.

    archives/D/ModelNet10.zip            published by rename, after it was verified
    archives/D/ModelNet10.zip.sha256     ``sha256sum -c`` format; written on first use where no
                                         checksum is published, later downloads are held to it
    archives/D/.ModelNet10.zip.part      what has arrived; .part.json holds its address and validator

A broken transfer goes on where it stopped (Range with If-Range, RFC 9110 sections 13.1.5 and
14.2), so a changed file on the server starts over instead of being glued together.  Busy
servers (429, 5xx) are asked again after Retry-After or a growing pause; 401, 403 and 404 end
the attempt at once.  A web page in place of an archive is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import fcntl
import http.client
import json
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from pipeline.archives.checks import problem_of
from pipeline.archives.remote import RemoteFile
from pipeline.atomic import write_text
from pipeline.errors import UserError, cannot_write
from pipeline.manifest import sha256_of
from pipeline.progress import Log, say

_BLOCK = 1 << 20
_BUSY = {408, 425, 429, 500, 502, 503, 504}
# What a dropped line, a stalled server or a broken chunk raises; HTTPError is handled before.
_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a server is waited for."""

    attempts: int = 6  # in a row that brought no byte
    pause_s: float = 1.0  # before the second attempt; doubles
    longest_pause_s: float = 300.0  # also bounds Retry-After
    timeout_s: float = 30.0  # without a byte


@dataclasses.dataclass(frozen=True)
class Downloaded:
    """What was published."""

    sha256: str
    url: str


class _GiveUp(Exception):
    """This address will not work; the next one may."""


def download(
    file: RemoteFile,
    addresses: list[str],  # tried in order
    target: Path,  # where the file is published
    *,
    log: Log,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Downloaded | None:
    """Publish `target`, verified; None for an optional file that no address has.

    Raises UserError with what every address answered, or when the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = file.sha256 or _recorded(target)
    if target.exists():
        return _already_there(target, wanted)
    answers: list[str] = []
    # A transfer that was damaged on its way gets a second chance at the same address.
    for url in [url for url in addresses for _ in range(2)]:
        if any(answer.startswith(f"{url}: ") for answer in answers) and not answers[-1].startswith(f"{url}: damaged"):
            continue
        try:
            with _part_file(target) as part:
                _transfer(file, url, part, wanted, patience, log)
                sha256 = _verified(file, Path(part.name), wanted)
                os.fsync(part.fileno())
                os.replace(part.name, target)
        except _GiveUp as reason:
            answers.append(f"{url}: {reason}")
            log.write("mirror_failed", url=url, reason=str(reason))
            continue
        _state_path(target).unlink(missing_ok=True)
        write_text(_record_path(target), f"{sha256}  {target.name}\n")
        log.write("downloaded", url=url, file=str(target), bytes=target.stat().st_size, sha256=sha256)
        return Downloaded(sha256, url)
    if file.optional:
        return None
    raise UserError(
        f"cannot download {file.name}",
        where=str(target.parent),
        got="\n       ".join(answers),
        do="the same command again goes on from here; or put the file into a folder and name that "
        "folder in `mirrors` of the data set",
    )


def token_for(url: str) -> str | None:
    """The user's Hugging Face token, for that host over https only; never shown or logged."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or parts.hostname not in ("huggingface.co", "hf.co"):
        return None
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            return os.environ[name].strip()
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    path = Path(os.environ.get("HF_TOKEN_PATH", home / "token"))
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


# ---- one address ---------------------------------------------------------------------------


def _transfer(file: RemoteFile, url: str, part: IO[bytes], wanted: str, patience: Patience, log: Log) -> None:
    """Fill `part` from one address, going on after every break; _GiveUp when it will not work."""
    state = _state_path(Path(part.name).parent / file.name)
    fruitless = 0
    while True:
        before = _resumable(part, state, url, bool(wanted))
        pause = patience.pause_s * 2**fruitless
        try:
            with _open(url, before, state, patience) as answer:
                if _receive(file, url, answer, part, before, state):
                    return
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before and _total(error.headers.get("Content-Range", "")) == before:
                return
            if error.code == 416:
                part.truncate(0)
            elif error.code not in _BUSY:
                raise _GiveUp(_refusal(error.code, url)) from None
            problem = f"HTTP status {error.code}"
            pause = _retry_after(error.headers.get("Retry-After"), pause)
        except _NETWORK as error:
            _give_up_if_final(getattr(error, "reason", error))
            problem = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
        fruitless = 0 if _size(part) > before else fruitless + 1
        log.write("broken", url=url, problem=problem, have=_size(part))
        if fruitless >= patience.attempts:
            raise _GiveUp(f"{problem}, {fruitless} times in a row")
        time.sleep(min(pause, patience.longest_pause_s) if fruitless else 0.0)


def _open(url: str, start: int, state: Path, patience: Patience) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "shapes-to-vaegan", "Accept-Encoding": "identity"})
    token = token_for(url)
    if token:  # unredirected: the storage host behind a redirect must not see it
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if start:
        request.add_header("Range", f"bytes={start}-")
        validator = _load_state(state).get("validator")
        if validator:
            request.add_header("If-Range", validator)
    return urllib.request.urlopen(request, timeout=patience.timeout_s)


def _receive(file: RemoteFile, url: str, answer: Any, part: IO[bytes], start: int, state: Path) -> bool:
    """Append or start over, as the server decided; whether everything has arrived."""
    headers = answer.headers
    length = int(headers["Content-Length"]) if (headers["Content-Length"] or "").isdigit() else None
    if answer.status == 206 and _start(headers.get("Content-Range", "")) == start:
        total = _total(headers.get("Content-Range", ""))
    else:
        start, total = 0, length
        part.truncate(0)
    if start == 0:
        if headers.get_content_type() == "text/html" and not file.name.endswith((".html", ".htm")):
            raise _GiveUp("answers with a web page instead of the file; the address has moved or wants a login")
        state.write_text(json.dumps({"url": url, "validator": _validator(headers)}), encoding="utf-8")
    expected = total if total is not None else file.bytes
    _enough_space(part, None if expected is None else expected - start)
    part.seek(start)
    with tqdm(
        total=expected,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=file.name,
        leave=False,
        disable=not sys.stderr.isatty(),
        file=sys.stderr,
    ) as bar:
        while block := answer.read1(_BLOCK):
            try:
                part.write(block)
            except OSError as error:
                wanted = "" if expected is None else f"{expected:,} bytes for this file"
                raise cannot_write(error, Path(part.name), wanted) from error
            bar.update(len(block))
    part.flush()
    return total is None or _size(part) >= total


def _verified(file: RemoteFile, part: Path, wanted: str) -> str:
    """SHA-256 of the part, or _GiveUp and an empty part."""
    sha256 = sha256_of(part)
    problem = ""
    if wanted:
        if sha256 != wanted:
            problem = f"another file than published: SHA-256 {sha256}, wanted {wanted}"
    elif file.bytes is not None and part.stat().st_size != file.bytes:
        problem = f"{part.stat().st_size} bytes, {file.bytes} are published"
    elif file.md5 and sha256_of(part, "md5") != file.md5:
        problem = f"another file than published: MD5 differs from {file.md5}"
    else:
        problem = problem_of(part, file.name)
        if not problem and not file.md5:
            say(f"fetch: no checksum of {file.name} is published; recorded {sha256[:16]}... on first use")
    if problem:
        part.unlink()
        raise _GiveUp(f"damaged: {problem}")
    return sha256


# ---- small parts ---------------------------------------------------------------------------


@contextlib.contextmanager
def _part_file(target: Path) -> Iterator[IO[bytes]]:
    """The part file, held by one process at a time."""
    path = target.parent / f".{target.name}.part"
    try:
        part = open(path, "a+b")  # noqa: SIM115 - closed below
    except OSError as error:
        raise cannot_write(error, path) from error
    part.close()
    part = open(path, "r+b")  # noqa: SIM115 - appending mode could not start over
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield part
    except BlockingIOError as error:
        raise UserError(
            f"another process is downloading {target.name}",
            where=str(path),
            do="wait for it, then run the same command again",
        ) from error
    finally:
        part.close()


def _resumable(part: IO[bytes], state: Path, url: str, known_sum: bool) -> int:
    """Bytes that need not be fetched again: those of the same address that a validator or a checksum guards."""
    saved = _load_state(state)
    if saved.get("url") == url and (saved.get("validator") or known_sum):
        return _size(part)
    part.truncate(0)
    return 0


def _already_there(target: Path, wanted: str) -> Downloaded:
    sha256 = sha256_of(target)
    if wanted and sha256 != wanted:
        raise UserError(
            "a file is not what was fetched",
            where=str(target),
            got=f"SHA-256 {sha256}",
            wanted=f"{wanted}",
            do="delete it and run the same command again",
        )
    return Downloaded(sha256, "already there")


def _recorded(target: Path) -> str:
    path = _record_path(target)
    return path.read_text(encoding="utf-8").split()[0] if path.is_file() else ""


def _record_path(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _state_path(target: Path) -> Path:
    return target.parent / f".{target.name}.part.json"


def _load_state(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _validator(headers: Any) -> str | None:
    """A strong ETag, or the date; a weak ETag cannot guard a range (RFC 9110, 13.1.5)."""
    tag: str | None = headers.get("ETag")
    date: str | None = headers.get("Last-Modified")
    return tag if tag and not tag.startswith("W/") else date


def _start(content_range: str) -> int | None:
    """``bytes 5-9/10`` -> 5."""
    head = content_range.removeprefix("bytes ").partition("-")[0]
    return int(head) if head.isdigit() else None


def _total(content_range: str) -> int | None:
    """``bytes 5-9/10`` or ``bytes */10`` -> 10."""
    tail = content_range.rpartition("/")[2]
    return int(tail) if tail.isdigit() else None


def _retry_after(value: str | None, default: float) -> float:
    """Seconds, given as a number or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return default
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return default


def _give_up_if_final(reason: object) -> None:
    """A host that does not exist, or cannot prove who it is, will not do better next time."""
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        raise _GiveUp("there is no such host")
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise _GiveUp(f"its certificate cannot be verified: {reason.verify_message}")


def _refusal(code: int, url: str) -> str:
    if 300 <= code < 400:
        return f"HTTP status {code}: the address redirects in a circle"
    if code in (401, 403):
        if "huggingface.co/" not in url:
            return f"HTTP status {code}: access has to be asked for at {urllib.parse.urlsplit(url).hostname}"
        return (
            f"HTTP status {code}: access has to be asked for at {url.partition('/resolve/')[0]}; "
            "then log in with `huggingface-cli login`, or set HF_TOKEN"
        )
    return f"HTTP status {code}" + (": there is no such file" if code in (404, 410) else "")


def _size(part: IO[bytes]) -> int:
    return os.fstat(part.fileno()).st_size


def _enough_space(part: IO[bytes], needed: int | None) -> None:
    free = shutil.disk_usage(Path(part.name).parent).free
    if needed is not None and needed > free:
        raise UserError(
            "not enough space on the disk for a download",
            where=part.name,
            got=f"{free / 1e9:.1f} GB free",
            wanted=f"{needed / 1e9:.1f} GB",
            do="free some space or choose another `output` in config.yaml, then run the same command again",
        )
