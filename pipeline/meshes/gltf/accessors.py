"""Accessors become arrays: every component type, strides, normalised integers, sparse values.

    accessor    count elements of `type` (SCALAR, VEC2 ...) and `componentType`, from byteOffset of
                a buffer view on; the view's byteStride tells how far apart they lie
    sparse      other values for some of the elements: their numbers (growing) and the values
    normalized  integers stand for [0, 1] or [-1, 1]: c / 255, max(c / 127, -1) ... (3.6.2.2)

An accessor without a buffer view is all zeros, so its size is bounded by nothing in the file:
such elements are counted, and too many of them are refused before any memory is taken.
Specification, section 3.6: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Shaped

from pipeline.conventions import Array
from pipeline.errors import Reject
from pipeline.meshes.gltf.container import Buffers
from pipeline.meshes.gltf.document import Item, malformed

Stored: TypeAlias = Shaped[Array, "_N _W"]  # elements, each of one or more components

# Components of an accessor: specification, table in 3.6.2.2.
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
UNSIGNED = (5121, 5123, 5125)
MOST_ELEMENTS = 3 * 2**24  # of one accessor: the corners of 16.7 million triangles
MOST_ZEROS = 2**22  # elements that stand nowhere in the file


@dataclass(frozen=True)
class Values:
    """What an accessor holds, as it is stored."""

    raw: Stored  # of the accessor's component type
    normalised: bool

    def floats(self, *, normalised: bool | None = None) -> Float64[Array, "_N _W"]:
        """The numbers that are meant; `normalised` overrides what the accessor says of integers."""
        is_normalised = self.normalised if normalised is None else normalised
        if self.raw.dtype.kind == "f" or not is_normalised:
            return self.raw.astype(np.float64)
        largest = float(np.iinfo(self.raw.dtype).max)
        return np.asarray(np.maximum(self.raw / largest, -1.0))


class Accessors:
    """Reads accessors by their number, each once."""

    def __init__(self, root: Item, buffers: Buffers):
        self.root, self._buffers = root, buffers
        self._read: dict[int, Values] = {}
        self._zeros = 0

    def read(self, number: int, by: str, *, kinds: Collection[str], components: Collection[int] = COMPONENTS) -> Values:
        """The values of an accessor of one of these types and component types, which `by` names."""
        item = self.root.entry("accessors", number, by)
        kind, component = item.text("type"), item.whole("componentType")
        if kind not in kinds or component not in components:
            malformed(
                by, f"accessor {number} of {kind} and {component}", f"{' or '.join(kinds)} of {sorted(components)}"
            )
        if number not in self._read:
            values = self._stored(item, WIDTHS[kind], np.dtype(COMPONENTS[component]))
            self._read[number] = Values(values, item.flag("normalized"))
        return self._read[number]

    def _stored(self, item: Item, width: int, dtype: np.dtype[Any]) -> Stored:
        count = item.whole("count", low=1)
        if count > MOST_ELEMENTS:
            raise Reject("too_large", f"glTF: {item.where} has {count} elements, at most {MOST_ELEMENTS} are read")
        view = item.index("bufferView")
        if view is None:
            self._zeros += count
            if self._zeros > MOST_ZEROS:
                raise Reject("too_large", f"glTF: {self._zeros} elements without a buffer view, at most {MOST_ZEROS}")
            values: Stored = np.zeros((count, width), dtype)
        else:
            values = self._viewed(item, view, count, width, dtype)
        sparse = item.item("sparse")
        return values if sparse is None else self._with_sparse(values, sparse)

    def _viewed(self, item: Item, view: int, count: int, width: int, dtype: np.dtype[Any]) -> Stored:
        """(count, width) elements of a buffer view, which are not copied."""
        held, stride = self._buffers.view(view, item.place("bufferView"))
        start, size = item.whole("byteOffset", 0), width * dtype.itemsize
        step = size if stride is None else stride
        if step < size:
            malformed(item.where, f"a stride of {step} bytes", f"at least the {size} of one element")
        if start + step * (count - 1) + size > len(held):
            malformed(item.where, f"{count} elements in {len(held)} bytes", "elements that lie inside the buffer view")
        return np.ndarray((count, width), dtype, held, start, (step, dtype.itemsize))

    def _with_sparse(self, values: Stored, sparse: Item) -> Stored:
        count = sparse.whole("count", low=1, high=len(values))
        places, stored = sparse.wanted("indices"), sparse.wanted("values")
        component = places.whole("componentType")
        if component not in UNSIGNED:
            malformed(places.place("componentType"), component, f"one of {UNSIGNED}")
        view = places.whole("bufferView")
        chosen = self._viewed(places, view, count, 1, np.dtype(COMPONENTS[component]))[:, 0].astype(np.int64)
        if chosen[-1] >= len(values) or (np.diff(chosen) <= 0).any():
            malformed(places.where, f"numbers up to {chosen.max()}", f"growing numbers below {len(values)}")
        out = values.copy()
        view = stored.whole("bufferView")
        out[chosen] = self._viewed(stored, view, count, values.shape[1], values.dtype)
        return out
