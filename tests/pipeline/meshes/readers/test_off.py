"""The OFF reader: exact numbers, every legal form, and a typed reason for every malformed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.readers.off import read_off

BODY = b"0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"
VALID = {
    "plain": b"OFF\n4 2 0\n" + BODY,
    "glued header": b"OFF4 2 0\n" + BODY,
    "counts on the keyword's line": b"OFF 4 2 0\n" + BODY,
    "no edge count": b"OFF\n4 2\n" + BODY,
    "windows line ends": (b"OFF\n4 2 0\n" + BODY).replace(b"\n", b"\r\n"),
    "comments": b"# hello\nOFF # keyword\n# counts\n4 2 0 # here\n#\n" + BODY + b"# end\n",
    "blank lines": b"\n\nOFF\n\n4 2 0\n\n" + BODY.replace(b"\n", b"\n\n"),
    "no last line end": (b"OFF\n4 2 0\n" + BODY).rstrip(),
    "byte order mark": b"\xef\xbb\xbfOFF\n4 2 0\n" + BODY,
    "face colours": b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 3 0.5 0.5 0.5 1\n",
    "quadrilateral": b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n",
    "points and lines": b"OFF\n4 4 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n1 0\n2 0 1\n3 0 1 2\n3 0 2 3\n",
    "vertex colours": b"COFF\n4 2 0\n0 0 0 9 9 9 255\n1 0 0 9 9 9 255\n1 1 0 9 9 9\n0 1 0 1 1 1\n3 0 1 2\n3 0 2 3\n",
    "exponents": b"OFF\n4 2 0\n0e5 0 -0.\n1e0 .0 0\n10E-1 +1 0\n0 0.1e1 0\n3 0 1 2\n3 0 2 3\n",
}
MALFORMED = {
    "empty": (b"", "not_off"),
    "other file": (b"ply\nformat ascii 1.0\n", "not_off"),
    "word that starts like it": (b"OFFICE 4 2 0\n" + BODY, "not_off"),
    "html": (b"<html>403</html>", "not_off"),
    "binary": (b"OFF BINARY\n\0\0\0\4", "unsupported"),
    "only the keyword": (b"OFF\n", "bad_header"),
    "one count": (b"OFF\n4\n", "bad_header"),
    "negative count": (b"OFF\n-4 2 0\n" + BODY, "bad_header"),
    "count of words": (b"OFF\nfour two 0\n" + BODY, "bad_header"),
    "fraction as a count": (b"OFF\n4.5 2 0\n" + BODY, "bad_header"),
    "billions of vertices": (b"OFF\n999999999 2 0\n" + BODY, "truncated"),
    "billions of faces": (b"OFF\n4 999999999 0\n" + BODY, "truncated"),
    "more digits than allowed": (b"OFF\n99999999999999 2 0\n" + BODY, "bad_header"),
    "cut within vertices": (b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0 0.123456789", "truncated"),
    "cut within faces": (b"OFF\n4 2 0\n0 0 0 1 0 0 1 1 0 0 1 0\n3 0 1 2\n3 0        ", "truncated"),
    "last face missing": (b"OFF\n4 2 0\n0.00 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n", "truncated"),
    "too many lines": (b"OFF\n4 1 0\n" + BODY, "count_mismatch"),
    "nan": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"nan 1 0"), "bad_number"),
    "infinity": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"inf 1 0"), "bad_number"),
    "overflow": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"1e999 1 0"), "bad_number"),
    "word as a coordinate": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"x 1 0"), "bad_number"),
    "two points": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"1.1.1 1 0"), "bad_number"),
    "empty exponent": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"1e 1 0"), "bad_number"),
    "hexadecimal": (b"OFF\n4 2 0\n" + BODY.replace(b"1 1 0", b"0x1 1 0"), "bad_number"),
    "index out of range": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"3 0 2 4"), "bad_index"),
    "negative index": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"3 0 2 -1"), "bad_index"),
    "fraction as an index": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"3 0 2 1.5"), "bad_number"),
    "face of 0 corners": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"0"), "bad_count"),
    "face of a billion corners": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"999999999 0 1 2"), "truncated"),
    "word behind a face": (b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"3 0 2 3 red"), "bad_number"),
    "no faces": (b"OFF\n4 0 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n", "no_faces"),
    "only lines": (b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n2 0 1\n", "no_faces"),
    "zero bytes": (b"OFF\n4 2 0\n" + b"\0" * 80, "bad_number"),
}


@pytest.mark.parametrize("name", VALID)
def test_every_legal_form_gives_the_square(name: str) -> None:
    vertices, faces = read_off(VALID[name])
    assert np.array_equal(vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert np.array_equal(faces, [[0, 1, 2], [0, 2, 3]])
    assert (vertices.dtype, faces.dtype) == (np.float64, np.int64)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_with_a_typed_reason(name: str) -> None:
    data, reason = MALFORMED[name]
    with pytest.raises(Reject) as caught:
        read_off(data, "chair.off")
    assert caught.value.reason == reason
    assert caught.value.detail.startswith("chair.off: ")


def test_the_message_names_the_line() -> None:
    with pytest.raises(Reject, match=r"bad_index: line 8: a face names a vertex that does not exist"):
        read_off(b"OFF\n4 2 0\n" + BODY.replace(b"3 0 2 3", b"3 0 2 4"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=9, max_size=9))
def test_numbers_are_those_of_python_float(values: list[float]) -> None:
    lines = [" ".join(repr(v) for v in values[i : i + 3]) for i in (0, 3, 6)]
    vertices, _ = read_off(("OFF\n3 1 0\n" + "\n".join(lines) + "\n3 0 1 2\n").encode())
    assert vertices.reshape(-1).tolist() == values


@settings(max_examples=60, deadline=None)
@given(st.text("0123456789", min_size=1, max_size=30), st.text("0123456789", max_size=30), st.integers(-30, 30))
def test_long_decimals_are_exact(whole: str, fraction: str, exponent: int) -> None:
    word = f"{whole}.{fraction}e{exponent}"
    vertices, _ = read_off(f"OFF\n3 1 0\n{word} 0 0\n1 0 0\n0 1 -{word}\n3 0 1 2\n".encode())
    assert (vertices[0, 0], vertices[2, 2]) == (float(word), -float(word))


def test_polygons_become_fans() -> None:
    ring = "".join(f"{np.cos(a):.6f} {np.sin(a):.6f} 0\n" for a in np.arange(7))
    _, faces = read_off(f"OFF\n7 2 0\n{ring}7 0 1 2 3 4 5 6\n3 0 1 2\n".encode())
    assert faces.tolist() == [[0, i, i + 1] for i in range(1, 6)] + [[0, 1, 2]]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_give_a_mesh_or_a_reason(place: int, junk: bytes) -> None:
    data = VALID["plain"]
    try:
        vertices, faces = read_off(data[:place] + junk + data[place + len(junk) :])
        assert faces.max() < len(vertices)
    except Reject as reject:
        assert reject.reason


def test_real_files_with_the_glued_header(shared_data: Path) -> None:
    vertices, faces = read_off((shared_data / "nasty/modelnet_glued_header/bathtub_0002.off").read_bytes())
    assert (vertices.shape, faces.shape) == ((700, 3), (664, 3))


def test_a_last_number_that_may_be_cut_is_refused() -> None:
    corners = "".join(f"{k} {k * k} 0\n" for k in range(30))
    whole = f"OFF\n30 2 0\n{corners}3 0 1 2\n3 3 4 25"
    assert read_off(whole.encode())[1].tolist() == [[0, 1, 2], [3, 4, 25]]
    for end in ("", " ", "\n", " # note", " 255 0 0"):
        assert read_off(f"{whole[:-1]}{end or chr(13)}".encode())[1][1].tolist() == [3, 4, 2]
    for end in ("\n# version 2", "\n#2", " \r 0.25 2", " \r-1 2", " \r# 2"):
        assert read_off(f"{whole[:-1]}{end}".encode())[1][1].tolist() == [3, 4, 2]
    with pytest.raises(Reject, match="truncated.*may be cut"):
        read_off(whole[:-1].encode())
