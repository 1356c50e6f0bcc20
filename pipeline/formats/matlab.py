"""A grid of voxels out of a MATLAB level 5 file; nothing is allocated that the grid does not need.

    128 bytes    text, version 0x0100, "IM" (little endian) or "MI"
    elements     type and size in 8 bytes, then the content: a matrix (14), or one deflated by zlib (15)
    a matrix     flags (class), dimensions, name, numbers: elements in turn, each padded to 8 bytes

An element of at most 4 bytes stands within its own 8: size and type in 16 bits each.  Numbers lie
with the first axis fastest, as the smallest type that holds them.  Specification: MathWorks,
"MAT-File Format", https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.

scipy.io.loadmat reads far more, in compiled code that a flipped byte can crash, and inflates
every variable of a file; this reader inflates the head of each, and the one grid once its
dimensions are known to be the wanted ones.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.conventions import Array, Grid
from pipeline.errors import Reject

_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _DEFLATED = 14, 15
_FLAGS, _DIMENSIONS, _NAME = 6, 5, 1
# Types of stored numbers, and the classes of arrays that hold numbers: table 1-1 and table 1-3.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x08
_HEAD_BYTES = 4096  # more than flags, 32 dimensions and a name take
_MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class _Head:
    """What stands before the numbers of a matrix."""

    name: str
    kind: int  # class of the array
    is_complex: bool
    shape: tuple[int, ...]
    numbers_at: int  # offset of their element in the matrix


def read_matlab_grid(data: bytes, name: str, side: int) -> Grid:
    """The boolean grid (side, side, side) that a file holds under `name`, in the file's own axes.

    Reject("malformed") for what is no such file or was cut, "bad_voxels" for another shape or other
    values than 0 and 1, "empty" for a grid without a voxel.
    """
    try:
        values = _numbers(data, name, (side,) * 3)
    except (struct.error, zlib.error) as error:
        raise _malformed(f"it is damaged: {error}") from error
    if not ((values == 0) | (values == 1)).all():
        raise Reject("bad_voxels", f"{name} has values other than 0 and 1")
    grid = np.asarray(values == 1)
    if not grid.any():
        raise Reject("empty", "no voxel is occupied")
    return grid


def _numbers(data: bytes, name: str, shape: tuple[int, ...]) -> Array:
    order = _byte_order(data)
    others: list[str] = []
    found: Array | None = None
    for kind, content in _elements(data, order):  # to the last one, so that a file that was cut is found out
        if kind not in (_MATRIX, _DEFLATED) or found is not None:
            continue
        inflate = zlib.decompressobj() if kind == _DEFLATED else None
        start = inflate.decompress(content, _HEAD_BYTES) if inflate else bytes(content[:_HEAD_BYTES])
        at = 0
        if inflate:
            inner, length, at = _tag(start, 0, order)
            if inner != _MATRIX:
                continue
        head = _head(start[at:], order)
        if head.name != name:
            others.append(head.name)
            continue
        _require_numbers(head, shape)
        if inflate is None:
            matrix = bytes(content)
        else:
            # The largest numbers, their tag, and what pads them; a bomb is not inflated further than that.
            most = at + head.numbers_at + 2 * _TAG_BYTES + 8 * math.prod(shape)
            rest = inflate.decompress(inflate.unconsumed_tail, max(1, most - len(start)))
            if not inflate.eof or at + length != len(start) + len(rest):
                raise _malformed(f"{name} does not have the size that it declares")
            matrix = (start + rest)[at:]
        found = _array(matrix, head, order)
    if found is None:
        raise Reject("bad_voxels", f"it holds {', '.join(others) or 'no array'}, and {name} is wanted")
    return found


def _byte_order(data: bytes) -> str:
    mark = data[_HEADER_BYTES - 2 : _HEADER_BYTES]
    order = {b"IM": "<", b"MI": ">"}.get(mark)
    if order is None:
        raise _malformed("it does not begin as a MATLAB file of level 5 does")
    version = struct.unpack_from(f"{order}H", data, _HEADER_BYTES - 4)[0]
    if version != 0x0100:
        what = "it is a MATLAB 7.3 file: save it with -v7" if version == 0x0200 else f"version {version:#06x}"
        raise _malformed(what)
    return order


def _elements(data: bytes, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of every element of the file."""
    at = _HEADER_BYTES
    while at < len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        end = at + _TAG_BYTES + length
        if end > len(data):
            raise _malformed(f"an element ends at byte {end} and the file at {len(data)}")
        yield kind, memoryview(data)[at + _TAG_BYTES : end]
        at = end


def _tag(data: bytes, at: int, order: str) -> tuple[int, int, int]:
    """(type, bytes, offset of the content) of the element at `at`."""
    kind, length = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:  # a small element
        return kind & 0xFFFF, kind >> 16, at + 4
    return kind, length, at + _TAG_BYTES


def _after(at: int, start: int, length: int) -> int:
    """Where the next element begins, after one at `at` whose content begins at `start`."""
    return at + _TAG_BYTES if start == at + 4 else start + -(-length // 8) * 8


def _head(start: bytes, order: str) -> _Head:
    kind, length, place = _tag(start, 0, order)
    if kind != _FLAGS or length != 8:
        raise _malformed("an array has no flags")
    flags = struct.unpack_from(f"{order}I", start, place)[0]
    at = _after(0, place, length)
    kind, length, place = _tag(start, at, order)
    if kind != _DIMENSIONS or length % 4 or not 8 <= length <= 4 * _MOST_DIMENSIONS:
        raise _malformed("an array has no dimensions")
    shape = struct.unpack_from(f"{order}{length // 4}i", start, place)
    at = _after(at, place, length)
    kind, length, place = _tag(start, at, order)
    name = start[place : place + length]
    if kind != _NAME or len(name) != length:
        raise _malformed("an array has no name")
    return _Head(name.decode("latin-1"), flags & 0xFF, bool(flags >> 8 & _COMPLEX), shape, _after(at, place, length))


def _require_numbers(head: _Head, shape: tuple[int, ...]) -> None:
    kind = _CLASSES.get(head.kind)
    if kind is None or head.is_complex or head.shape != shape:
        size = " x ".join(map(str, head.shape))
        what = "complex numbers" if head.is_complex else kind or f"an array of class {head.kind}"
        raise Reject("bad_voxels", f"{head.name} is {what}, {size}; {shape[0]}^{len(shape)} of 0 and 1 is wanted")


def _array(matrix: bytes, head: _Head, order: str) -> Array:
    """The numbers (shape) of a matrix."""
    kind, length, place = _tag(matrix, head.numbers_at, order)
    stored = _STORED.get(kind)
    if stored is None:
        raise _malformed(f"{head.name} holds elements of type {kind}, which are no numbers")
    dtype = np.dtype(order + stored)
    count = math.prod(head.shape)
    if length != count * dtype.itemsize or place + length > len(matrix):
        raise _malformed(f"{head.name} has {length} bytes for {count} numbers")
    return np.frombuffer(matrix, dtype, count, place).reshape(head.shape, order="F")


def _malformed(detail: str) -> Reject:
    return Reject("malformed", f"not a MATLAB file with voxels: {detail}")
