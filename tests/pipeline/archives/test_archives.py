"""Archives made to do harm: refused with a clear line, and nothing is written outside."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.archive import open_archive
from pipeline.archives.checks import problem_of
from pipeline.archives.tar import extract as extract_tar
from pipeline.errors import UserError


def make_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, data in members:
            archive.writestr(name, data)
    return path


def problems(path: Path) -> dict[str, str]:
    archive = open_archive(path)
    found = {entry.name: entry.problem for entry in archive.entries()}
    archive.close()
    return found


@pytest.mark.parametrize("name", ["../out.off", "/out.off", "a/../../out.off", "a\\..\\out.off", "C:out.off"])
def test_names_that_lead_outside_are_a_problem(tmp_path: Path, name: str) -> None:
    assert problems(make_zip(tmp_path / "a.zip", [(name, b"x")])) == {name: "unsafe_name"}


def test_two_members_of_one_name_are_both_refused_and_listed_once(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.off", b"1"), ("b.off", b"2"), ("a.off", b"3")])
    assert problems(path) == {"a.off": "duplicate_name", "b.off": ""}


def test_a_bomb_is_found_without_unpacking_it(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.off", b"\0" * (20 << 20))])
    assert problems(path) == {"a.off": "bomb"}


def test_links_in_a_zip_are_no_files(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.off")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert problems(tmp_path / "a.zip") == {"link.off": "not_a_file"}


def test_links_that_leave_a_folder_are_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.off").write_text("x")
    (folder / "link.off").symlink_to(tmp_path / "secret.off")
    (folder / ".hidden.off").write_text("x")
    (folder / "good.off").write_text("x")
    assert problems(folder) == {"set/link.off": "outside", "set/good.off": ""}


def test_a_folder_and_its_zip_look_alike(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "a").mkdir(parents=True)
    (folder / "a/b.off").write_bytes(b"content")
    path = make_zip(tmp_path / "set.zip", [("set/a/b.off", b"content")])
    assert problems(folder) == problems(path)
    for place in (folder, path):
        archive = open_archive(place)
        assert archive.files("set/a/").open_bytes("b.off") == b"content"
        assert archive.files("set/").open_bytes("a/c.off") is None
        archive.close()


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="cannot read an archive"):
        open_archive(tmp_path / "a.zip")


def test_a_hundred_thousand_members_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"set/chair/train/chair_{number:06d}.off", b"")
    assert len(problems(path)) == 100_000


def make_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "info",
    [
        member("../out"),
        member("a/../../out"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "../../out"),
        member("link", tarfile.LNKTYPE, "../out"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=["dots", "inner dots", "absolute link", "link out", "hard link out", "device", "pipe"],
)
def test_a_dangerous_tar_member_stops_and_writes_nothing_outside(tmp_path: Path, info: tarfile.TarInfo) -> None:
    target = tmp_path / "inside" / "target"
    target.mkdir(parents=True)
    with pytest.raises(UserError, match="dangerous member"):
        extract_tar(make_tar(tmp_path / "a.tar", (info, b"")), target)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "inside", "target"]


def test_an_absolute_tar_name_lands_inside(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    extract_tar(make_tar(tmp_path / "a.tar", (member("/abs/file"), b"x")), target)
    assert (target / "abs/file").read_bytes() == b"x"


def test_a_tar_that_unpacks_to_too_much_stops(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", (member("big"), b"\0" * 5000))
    with pytest.raises(UserError, match="too much"):
        extract_tar(path, tmp_path / "target", max_bytes=4000)


def test_a_tar_bomb_stops_before_its_content_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("first", "second"):
            info = member(name)
            info.size = 12_000_000
            archive.addfile(info, io.BytesIO(bytes(12_000_000)))
    with pytest.raises(UserError, match="unpacks to too much"):
        extract_tar(path, tmp_path / "target")
    assert not (tmp_path / "target/second").exists()


def test_two_tar_members_of_one_name_stop(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", (member("a/b"), b"one"), (member("a/b"), b"two"))
    with pytest.raises(UserError, match=r"two members of one name[\s\S]*a/b"):
        extract_tar(path, tmp_path / "target")


@pytest.mark.slow
def test_a_tar_of_a_hundred_thousand_members_is_unpacked_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(100_000):
            archive.addfile(member(f"{number % 100:02d}/{number:06d}"))
    assert extract_tar(path, tmp_path / "target") == 100_000
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "target")) == 100_000


def test_a_good_tar_is_unpacked_and_a_cut_one_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = member("a/b.png")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(bytes(range(250)) * 400))
    assert extract_tar(path, tmp_path / "target") == 1
    assert problem_of(path, path.name) == ""
    path.write_bytes(path.read_bytes()[:-30])
    assert "not a whole archive" in problem_of(path, path.name)
    with pytest.raises(UserError, match="cannot read an archive"):
        extract_tar(path, tmp_path / "other")


def test_a_flipped_byte_in_a_zip_is_found(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.off", bytes(range(256)) * 20)])
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(bytes(data))
    assert problem_of(path, "a.zip") != ""
