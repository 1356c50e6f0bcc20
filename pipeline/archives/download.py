"""Download one file over HTTP so that what is published is whole, nothing is fetched twice, and it ends.

    archives/D/ModelNet10.zip            published by rename, after it was verified
    archives/D/ModelNet10.zip.sha256     ``sha256sum -c`` format; written on first use where no
                                         checksum is published, later downloads are held to it
    archives/D/.ModelNet10.zip.part      what has arrived; .part.json holds its validator, its size, and
                                         the digest of its address (which may be signed)

A broken transfer goes on where it stopped (Range with If-Range, RFC 9110 sections 13.1.5 and
14.2), so a changed file on the server starts over instead of being glued together.  Busy
servers (429, 5xx) are asked again after Retry-After or a growing pause; 401, 403 and 404 end
the attempt at once.  A web page in place of an archive is refused.  `Patience` bounds attempts,
bytes, time and the slowest rate; progress is the largest size ever reached.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import pydantic
from tqdm import tqdm

from pipeline.archives.addresses import Address, address_of
from pipeline.archives.checks import problem_of
from pipeline.archives.headers import RANGE, is_validator, length_of, retry_after, validator_of
from pipeline.archives.http import Broken, Guard, Refused, asked
from pipeline.archives.remote import RemoteFile
from pipeline.atomic import write_text
from pipeline.errors import UserError, cannot_write
from pipeline.foreign import visible
from pipeline.manifest import sha256_of
from pipeline.progress import Log, say
from pipeline.state.files import read_cache, write_state

_BLOCK = 1 << 20
_BUSY = {408, 425, 429, 500, 502, 503, 504}


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long, and for how many bytes, a server is waited for."""

    attempts: int = 6  # in a row that brought no new byte
    most_attempts: int = 1000  # of one address
    pause_s: float = 1.0  # before another attempt; doubles while there is nothing new
    longest_pause_s: float = 300.0  # also bounds Retry-After
    timeout_s: float = 30.0  # without a byte
    slow_after_s: float = 60.0  # after so long, less than `slowest` counts as broken
    slowest: float = 1024.0  # bytes per second
    most_s: float = 172_800.0  # for one address
    waste: float = 3.0  # bytes received, in sizes of the file
    most_bytes: int = 2**36  # of a file whose size nobody says
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclasses.dataclass(frozen=True)
class Downloaded:
    """What was published."""

    sha256: str
    url: str  # as it may be shown


class _Damaged(Exception):
    """What arrived is not the file; another try may bring it."""


def download(
    file: RemoteFile,
    addresses: list[str],  # tried in order
    target: Path,  # where the file is published
    *,
    log: Log,
    patience: Patience = Patience(),  # noqa: B008 - frozen
    quiet: bool = False,  # one of many small files: no bar of its own, and no line on its checksum
) -> Downloaded | None:
    """Publish `target`, verified; None for an optional file that no address has.

    Raises UserError with what every address answered, or when the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = file.sha256 or _recorded(target)
    if target.exists():
        return _already_there(target, wanted)
    answers: list[str] = []
    for address in map(address_of, addresses):
        for _ in range(2):  # a transfer that was damaged on its way gets a second chance at the same address
            try:
                with _part_file(target) as part:
                    _Transfer(file, address, part, wanted, patience, log, quiet).run()
                    sha256 = _verified(file, Path(part.name), wanted, quiet)
                    os.fsync(part.fileno())
                    os.replace(part.name, target)
            except (Refused, _Damaged) as reason:
                answers.append(f"{address.shown}: {reason}")
                log.write("mirror_failed", url=address.shown, reason=str(reason))
                if isinstance(reason, _Damaged):
                    continue
                break
            _state_path(target).unlink(missing_ok=True)
            write_text(_record_path(target), f"{sha256}  {target.name}\n")
            size = target.stat().st_size
            log.write("downloaded", url=address.shown, file=str(target), bytes=size, sha256=sha256)
            return Downloaded(sha256, address.shown)
    if file.optional:
        return None
    raise UserError(
        f"cannot download {file.name}",
        where=str(target.parent),
        got="\n       ".join(answers),
        do="the same command again goes on from here; or put the file into a folder and name that "
        "folder in `mirrors` of the data set",
    )


# ---- one address ---------------------------------------------------------------------------


@dataclasses.dataclass
class _Transfer:
    """Fill `part` from one address, going on after every break; Refused or _Damaged when it will not work."""

    file: RemoteFile
    address: Address
    part: IO[bytes]
    wanted: str
    patience: Patience
    log: Log
    quiet: bool

    def run(self) -> None:
        began, fruitless, attempts = self.patience.now(), 0, 0
        self._ends, self._received = began + self.patience.most_s, 0
        self._state = _state_path(Path(self.part.name).parent / self.file.name)
        reached = self._resumable()
        while True:
            attempts += 1
            try:
                if self._attempt():
                    return
                broken = Broken("the connection ended early")
            except Broken as error:
                broken = error
            size = self._size()
            fruitless = 0 if size > reached else fruitless + 1
            reached = max(reached, size)
            self.log.write("broken", url=self.address.shown, problem=str(broken), have=size)
            if fruitless >= self.patience.attempts:
                raise Refused(f"{broken}, {fruitless} times in a row")
            if attempts >= self.patience.most_attempts or self.patience.now() > self._ends:
                raise Refused(f"{broken}; given up after {attempts} attempts, {reached:,} bytes are kept")
            pause = max(self.patience.pause_s * 2**fruitless, broken.wait_s or 0.0)
            self.patience.sleep(min(pause, self.patience.longest_pause_s))

    def _attempt(self) -> bool:
        """One request; whether everything has arrived."""
        have, headers = self._resumable(), {}
        saved = _load_state(self._state)
        if have:
            headers["Range"] = f"bytes={have}-"
            if saved.validator:
                headers["If-Range"] = saved.validator
        guard = Guard(self.patience.now, self.patience.timeout_s)
        try:
            with asked(self.address, headers, guard) as answer:
                return self._receive(answer, have, saved, guard)
        except urllib.error.HTTPError as error:
            error.close()
            found = RANGE.fullmatch(error.headers.get("Content-Range", ""))
            if error.code == 416 and have:
                if found and found[3] == str(have) and saved.total in (None, have):
                    return True
                self._start_over()
                raise Broken("the server has no such part of the file") from None
            if error.code in _BUSY:
                raise Broken(f"HTTP status {error.code}", retry_after(error.headers.get("Retry-After"))) from None
            raise Refused(_refusal(error.code, self.address)) from None

    def _receive(self, answer: Any, have: int, saved: _State, guard: Guard) -> bool:
        """Append or start over, as the server decided; whether everything has arrived."""
        headers = answer.headers
        length = None if answer.chunked else length_of(headers)
        if answer.status == 206:
            total = self._total_of_part(headers, have, length, saved)
        elif answer.status == 200:
            have, total = 0, length
            self._start_over()
        else:
            raise Refused(f"HTTP status {answer.status}")
        if (headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
            raise Refused("the file is packed on its way, though that was not asked for")
        if have == 0:
            if headers.get_content_type() == "text/html" and not self.file.name.endswith((".html", ".htm")):
                raise Refused("answers with a web page instead of the file; the address has moved or wants a login")
            _State(_digest(self.address), validator_of(headers), total).save(self._state)
        if None not in (total, self.file.bytes) and total != self.file.bytes:
            raise Refused(f"damaged: it has {total:,} bytes there, {self.file.bytes:,} are published")
        expected = total if total is not None else self.file.bytes
        _enough_space(self.part, None if expected is None else expected - have)
        self.part.seek(have)
        self._copy(answer, have, expected, guard)
        self.part.flush()
        return expected is None or self._size() >= expected

    def _total_of_part(self, headers: Any, have: int, length: int | None, saved: _State) -> int | None:
        """The whole size, of an answer that holds the rest of the same file; Broken, and start over, for another."""
        found = RANGE.fullmatch(headers.get("Content-Range", ""))
        total = int(found[3]) if found and found[3] != "*" else saved.total
        same = validator_of(headers) in (None, saved.validator) and (saved.total is None or total == saved.total)
        fits = length is None or total is None or have + length == total
        if not (found and found[1] == str(have) and have and same and fits):
            self._start_over()
            raise Broken("the server sends another part than was asked for")
        return total

    def _copy(self, answer: Any, have: int, expected: int | None, guard: Guard) -> None:
        patience, most = self.patience, self.patience.most_bytes if expected is None else expected
        budget = patience.most_bytes if expected is None else patience.waste * expected + 64 * _BLOCK
        since, before = patience.now(), self._received
        with _bar(self.file.name, expected, have, self.quiet) as bar:
            while True:
                guard.allow(4 * _BLOCK, patience.slow_after_s)
                block = answer.read1(_BLOCK)
                if not block:
                    return
                self._received += len(block)
                have += len(block)
                if have > most:
                    self.part.truncate(0)
                    raise _Damaged(f"damaged: more than the {most:,} bytes that it may have")
                if self._received > budget:
                    raise Refused(f"{self._received:,} bytes came for a file of {most:,}")
                self._write(block, expected)
                bar.update(len(block))
                if (passed := patience.now() - since) > patience.slow_after_s:
                    if self._received - before < patience.slowest * passed:
                        raise Broken("the server is too slow")
                    since, before = patience.now(), self._received
                if patience.now() > self._ends:
                    raise Refused(f"not done after {patience.most_s:,.0f} s, {have:,} bytes are kept")

    def _write(self, block: bytes, expected: int | None) -> None:
        if expected is None:
            _enough_space(self.part, len(block))
        try:
            self.part.write(block)
        except OSError as error:
            wanted = "" if expected is None else f"{expected:,} bytes for this file"
            raise cannot_write(error, Path(self.part.name), wanted) from error

    def _resumable(self) -> int:
        """Bytes that need not be fetched again: those of the same address that a validator or a checksum guards."""
        saved = _load_state(self._state)
        if saved.address == _digest(self.address) and (saved.validator or self.wanted):
            return self._size()
        self.part.truncate(0)
        return 0

    def _start_over(self) -> None:
        self.part.truncate(0)
        self.part.seek(0)

    def _size(self) -> int:
        self.part.flush()
        return os.fstat(self.part.fileno()).st_size


def _bar(name: str, expected: int | None, have: int, quiet: bool) -> Any:
    return tqdm(
        total=expected,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=visible(name),
        leave=False,
        disable=quiet or not sys.stderr.isatty(),
        file=sys.stderr,
    )


def _verified(file: RemoteFile, part: Path, wanted: str, quiet: bool = False) -> str:
    """SHA-256 of the part, or _Damaged and no part."""
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
        if not problem and not file.md5 and not quiet:
            say(f"fetch: no checksum of {file.name} is published; recorded {sha256[:16]}... on first use")
    if problem:
        part.unlink()
        raise _Damaged(f"damaged: {problem}")
    return sha256


# ---- what is kept beside the file ----------------------------------------------------------


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


@dataclasses.dataclass(frozen=True)
class _State:
    """What is known of the part file."""

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")

    address: str = ""  # digest
    validator: str | None = None
    total: int | None = None  # bytes of the whole file

    def save(self, path: Path) -> None:
        write_state(path, dataclasses.asdict(self))


_STATE: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_State)


def _load_state(path: Path) -> _State:
    """The state, or none where the file is absent, torn or something else."""
    state = _State(**read_cache(path, _STATE, {}))
    return state if state.validator is None or is_validator(state.validator) else _State()


def _digest(address: Address) -> str:
    return hashlib.sha256(address.url.encode()).hexdigest()


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
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace").split()
    if not text or not re.fullmatch("[0-9a-f]{64}", text[0]):
        raise UserError(
            "a recorded checksum is none",
            where=str(path),
            wanted="64 hexadecimal digits and the name of the file",
            do="delete it if the file may be taken as it is offered now, then run the same command again",
        )
    return text[0]


def _record_path(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _state_path(target: Path) -> Path:
    return target.parent / f".{target.name}.part.json"


# ---- small parts ---------------------------------------------------------------------------


def _refusal(code: int, address: Address) -> str:
    if 300 <= code < 400:
        return f"HTTP status {code}: the address redirects in a circle, or to where nothing may be fetched from"
    if code in (401, 403):
        scheme, host = address.origin
        if "huggingface.co" not in host:
            return f"HTTP status {code}: access has to be asked for at {host}"
        return (
            f"HTTP status {code}: access has to be asked for at {address.shown.partition('/resolve/')[0]}; "
            "then log in with `hf auth login`, or set HF_TOKEN"
        )
    return f"HTTP status {code}" + (": there is no such file" if code in (404, 410) else "")


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
