r"""The .binvox file: reader and writer; its x-z-y order is known here and nowhere else.

An example of 32^3 voxels, as Patrick Min's binvox writes it::

    #binvox 1
    dim 32 32 32
    translate -0.5 -0.5 -0.5
    scale 1
    data
    \x00\xff\x01\x03 ...

After ``data`` come byte pairs (value 0 or 1, count 1..255).  Runs are cut at 255 and never
joined or split otherwise, so equal voxels give equal bytes.  Runs of length 0 are read and
never written: binvox-rw-py and trimesh write one behind each run whose length is a multiple
of 255.  Order: x slowest, then z, then y fastest; the three numbers of ``dim`` are the sizes
in that order (published reader, https://www.patrickmin.com/binvox/binvox.html).  A voxel's
centre in the mesh's own coordinates is ``translate + scale * (i + 0.5) / max(dim)``.

Headers of real files hold comments, blank lines and tabs; old ones lack translate and
scale (then 0 and 1).  Anything else is refused, sizes before any memory is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.conventions import Array, Cuboid
from pipeline.errors import Reject

MAX_DIM = 1024
MAX_HEADER_BYTES = 65_536
_MAGIC = b"#binvox"


@dataclass(frozen=True)
class Binvox:
    """The content of one file."""

    grid: Cuboid
    translate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    @property
    def pitch(self) -> float:
        """Side of one voxel in the mesh's own units."""
        return self.scale / int(max(self.grid.shape))


@dataclass(frozen=True)
class Header:
    """The text part of one file; `data_at` is the offset of the first run."""

    dim_xzy: tuple[int, int, int]
    translate: tuple[float, float, float]
    scale: float
    data_at: int


def read_binvox(data: bytes, *, cubic: bool = True) -> Binvox:
    """Decode a file; Reject("bad_binvox") says what is wrong with a malformed one.

    `cubic` False also takes the fitted grids that ``-fit`` writes.
    """
    header = read_header(data)
    if cubic and len(set(header.dim_xzy)) > 1:
        raise _bad(f"the grid is not a cube: dim {' '.join(map(str, header.dim_xzy))}")
    values, counts = _runs(data[header.data_at :], math.prod(header.dim_xzy))
    grid = np.repeat(values.astype(bool), counts).reshape(header.dim_xzy).transpose(0, 2, 1)
    return Binvox(np.ascontiguousarray(grid), header.translate, header.scale)


def write_binvox(grid: Cuboid, translate: tuple[float, float, float] = (-0.5, -0.5, -0.5), scale: float = 1.0) -> bytes:
    """Encode an (X, Y, Z) grid; the default frame is the unit box of pipeline/conventions.py."""
    x, y, z = grid.shape
    text = f"#binvox 1\ndim {x} {z} {y}\ntranslate {' '.join(map(_number, translate))}\nscale {_number(scale)}\ndata\n"
    return text.encode("ascii") + encode_runs(np.asarray(grid, dtype=bool).transpose(0, 2, 1).reshape(-1))


def encode_runs(flat: Bool[Array, " N"]) -> bytes:
    """(N,) bool in file order -> (value, count) byte pairs, long runs cut at 255."""
    ends = np.flatnonzero(np.concatenate((flat[1:] != flat[:-1], [True]))) + 1
    lengths = np.diff(ends, prepend=0)
    pieces = (lengths + 254) // 255
    last = np.cumsum(pieces) - 1
    pairs = np.full((int(pieces.sum()), 2), 255, dtype=np.uint8)
    pairs[:, 0] = np.repeat(flat[ends - 1], pieces)
    pairs[last, 1] = lengths - (pieces - 1) * 255
    return pairs.tobytes()


def read_header(data: bytes) -> Header:
    """Parse the lines up to ``data``; nothing is allocated from what they claim."""
    if not data.startswith(_MAGIC):
        raise _bad("the file does not start with #binvox")
    fields: dict[bytes, list[bytes]] = {}
    at, first = 0, True
    while True:
        end = data.find(b"\n", at, MAX_HEADER_BYTES)
        if end < 0:
            raise _bad("the header has no line `data`")
        line, at = data[at:end], end + 1
        words = line.partition(b"#")[0].split()
        if first:
            first = False
            if line.split() != [_MAGIC, b"1"]:
                raise _bad(f"unknown version line {line[:40]!r}")
        elif words == [b"data"]:
            break
        elif words:
            if words[0] not in (b"dim", b"translate", b"scale") or words[0] in fields:
                raise _bad(f"unexpected header line {b' '.join(words)[:40]!r}")
            fields[words[0]] = words[1:]
    return Header(_dims(fields), *_placement(fields), at)


def _dims(fields: dict[bytes, list[bytes]]) -> tuple[int, int, int]:
    words = fields.get(b"dim", [])
    if len(words) != 3 or not all(word.isdigit() and len(word) <= 9 for word in words):
        raise _bad("the header needs `dim` and three whole numbers")
    x, z, y = (int(word) for word in words)
    if not all(1 <= size <= MAX_DIM for size in (x, z, y)):
        raise _bad(f"dim {x} {z} {y} is outside 1..{MAX_DIM}")
    return x, z, y


def _placement(fields: dict[bytes, list[bytes]]) -> tuple[tuple[float, float, float], float]:
    try:
        translate = [float(word) for word in fields.get(b"translate", [b"0"] * 3)]
        (scale,) = [float(word) for word in fields.get(b"scale", [b"1"])]
        x, y, z = translate
    except ValueError as error:
        raise _bad("translate needs three numbers and scale one") from error
    if not all(math.isfinite(value) for value in (x, y, z, scale)) or scale <= 0:
        raise _bad(f"translate {x:g} {y:g} {z:g}, scale {scale:g}: wanted finite numbers and a scale above 0")
    return (x, y, z), scale


def _runs(body: bytes, voxels: int) -> tuple[UInt8[Array, " N"], UInt8[Array, " N"]]:
    if len(body) % 2:
        raise _bad("the last run has a value but no count")
    if len(body) > 4 * voxels:  # each run may be followed by one of length 0
        raise _bad(f"{len(body) // 2} runs for {voxels} voxels")
    pairs = np.frombuffer(body, dtype=np.uint8).reshape(-1, 2)
    values, counts = pairs[:, 0], pairs[:, 1]
    if values.size and values.max() > 1:
        raise _bad(f"voxel value {values.max()}; only 0 and 1 are allowed")
    total = int(counts.sum(dtype=np.int64))
    if total != voxels:
        raise _bad(f"the runs hold {total} voxels, dim says {voxels}")
    return values, counts


def _number(value: float) -> str:
    return f"{value + 0.0:g}"  # + 0.0 turns -0 into 0


def _bad(detail: str) -> Reject:
    return Reject("bad_binvox", detail)
