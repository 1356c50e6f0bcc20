"""One resolver for the names in every format, in folders and in zips."""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from pipeline.meshes.files import Files

COMPOSED, APART = "Stühle é.png", unicodedata.normalize("NFD", "Stühle é.png")


def folder_of(root: Path, names: list[str]) -> Files:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return Files.of_folder(root)


def zip_of(_: Path, names: list[str]) -> Files:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(f"set/{name}", name.encode())
    return Files.of_zip(zipfile.ZipFile(out), "set/")


@pytest.fixture(params=[folder_of, zip_of], ids=["folder", "zip"])
def make(request: pytest.FixtureRequest):
    return request.param


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("m/wood.jpg", "Wood.JPG"),
        ("m/WOOD.JPG", "wood.jpg"),
        ("Images/wood.jpg", "../images/wood.jpg"),
        ("m/tex/wood.jpg", "tex\\wood.jpg"),
        ("m/tex/wood.jpg", ".\\Tex\\wood.jpg"),
        (f"m/{COMPOSED}", APART),
        (f"m/{APART}", COMPOSED),
        (f"m/{APART}", COMPOSED.upper()),
        ("m/my wood.jpg", '"my wood.jpg"'),
        ("m/my wood.jpg", "'my wood.jpg'"),
        ("m/wood.jpg", "wood.jpg # the seat"),
        ("m/wood.jpg", '"wood.jpg" # the seat'),
        ("m/wood #2.jpg", "wood #2.jpg"),
        ("m/wood.jpg", "C:\\Users\\me\\textures\\Wood.jpg"),
        ("m/wood.jpg", "/home/me/textures/wood.jpg"),
        ("m/wood.jpg", "textures/wood.jpg"),
        ("m/textures/wood.jpg", "D:\\work\\model\\Textures\\wood.jpg"),
        ("m/textures/wood.jpg", "../../model/textures/wood.jpg"),
        ("m/my wood.jpg", "my%20wood.jpg"),
        ("m/100%25.jpg", "100%25.jpg"),
        ("m/wood.jpg", "  wood.jpg "),
        ("m/it's (1) & [2], 50%.jpg", "it's (1) & [2], 50%.jpg"),
    ],
)
def test_names_as_people_write_them(make, tmp_path: Path, there: str, written: str) -> None:
    files = make(tmp_path, [there])
    assert files.beside("m/model.obj")(written) == there.encode()
    assert (files.missing, files.refused) == ([], [])


def test_the_exact_name_wins_over_one_in_another_case(make, tmp_path: Path) -> None:
    files = make(tmp_path, ["m/wood.jpg", "m/Wood.jpg", "wood.JPG"])
    read = files.beside("m/model.obj")
    assert (read("wood.jpg"), read("Wood.jpg"), read("../wood.JPG")) == (b"m/wood.jpg", b"m/Wood.jpg", b"wood.JPG")
    assert read("WOOD.JPG") == b"m/Wood.jpg"  # the first in order, the same on every machine


@pytest.mark.parametrize(
    "written", ["../../secret", "/secret", "C:\\secret", "~/secret", "a/../../../secret", "../..", "x\0y", "\ud800.png"]
)
def test_nothing_outside_the_root(make, tmp_path: Path, written: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root").mkdir()
    files = make(tmp_path / "root", ["m/model.obj"])
    assert files.beside("m/model.obj")(written) is None
    assert files.refused == [written]


def test_the_longest_end_of_a_path_that_is_there_is_taken(make, tmp_path: Path) -> None:
    files = make(tmp_path, ["m/wood.jpg", "m/seat/wood.jpg", "m/back/wood.jpg"])
    read = files.beside("m/model.obj")
    assert read("C:\\chairs\\back\\wood.jpg") == b"m/back/wood.jpg"
    assert read("C:\\chairs\\legs\\wood.jpg") == b"m/wood.jpg"


def test_a_mesh_itself_is_taken_from_its_own_place_only(make, tmp_path: Path) -> None:
    files = make(tmp_path, ["m/model.obj", "model.obj"])
    assert files.exact("M/Model.OBJ") == b"m/model.obj"
    assert files.exact("old/model.obj") is None


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    files = folder_of(tmp_path / "root", ["m/model.obj"])
    (tmp_path / "root/m/link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root/m/LOOP.png").symlink_to(tmp_path / "root/m/LOOP.png")
    (tmp_path / "root/up").symlink_to(tmp_path)
    read = files.beside("m/model.obj")
    assert [read(name) for name in ("link.png", "LINK.PNG", "loop.png", "../up/secret.png", "../UP/secret.png")] == [
        None
    ] * 5


@pytest.mark.parametrize("written", ["gone.png", "m/gone.png", "x" * 5000, "a/" * 500 + "b", ".", ""])
def test_what_is_not_there_is_noted(make, tmp_path: Path, written: str) -> None:
    files = make(tmp_path, ["m/model.obj"])
    assert files.beside("m/model.obj")(written) is None
    assert files.missing == [written]


def test_names_in_latin_1(tmp_path: Path) -> None:
    files = folder_of(tmp_path, ["m/model.obj"])
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/m/St\xfchle.png")).write_bytes(b"old")
    assert files.beside("m/model.obj")("Stühle.png") == b"old"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("St_hle.png", b"zipped")
    raw = out.getvalue().replace(b"St_hle.png", b"St\xfchle.png")  # as zip programs of Windows wrote them
    assert Files.of_zip(zipfile.ZipFile(io.BytesIO(raw))).read("stühle.png") == b"zipped"
