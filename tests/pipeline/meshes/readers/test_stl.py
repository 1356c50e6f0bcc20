"""STL as text and binary; cut files are refused, and a binary file may begin with the word solid."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import trimesh

from pipeline.errors import Reject
from pipeline.meshes.readers.stl import read_stl

BALL = trimesh.creation.icosphere(subdivisions=1)
TEXT: bytes = BALL.export(file_type="stl_ascii").encode()
BINARY: bytes = BALL.export(file_type="stl")
FORMS = {
    "text": TEXT,
    "text of Windows": TEXT.replace(b"\n", b"\r\n"),
    "upper case": TEXT.upper(),
    "two solids": TEXT + b"solid second\nendsolid second\n",
    "binary": BINARY,
    "binary that begins with solid": b"solid by name only".ljust(80) + BINARY[80:],
    "binary with zeros behind": BINARY + b"\0" * 7,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_ball(form: str) -> None:
    mesh = read_stl(FORMS[form])
    theirs = trimesh.load(io.BytesIO(BINARY), file_type="stl", process=False)
    assert np.allclose(mesh.triangles, theirs.triangles, atol=1e-6)
    assert len(mesh.vertices) == len(BALL.vertices)  # corners are shared


@pytest.mark.parametrize("form", ["text", "binary", "binary that begins with solid"])
def test_no_cut_is_read(form: str) -> None:
    whole = FORMS[form].rstrip(b"\n") if form == "text" else FORMS[form]
    end = whole.rindex(b"endsolid") + len("endsolid") if form == "text" else len(whole)
    for size in range(0, end, 7):
        with pytest.raises(Reject):
            read_stl(whole[:size])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"solid a\nendsolid a\n", "no_faces"),
        (BINARY[:80] + b"\0\0\0\0", "no_faces"),
        (BINARY + b"more", "malformed"),
        (TEXT.replace(b"vertex", b"vertex x", 1), "malformed"),
        (re.sub(rb"vertex \S+", b"vertex x", TEXT, count=1), "bad_number"),
        (TEXT.replace(b"endloop", b"end loop", 1), "malformed"),
        (TEXT + b"something else", "malformed"),
        (b"nothing of the kind", "malformed"),
    ],
)
def test_damage_gets_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        read_stl(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("word", [b"1_0", b"0x1", b"one"])
def test_what_is_no_number_is_refused(word: bytes) -> None:
    facet = b"facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex %s 1 0\nendloop\nendfacet\n" % word
    with pytest.raises(Reject, match="bad_number"):
        read_stl(b"solid a\n" + facet + b"endsolid a\n")
