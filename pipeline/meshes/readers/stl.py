"""STL, text or binary, every byte counted.

    solid name                            binary: 80 bytes of anything, uint32 number of triangles, then for each
      facet normal 0 0 1                  12 float32 (normal, three corners) and 2 bytes of attributes
        outer loop
          vertex 0 0 0                    ... three of them
        endloop
      endfacet
    endsolid name                         several solids may follow one another

A binary file may begin with ``solid`` too, so its size decides: 84 + 50 n bytes.  Equal corners become one vertex.
Format: 3D Systems, "SLC / STL Interface Specification"; https://www.fabbers.com/tech/STL_Format.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
# Possessive, because a gap of megabytes would otherwise be gone through once more from each of its bytes.
_SOLID = re.compile(rb"\s*+solid\b", re.IGNORECASE)
_PARTS = re.compile(
    rb"\s*+facet\s++normal(?:\s++\S++){3}\s++outer\s++loop((?:\s++vertex(?:\s++\S++){3}){3})"
    rb"\s++endloop\s++endfacet(?=\s)",
    re.IGNORECASE,
)
_END = re.compile(rb"\s*+endsolid(?:[ \t][^\n\r]*+)?(?:[\n\r]++|$)", re.IGNORECASE)
_REST = re.compile(rb"\s*+\Z")
_HEAD = re.compile(rb"\s*+solid(?:[ \t][^\n\r]*+)?[\n\r]++", re.IGNORECASE)


@np.errstate(all="ignore")  # numbers that are none or too large: the mesh is refused later
def read_stl(data: bytes) -> Mesh:
    """STL bytes -> Mesh; Reject: `truncated`, `malformed`, `bad_number`, `count_mismatch`, `no_faces`."""
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    size = 84 + count * _TRIANGLE.itemsize
    if count >= 0 and (len(data) == size or (_SOLID.match(data) is None and not data[size:].strip(b"\0\r\n\t "))):
        if len(data) < size:
            raise Reject("truncated", f"{len(data)} bytes cannot hold the {count} triangles of the binary STL file")
        corners = np.frombuffer(data, _TRIANGLE, count, 84)["corners"].astype(np.float64)
    elif _SOLID.match(data) is None:
        raise Reject("malformed", "no STL file: neither `solid` at the start nor the size of a binary one")
    else:
        corners = _read_text(data)
    if not len(corners):
        raise Reject("no_faces", "the STL file has no triangles")
    places = corners.reshape(-1, 3) + 0.0  # -0 becomes 0
    number = np.zeros(len(places), dtype=np.int64)
    for axis in range(3):  # much faster than np.unique of rows
        values, rank = np.unique(places[:, axis], return_inverse=True)
        _, first, number = np.unique(number * len(values) + rank, return_index=True, return_inverse=True)
    return Mesh(places[first], number.reshape(-1, 3).astype(np.int64))


def _read_text(data: bytes) -> npt.NDArray[np.float64]:
    """(F, 3, 3) corners of all solids of a text file."""
    words: list[bytes] = []
    at = 0
    while _REST.match(data, at) is None:
        head = _HEAD.match(data, at)
        if head is None:
            raise Reject("malformed", _place(data, at, "`solid` is expected"))
        at = head.end()
        while (facet := _PARTS.match(data, at)) is not None:
            words += [word for word in facet[1].split() if word.lower() != b"vertex"]
            at = facet.end()
        end = _END.match(data, at)
        if end is None:
            if b"endsolid" not in data[at:].lower():
                raise Reject("truncated", "the STL file ends before `endsolid`")
            raise Reject("malformed", _place(data, at, "`facet` or `endsolid` is expected"))
        at = end.end()
    if any(b"_" in word for word in words):  # which Python's float() would pass over
        raise Reject("bad_number", "a vertex of the STL file has an underscore, which is no part of a number")
    try:
        return np.array([float(word) for word in words], dtype=np.float64).reshape(-1, 3, 3)
    except ValueError as error:
        raise Reject("bad_number", f"a vertex of the STL file is no number: {error}") from error


def _place(data: bytes, at: int, wanted: str) -> str:
    line = data.count(b"\n", 0, at) + 1
    return f"line {line} of the STL file: {wanted}"
