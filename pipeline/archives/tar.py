"""Tar files read from first to last byte: regular files and folders only, everything checked.

A tar (POSIX.1-1988 ustar, POSIX.1-2001 pax, and GNU's long names) is a row of 512-byte blocks:

    header    name, size in octal, type, and the sum of its bytes; checked
    content   `size` bytes, filled up to whole blocks
    two blocks of zeros at the end, then nothing but zeros

gzip, bzip2 and xz put sums around that; their streams are read to the end, where the sums are,
and what follows the end is refused.  So a flipped bit cannot leave files out.  Links and
devices are refused: nothing can be written outside the target, on any Python.
"""

from __future__ import annotations

import bz2
import contextlib
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline.errors import UserError, cannot_write

BLOCK = 512
MAX_FILES = 10_000_000
# A tar may not unpack to more than this many times its packed size (meshes as text shrink 3 to 10 times;
# only content made to explode passes 100); small ones cannot hurt, whatever their ratio.
MAX_RATIO = 100
RATIO_FROM_BYTES = 2**24
SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_CHUNK = 1 << 20
_MOST_NAME_BYTES = 1 << 16  # of a header that only says a long name
# The first bytes of each compressor, and a reader of one of its streams.
_COMPRESSORS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**30)),
)


class Member(NamedTuple):
    """One regular file or folder; `parts` of its name lead nowhere but down."""

    name: str  # as it stands there
    parts: tuple[str, ...]
    size: int  # bytes
    is_folder: bool


class Damaged(ValueError):
    """Not a whole tar file."""


class Dangerous(ValueError):
    """A member that is no file and no folder, or leads outside."""


def extract(path: Path, target: Path, *, max_bytes: int = 2**42) -> int:
    """Write every file of a tar below `target`, which is new; how many.

    Raises UserError for what is damaged, dangerous or too much: then nothing below `target` may be used.
    """
    members: set[tuple[str, ...]] = set()
    shown = path.name
    try:
        for member, content in read(path, max_bytes=max_bytes):
            shown = f"{member.size:,} bytes for {'/'.join(member.parts)}, and what follows it in {path.name}"
            place = target.joinpath(*member.parts)
            if member.is_folder:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(place, content)
            members.add(member.parts)
    except FileExistsError as error:
        raise UserError(
            "an archive has two members of one name",
            where=str(path),
            got=str(Path(error.filename).relative_to(target)),
            do="check where the archive comes from; nothing of it is used",
        ) from error
    except OSError as error:
        raise cannot_write(error, target, shown) from error
    written = sum(len(files) for _, _, files in os.walk(target))
    if written != len(members):  # two names that are one to this file system
        raise UserError(
            "an archive lists other files than it gave", where=str(path), got=f"{written} of {len(members)}"
        )
    return written


def read(
    path: Path,
    *,
    max_bytes: int = 2**42,
    pass_over_links: bool = False,  # where nothing is written, a link does no harm
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Every member with the pieces of its content, in order; the end of the file is checked after the last.

    The pieces may be left unread.  Raises UserError.
    """
    size = path.stat().st_size
    most = min(max_bytes, max(RATIO_FROM_BYTES, MAX_RATIO * size))
    with _in_words(path), open(path, "rb") as file:
        stream = _Stream(_plain(file), most, path)
        for member, content in _members(stream, pass_over_links):
            yield member, _pieces(content, path)
        stream.require_only_zeros()


def _pieces(content: Iterator[bytes], path: Path) -> Iterator[bytes]:
    with _in_words(path):
        yield from content


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except Dangerous as error:
        raise UserError(
            "an archive has a dangerous member",
            where=str(path),
            got=str(error),
            do="check where the archive comes from; nothing was written outside the target",
        ) from error
    except (Damaged, zlib.error, lzma.LZMAError, EOFError) as error:
        raise UserError(
            "cannot read an archive",
            where=str(path),
            got=str(error) or type(error).__name__,
            wanted="a whole tar file",
            do="delete it, then fetch it again",
        ) from error


# ---- blocks --------------------------------------------------------------------------------


class _Stream:
    """The unpacked bytes, asked for in order and never more than `most`."""

    def __init__(self, pieces: Iterator[bytes], most: int, path: Path):
        self._pieces, self._most, self._path = pieces, most, path
        self._have = memoryview(b"")
        self.left = most

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, at most `_CHUNK`; fewer only at the end of the file."""
        if size > self.left:
            raise self.too_much()
        parts = []
        while size:
            if not self._have and not self._more():
                break
            part = self._have[:size]
            parts.append(bytes(part))
            self._have, size = self._have[len(part) :], size - len(part)
            self.left -= len(part)
        return b"".join(parts)

    def too_much(self) -> UserError:
        return UserError(
            "an archive unpacks to too much",
            where=str(self._path),
            wanted=f"at most {self._most:,} bytes, {MAX_FILES:,} files",
            do="check where the archive comes from",
        )

    def require_only_zeros(self) -> None:
        """To the end: Damaged for anything but zeros, and where a compressor's sum is wrong."""
        while piece := self.take(min(_CHUNK, self.left)) if self.left else self._one_more():
            if piece.count(0) < len(piece):
                raise Damaged("something follows its end")

    def _one_more(self) -> bytes:
        if self._have or self._more():
            raise self.too_much()
        return b""

    def _more(self) -> bool:
        self._have = memoryview(next(self._pieces, b""))
        return bool(self._have)


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    """The unpacked bytes, in pieces; reading them all checks every sum of the compressor."""
    head = file.read(8)
    file.seek(0)
    found = [make for magic, make in _COMPRESSORS if head.startswith(magic)]
    if not found:
        while chunk := file.read(_CHUNK):
            yield chunk
        return
    make = found[0]
    packed = file.read(_CHUNK)
    while packed.strip(b"\0"):  # another stream may follow; zeros are what tapes are filled up with
        stream = make()
        while not stream.eof:
            if not packed and getattr(stream, "needs_input", True) and not (packed := file.read(_CHUNK)):
                raise Damaged("it ends in the middle")
            try:
                # Little by little, so that a bomb is noticed before it fills the memory.
                plain = stream.decompress(packed, _CHUNK)
            except OSError as error:  # what bz2 says of damage
                raise Damaged(str(error)) from error
            packed = getattr(stream, "unconsumed_tail", b"")
            if plain:
                yield plain
        packed = stream.unused_data
        while not packed.strip(b"\0") and (more := file.read(_CHUNK)):
            packed = more


# ---- headers -------------------------------------------------------------------------------


def _members(stream: _Stream, pass_over_links: bool) -> Iterator[tuple[Member, Iterator[bytes]]]:
    said: dict[str, str] = {}  # what headers before it say of the next member
    count = 0
    while True:
        header = stream.take(BLOCK)
        if len(header) < BLOCK:
            raise Damaged("it ends without the blocks that mark the end")
        if not any(header):
            if said:
                raise Damaged("it ends after a header that speaks of a next member")
            return
        size, kind = _checked(header), header[156:157]
        if kind in b"xgLK" and kind:
            said |= _extended(kind, _whole(stream, size))
            continue
        name = said.get("path") or _name(header)
        size = _decimal(said["size"]) if "size" in said else size
        if pass_over_links and kind in (b"1", b"2"):  # they have no content
            said = {}
            continue
        if kind not in (b"0", b"\0", b"7", b"5") or any(word.startswith("GNU.sparse") for word in said):
            raise Dangerous(f"{name!r} is no regular file and no folder")
        is_folder = kind == b"5" or (kind == b"\0" and name.endswith("/"))
        if is_folder and size:
            raise Damaged(f"the folder {name!r} has content")
        if size > stream.left or (count := count + 1) > MAX_FILES:
            raise stream.too_much()
        content = _content(stream, size)
        yield Member(name, _parts(name, is_folder), size, is_folder), content
        for _ in content:  # what nobody wanted
            pass
        said = {}


def _checked(header: bytes) -> int:
    """The size that a header says; Damaged where the sum of its bytes is another (with blanks in the sum's place)."""
    wanted = _number(header[148:156])
    found = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if wanted != found:
        raise Damaged("the sum of a header is wrong")
    return _number(header[124:136])


def _number(field: bytes) -> int:
    """Octal text, or GNU's binary number behind a byte 0x80."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.rstrip(b"\0 ").lstrip(b" ")
    if text.strip(b"01234567"):
        raise Damaged("a number in a header is none")
    return int(text or b"0", 8)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return os.fsdecode(prefix + b"/" + name if prefix else name)


def _extended(kind: bytes, content: bytes) -> dict[str, str]:
    """What an extended header says: pax records ``LENGTH KEY=VALUE\\n``, or GNU's long name."""
    if kind == b"K":  # of a link, which will be refused
        return {}
    if kind == b"L":
        return {"path": os.fsdecode(content.split(b"\0")[0])}
    found = {}
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not len(length) + 3 < int(length) <= len(content):
            raise Damaged("a pax record has a wrong length")
        key, equals, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if not equals or content[int(length) - 1 : int(length)] != b"\n":
            raise Damaged("a pax record is none")
        found[os.fsdecode(key)] = os.fsdecode(value)
        content = content[int(length) :]
    # A global header holds notes such as a commit; one that renames what follows is refused.
    if kind == b"g" and found.keys() & {"path", "size"}:
        raise Dangerous("a header renames all members")
    return {} if kind == b"g" else found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise Damaged("a size in a pax record is no number")
    return int(text)


def _parts(name: str, is_folder: bool) -> tuple[str, ...]:
    """``/a//b/./c -> a, b, c``; Dangerous where it leads up or holds what no name can."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name or (not parts and not is_folder):
        raise Dangerous(f"{name!r} leads outside")
    return parts


# ---- contents ------------------------------------------------------------------------------


def _whole(stream: _Stream, size: int) -> bytes:
    if size > _MOST_NAME_BYTES:
        raise Damaged(f"a header of {size:,} bytes")
    return b"".join(_content(stream, size))


def _content(stream: _Stream, size: int) -> Iterator[bytes]:
    """`size` bytes and the rest of their last block."""
    left = size
    while left:
        piece = stream.take(min(left, _CHUNK))
        if len(piece) < min(left, _CHUNK):
            raise Damaged("it ends in the middle of a file")
        left -= len(piece)
        yield piece
    if len(stream.take(-size % BLOCK)) < -size % BLOCK:
        raise Damaged("it ends in the middle of a block")


def _write(place: Path, content: Iterator[bytes]) -> None:
    with open(place, "xb") as file:
        for piece in content:
            file.write(piece)
