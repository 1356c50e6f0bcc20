"""What -o means is one rule, and no name becomes a folder that was meant as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.outputs import one_format, output_of

KNOWN = (".glb", ".npy")


@pytest.mark.parametrize("given", ["out.glb", "a.b/out.NPY", "v1.0.glb", "./out.glb"])
def test_a_known_suffix_is_a_file(given: str) -> None:
    output = output_of(given, KNOWN)
    assert not output.is_folder and output.suffix == Path(given).suffix.lower() and output.path == Path(given)


@pytest.mark.parametrize("given", ["out", "out/", "out.glb/", "v1.0/", ".", "..", "a/..", "/", ".hidden"])
def test_no_suffix_or_a_slash_is_a_folder(given: str) -> None:
    assert output_of(given, KNOWN).is_folder


@pytest.mark.parametrize("given", ["out.png", "out.", "v1.0", "a/b.tar.gz", "", "out.npz"])
def test_all_else_is_an_error(given: str) -> None:
    if given == "out.":  # an empty suffix is none
        assert output_of(given, KNOWN).is_folder
        return
    with pytest.raises(UserError, match=r"wanted: a file that ends in \.glb, \.npy, or a folder[\s\S]*slash"):
        output_of(given, KNOWN)


def test_a_folder_that_exists_is_a_folder_unless_its_name_says_file(tmp_path: Path) -> None:
    for name in ("tmp.AbC", "out.glb"):
        (tmp_path / name).mkdir()
    assert output_of(str(tmp_path / "tmp.AbC"), KNOWN).is_folder
    with pytest.raises(UserError, match="a folder stands where a file is wanted"):
        output_of(str(tmp_path / "out.glb"), KNOWN)


def test_a_dash_is_standard_output_where_one_file_can_be_made(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with output_of("-", KNOWN, streamed=".npy").place() as place:
        assert place.suffix == ".npy"
        place.write_bytes(b"\x00whole\n")
    assert capfdbinary.readouterr().out == b"\x00whole\n"
    with pytest.raises(UserError, match="this cannot go to standard output"):
        output_of("-", KNOWN)


def test_several_files_do_not_go_into_one() -> None:
    output_of("out.glb", KNOWN).require_folder(1, "shapes")
    output_of("out/", KNOWN).require_folder(16, "shapes")
    with pytest.raises(UserError, match=r"16 shapes do not go into one file[\s\S]*name a folder, such as out/"):
        output_of("out.glb", KNOWN).require_folder(16, "shapes")
    with pytest.raises(UserError, match="name a folder"):
        output_of("-", KNOWN, streamed=".glb").require_folder(2, "shapes")


def test_the_suffix_says_the_format_and_an_option_must_agree() -> None:
    assert one_format(None, output_of("a.npy", KNOWN), "-t", ".glb") == ".npy"
    assert one_format(None, output_of("a/", KNOWN), "-t", ".glb") == ".glb"
    assert one_format("npy", output_of("a", KNOWN), "-t", ".glb") == ".npy"
    with pytest.raises(UserError, match="two formats are asked for at once"):
        one_format("glb", output_of("a.npy", KNOWN), "-t", ".glb")
