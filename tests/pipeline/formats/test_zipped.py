"""Every reader of a zip says in words what is wrong with a damaged one, and leaves the system's refusals alone."""

from __future__ import annotations

import errno
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.archives.archive import open_archive
from pipeline.archives.checks import problem_of
from pipeline.archives.nested import take_out
from pipeline.errors import Refusal, Reject, UserError
from pipeline.formats.pack import PackReader
from pipeline.formats.photographs import load_photographs
from pipeline.formats.zipped import damage_as
from pipeline.meshes.files import Files
from pipeline.pictures.bank import open_bank
from render.backgrounds import _from_zip
from report.gather import arrays
from training.inference.held_out import read_held_out


def read_members(path: Path) -> None:
    """All members, as meshes and their materials are read."""
    with damage_as(UserError):
        archive = zipfile.ZipFile(path)
    with archive:
        files = Files.of_zip(archive)
        for name in archive.namelist():
            files.open_bytes(name)


def read_backgrounds(path: Path) -> None:
    for _, read in _from_zip(path, 1):
        read()


def read_pack(path: Path) -> None:
    for _ in PackReader(path):
        pass


def check(path: Path) -> None:
    if problem := problem_of(path, "x.zip"):
        raise UserError(problem)


READERS: dict[str, Callable[[Path], object]] = {
    "an archive": open_archive,
    "members": read_members,
    "a zip in a zip": lambda path: take_out(path, path.with_name("inside.zip")),
    "what was fetched": check,
    "a pack": read_pack,
    "a bank": open_bank,
    "backgrounds": read_backgrounds,
    "photographs": load_photographs,
    "an .npz of results": arrays,
    "held-out pictures": read_held_out,
}


def archive(method: int) -> bytes:
    """Members of every kind that a reader looks for, packed by one method."""
    out, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(60))
    with zipfile.ZipFile(out, "w", method) as zipped:
        for name in ("records.jsonl", "a/inside.zip", "b.png"):
            zipped.writestr(name, b"{}\n" * 40)
        for name in ("info", "images", "voxels", "category", "object", "picture", "rejects", "id"):
            zipped.writestr(f"{name}.npy", array.getvalue())
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("reader", READERS)
def test_every_change_of_a_zip_is_read_or_said_in_words(reader: str, method: int, tmp_path: Path) -> None:
    """Bytes of headers, streams and the directory; each such change has been a traceback of some reader once."""
    whole, path = archive(method), tmp_path / "x.zip"
    for place in range(0, len(whole), max(1, len(whole) // 30)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        path.with_name("inside.zip").unlink(missing_ok=True)
        try:
            READERS[reader](path)
        except (UserError, Reject) as error:
            assert not isinstance(error, Refusal)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("reader", sorted(set(READERS) - {"members", "what was fetched"}))
def test_a_refusal_of_the_system_is_no_damage(
    reader: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete a file because a disk fails, or because too many files are open."""
    path = tmp_path / "x.zip"
    path.write_bytes(archive(zipfile.ZIP_STORED))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(Refusal, match=r"cannot use .*x\.zip: refused") as caught:
        READERS[reader](path)
    assert "delete" not in str(caught.value)


def test_what_a_library_says_of_damage_has_no_number() -> None:
    with (
        pytest.raises(UserError, match="damaged: Invalid data stream"),
        damage_as(lambda text: UserError(f"damaged: {text}")),
    ):
        raise OSError("Invalid data stream")
