"""Damaged mesh files of the plain formats are read or refused: none crashes, hangs or eats the memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.normalise import normalise
from pipeline.seeds import generator
from tests.pipeline.meshes.mutations import mutated, outcomes, rounds
from tests.pipeline.meshes.readers.samples import SAMPLES, picture

MTL = b"""# two materials
newmtl wood # old
Kd 0.5 0.25 0.125
d 0.75
map_Kd -s 2 2 -o 0.5 0 -clamp on wood.png
map_d "wood.png"
newmtl glass
Kd 0 0 1
Tr 0.5
map_Kd C:\\pictures\\Wood.PNG
"""
BLANKS_BYTES = 30_000_000


def to_the_end(name: str, data: bytes, mtl: bytes = MTL) -> Mesh:
    """Read and normalised, as `prepare` does it."""
    files = {name: data, "m.mtl": mtl, "wood.png": picture()}
    loaded = load_member(name, Files(files.get, lambda _: list(files)))
    mesh = normalise(loaded.mesh, np.eye(3), max_faces=10**7)[0]
    assert mesh.faces.max() < len(mesh.vertices) and np.abs(mesh.vertices).max() <= 0.5
    return mesh


@pytest.mark.parametrize("name", SAMPLES)
def test_the_files_themselves_are_read(name: str) -> None:
    assert len(to_the_end(name, SAMPLES[name]).faces) >= 12


@pytest.mark.parametrize("name", SAMPLES)
def test_fuzz_of_bytes(name: str) -> None:
    files = (mutated(SAMPLES[name], generator(seed, "bytes", name)) for seed in range(rounds(40)))
    counts, fatal = outcomes(functools.partial(to_the_end, name), files)
    assert not fatal, counts
    assert len(counts) > 1, counts


def test_fuzz_of_materials() -> None:
    name = "mixed.obj"
    files = (mutated(MTL, generator(seed, "mtl")) for seed in range(rounds(60)))
    counts, fatal = outcomes(lambda mtl: to_the_end(name, SAMPLES[name], mtl), files)
    assert not fatal, counts
    assert set(counts) == {"read"}, "a damaged material costs its colour, never the shape"


def swapped(data: bytes, rng: np.random.Generator) -> bytes:
    """The text with one to three of its words replaced by others, or lines of it moved."""
    lines = [line.split(b" ") for line in data.split(b"\n")]
    for _ in range(int(rng.integers(1, 4))):
        line, other = (lines[int(k)] for k in rng.integers(0, len(lines), 2))
        word = int(rng.integers(len(line)))
        if rng.integers(4):
            line[word] = WORDS[int(rng.integers(len(WORDS)))]
        else:
            line[:], other[:] = list(other), list(line)
    return b"\n".join(b" ".join(line) for line in lines)


WORDS = [
    *b"0 -1 1 4294967296 99999999999999999999 1e308 -1e-320 1e999 nan inf .5 1. 1_0 0x1 / // 1/ 1//1 -9/-9".split(),
    *b"v f vt usemtl mtllib element property list uchar double end_header ply OFF COFF solid facet vertex # \\".split(),
    b"",
    b"\0",
    b"\r",
    b"\t\t",
    b"\xff\xfe",
    b"7" * 400,
]


@pytest.mark.parametrize("name", [name for name, data in SAMPLES.items() if b"\0" not in data])
def test_fuzz_of_words(name: str) -> None:
    files = (swapped(SAMPLES[name], generator(seed, "words", name)) for seed in range(rounds(40)))
    counts, fatal = outcomes(functools.partial(to_the_end, name), files)
    assert not fatal, counts
    assert len(counts) > 1, counts


@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.endswith(".obj")])
def test_fuzz_of_cuts(name: str) -> None:
    """Every format that says how much it holds refuses a file that holds less; an OBJ does not say it."""
    whole = SAMPLES[name]
    full = to_the_end(name, whole)
    for cut in range(0, len(whole.rstrip()), 1 if rounds(0) else 7):
        try:
            mesh = to_the_end(name, whole[:cut])
        except Reject as reject:
            assert reject.reason
        else:
            if name == "text.stl":  # which does not say how many solids there are
                assert b"endsolid" in whole[:cut].splitlines()[-1]
            else:  # what is gone is no part of the shape, but the colour of the last face
                assert name == "colours.off" and np.array_equal(mesh.triangles, full.triangles), cut


@pytest.mark.parametrize("gap", [b" ", b"\n", b" \r\n", b"# nothing\n"])
def test_fuzz_of_blanks(gap: bytes) -> None:
    """Files that are one large gap take no more than their own size, some times over."""

    def files() -> Iterator[tuple[str, bytes]]:
        for name in ("counts.off", "mixed.obj", "text.ply", "text.stl"):
            lines = SAMPLES[name].split(b"\n")
            for at in (1, len(lines) // 2, len(lines) - 1) if rounds(0) else (1,):
                yield name, b"\n".join([*lines[:at], gap * (BLANKS_BYTES // len(gap)), *lines[at:]])

    counts, fatal = outcomes(lambda pair: to_the_end(*pair), files())
    assert not fatal, counts
    assert counts["read"] or gap.startswith(b"#"), counts
