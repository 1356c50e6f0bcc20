"""Every one-bit change of a small archive is refused or gives equal bytes; tars that tarfile would obey are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.archives import tar
from pipeline.archives.archive import open_archive
from pipeline.archives.checks import problem_of
from pipeline.errors import Reject, UserError

FILES = {
    "set/a.off": b"OFF\n3 1 0\n" * 4,
    "set/sub/b.mtl": b"newmtl x\n",
    "set/empty": b"",
    "set/odo": bytes(range(80)),
}


def plain_tar(files: dict[str, bytes] = FILES) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def from_tar(path: Path) -> dict[str, bytes] | None:
    """What is unpacked, without a disk; None where it is refused."""
    try:
        return {"/".join(m.parts): b"".join(pieces) for m, pieces in tar.read(path) if not m.is_folder}
    except UserError:
        return None


def from_zip(path: Path) -> dict[str, bytes] | None:
    """What is read in place; None where the archive, or a member of it, is refused."""
    try:
        archive = open_archive(path)
    except UserError:
        return None
    try:
        entries = list(archive.entries())
        found = {entry.name: archive.files().open_bytes(entry.name) for entry in entries}
    except Reject:
        return None
    finally:
        archive.close()
    refused = any(entry.problem for entry in entries) or None in found.values()
    return None if refused else {name: data for name, data in found.items() if data is not None}


PACKED: dict[str, tuple[Callable[[], bytes], Callable[[Path], dict[str, bytes] | None]]] = {
    ".tar.gz": (lambda: gzip.compress(plain_tar(), mtime=0), from_tar),
    ".tar.bz2": (lambda: bz2.compress(plain_tar()), from_tar),
    ".tar.xz": (lambda: lzma.compress(plain_tar()), from_tar),
    ".two.tar.gz": (lambda: gzip.compress(plain_tar()[:2048]) + gzip.compress(plain_tar()[2048:]), from_tar),
    ".zip": (zipped, from_zip),
    ".stored.zip": (lambda: zipped(zipfile.ZIP_STORED), from_zip),
}


# Seven is prime to eight: every place within a byte comes up.
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=(pytest.mark.slow, pytest.mark.campaign))])
@pytest.mark.parametrize("suffix", PACKED)
def test_every_one_bit_change_is_refused_or_gives_equal_bytes(suffix: str, step: int, tmp_path: Path) -> None:
    make, read = PACKED[suffix]
    whole, path = make(), tmp_path / f"a{suffix}"
    path.write_bytes(whole)
    assert read(path) == FILES and problem_of(path, path.name) == ""
    silent = []
    for bit in range(0, 8 * len(whole), step):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(changed))
        if read(path) not in (None, FILES):
            silent.append(bit)
    assert silent == []


@pytest.mark.parametrize("suffix", PACKED)
def test_every_cut_and_everything_appended_is_refused(suffix: str, tmp_path: Path) -> None:
    make, read = PACKED[suffix]
    whole, path = make(), tmp_path / f"a{suffix}"
    for changed in [*(whole[:length] for length in range(len(whole))), whole + b"x", whole + b"\0" * 9 + b"junk"]:
        path.write_bytes(changed)
        assert read(path) is None, len(changed)


def test_a_plain_tar_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = plain_tar(), tmp_path / "a.tar"
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512  # after the last content; the marks of the end follow
    for length in range(0, end + 512, 64):
        path.write_bytes(whole[:length])
        assert from_tar(path) is None, length
    for appended in (b"x", b"\0" * 512 + b"x", plain_tar()):
        path.write_bytes(whole + appended)
        assert from_tar(path) is None


def header(name: bytes = b"a", size: bytes = b"00000000005\0", kind: bytes = b"0", prefix: bytes = b"") -> bytes:
    """A header with a right sum."""
    fields = [
        (0, name),
        (100, b"0000644\0"),
        (124, size),
        (148, b" " * 8),
        (156, kind),
        (257, b"ustar\x0000"),
        (345, prefix),
    ]
    block = bytearray(512)
    for place, value in fields:
        block[place : place + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


BODY, END = b"hello".ljust(512, b"\0"), bytes(1024)


def pax(**values: str) -> bytes:
    records = b""
    for key, value in values.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 2 if len(rest) < 97 else len(rest) + 3
        records += str(length).encode() + rest
    return header(b"x", b"%011o\0" % len(records), b"x") + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (header(size=b"\x80" + b"\0" * 3 + (2**62).to_bytes(8, "big")) + BODY + END, "unpacks to too much"),
        (header(size=b"77777777777\0") + BODY + END, "unpacks to too much"),
        (header(size=b"0000000000x\0") + BODY + END, "a number in a header is none"),
        (header(size=b"-0000000005\0") + BODY + END, "a number in a header is none"),
        (header().replace(b"hello", b"")[:148] + b"0000000\0" + header()[156:] + BODY + END, "the sum of a header"),
        (header(b"../a") + BODY + END, "leads outside"),
        (header(b"a", prefix=b"..") + BODY + END, "leads outside"),
        (pax(path="../../a") + header() + BODY + END, "leads outside"),
        (header(b"l", b"00000000007\0", b"L") + b"../../a".ljust(512, b"\0") + header() + BODY + END, "leads outside"),
        (header(kind=b"2") + BODY + END, "no regular file"),
        (header(kind=b"1") + BODY + END, "no regular file"),
        (header(kind=b"3") + BODY + END, "no regular file"),
        (header(kind=b"S") + BODY + END, "no regular file"),
        (header(kind=b"V") + BODY + END, "no regular file"),
        (header(kind=b"5") + BODY + END, "has content"),
        (pax(size="99999999999999") + header() + BODY + END, "unpacks to too much"),
        (pax(size="\u00b2") + header() + BODY + END, "no number"),
        (header(b"x", b"00000000005\0", b"x") + b"9 a=\n".ljust(512, b"\0") + header() + BODY + END, "wrong length"),
        (header(b"x", b"00004000000\0", b"x") + bytes(2**20) + header() + BODY + END, "a header of 1,048,576 bytes"),
        (pax(comment="nothing follows") + END, "speaks of a next member"),
        (header() + BODY + header() + BODY + END, "two members of one name"),
        (header(b"a") + BODY + header(b"a/b") + BODY + END, "two members of one name|cannot write"),
        (header(b"a/b") + BODY + header(b"a") + BODY + END, "two members of one name"),
        (header() + BODY, "without the blocks that mark the end"),
    ],
)
def test_what_a_tar_may_not_say(archive: bytes, message: str, tmp_path: Path) -> None:
    path, target = tmp_path / "a.tar", tmp_path / "deep" / "target"
    path.write_bytes(archive)
    target.mkdir(parents=True)
    with pytest.raises(UserError, match=message):
        tar.extract(path, target)
    assert {p.name for p in tmp_path.rglob("*")} <= {"a.tar", "deep", "target", "a", "b"}
    assert {p.name for p in target.parent.iterdir()} == {"target"}


def test_a_link_and_a_file_through_it_write_nothing(tmp_path: Path) -> None:
    """CVE-2025-4517 and its kind need links that exist; here none is ever made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("escape")
        link.type, link.linkname = tarfile.SYMTYPE, "d/" * 200 + "../" * 300 + "elsewhere"
        archive.addfile(link)
        through = tarfile.TarInfo("escape/file")
        through.size = 5
        archive.addfile(through, io.BytesIO(b"hello"))
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="dangerous member"):
        tar.extract(tmp_path / "a.tar", tmp_path / "target")
    assert content(tmp_path / "target") == {}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_common_format_is_read_with_long_and_foreign_names(form: int, tmp_path: Path) -> None:
    files = {f"{'long/' * 30}name": b"1", "\u00e9t\u00e9/\u6a21": b"2", "x" * 90: b"3" * 1000}
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))
    (tmp_path / "target").mkdir()
    assert tar.extract(tmp_path / "a.tar.xz", tmp_path / "target") == 3
    assert content(tmp_path / "target") == files


def test_members_of_a_zip_that_overlap_are_refused(tmp_path: Path) -> None:
    """The kind of bomb that names the same bytes again and again."""
    whole = bytearray(zipped(zipfile.ZIP_STORED))
    second = whole.index(b"PK\1\2", whole.index(b"PK\1\2") + 1)
    whole[second + 42 : second + 46] = bytes(4)  # the second member begins where the first does
    (tmp_path / "a.zip").write_bytes(bytes(whole))
    with pytest.raises(UserError, match="its members overlap or lie outside"):
        open_archive(tmp_path / "a.zip")
