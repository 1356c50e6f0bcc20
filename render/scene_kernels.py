"""The compiled loops that run once a mesh: corner normals with a crease angle, texture levels."""

# The types are in the compiled signatures.
# mypy: allow-untyped-defs, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit

# A corner that more faces share than this is shaded flat; only fans of degenerate meshes have one.
MOST_NEIGHBOURS = 96


@njit("i8[::1](f8[:,::1])", cache=True, nogil=True)
def weld(vertices):
    """(V,) for every vertex the first vertex at the same place (an open-addressing hash table)."""
    count = vertices.shape[0]
    slots = 1
    while slots < 2 * count + 1:
        slots *= 2
    table = np.full(slots, -1, np.int64)
    first = np.empty(count, np.int64)
    bits = vertices.view(np.uint64)
    for v in range(count):
        key = np.uint64(1469598103934665603)
        for axis in range(3):
            # -0.0 and 0.0 are one place.
            part = bits[v, axis] if vertices[v, axis] != 0.0 else np.uint64(0)
            key = (key ^ part) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        slot = np.int64(key & np.uint64(slots - 1))
        while True:
            other = table[slot]
            if other < 0:
                table[slot] = v
                first[v] = v
                break
            if (
                vertices[other, 0] == vertices[v, 0]
                and vertices[other, 1] == vertices[v, 1]
                and vertices[other, 2] == vertices[v, 2]
            ):
                first[v] = other
                break
            slot = (slot + 1) & (slots - 1)
    return first


@njit("f4[:,:,::1](f8[:,::1], i4[:,::1], i8[::1], f8)", cache=True, nogil=True)
def corner_normals(vertices, faces, first, crease_cosine):
    """(F, 3, 3) unit normal of every corner, on the side of its own face's winding.

    A corner averages the area vectors of the faces at its place that bend less than the
    crease angle.  Neighbours wound the other way, or doubled back to back, are turned round
    first, so inconsistent winding does not cancel normals.
    """
    face_count = faces.shape[0]
    area = np.empty((face_count, 3))
    size = np.empty(face_count)
    start = np.zeros(vertices.shape[0] + 1, np.int64)
    for f in range(face_count):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        area[f, 0], area[f, 1], area[f, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        size[f] = np.sqrt(area[f, 0] ** 2 + area[f, 1] ** 2 + area[f, 2] ** 2)
        for corner in range(3):
            start[first[faces[f, corner]] + 1] += 1
    for v in range(vertices.shape[0]):
        start[v + 1] += start[v]
    fill = start[:-1].copy()
    around = np.empty(3 * face_count, np.int64)
    for f in range(face_count):
        for corner in range(3):
            v = first[faces[f, corner]]
            around[fill[v]] = f
            fill[v] += 1
    out = np.zeros((face_count, 3, 3), np.float32)
    for f in range(face_count):
        if size[f] == 0.0:
            continue
        nx, ny, nz = area[f, 0] / size[f], area[f, 1] / size[f], area[f, 2] / size[f]
        for corner in range(3):
            v = first[faces[f, corner]]
            sx, sy, sz = nx, ny, nz
            if start[v + 1] - start[v] <= MOST_NEIGHBOURS:
                sx, sy, sz = 0.0, 0.0, 0.0
                for place in range(start[v], start[v + 1]):
                    g = around[place]
                    dot = nx * area[g, 0] + ny * area[g, 1] + nz * area[g, 2]
                    if abs(dot) >= crease_cosine * size[g]:
                        side = 1.0 if dot >= 0.0 else -1.0
                        sx, sy, sz = sx + side * area[g, 0], sy + side * area[g, 1], sz + side * area[g, 2]
                length = np.sqrt(sx * sx + sy * sy + sz * sz)
                if length > 0.0:
                    sx, sy, sz = sx / length, sy / length, sz / length
            out[f, corner, 0], out[f, corner, 1], out[f, corner, 2] = sx, sy, sz
    return out


@njit("u1[:,:,::1](u1[:,:,::1], f4[::1], u1[::1])", cache=True, nogil=True)
def halve(picture, decode, encode):
    """(H, W, 4) -> the next level, half the size, averaged as light; colour is weighted with alpha."""
    height, width = max(picture.shape[0] // 2, 1), max(picture.shape[1] // 2, 1)
    steps = encode.shape[0] - 1
    out = np.empty((height, width, 4), np.uint8)
    for row in range(height):
        row0, row1 = min(2 * row, picture.shape[0] - 1), min(2 * row + 1, picture.shape[0] - 1)
        for column in range(width):
            column0, column1 = min(2 * column, picture.shape[1] - 1), min(2 * column + 1, picture.shape[1] - 1)
            a, b, c, d = picture[row0, column0], picture[row0, column1], picture[row1, column0], picture[row1, column1]
            wa, wb, wc, wd = float(a[3]) + 1e-3, float(b[3]) + 1e-3, float(c[3]) + 1e-3, float(d[3]) + 1e-3
            total = wa + wb + wc + wd
            for channel in range(3):
                light = wa * decode[a[channel]] + wb * decode[b[channel]] + wc * decode[c[channel]]
                light += wd * decode[d[channel]]
                out[row, column, channel] = encode[int(light / total * steps + 0.5)]
            out[row, column, 3] = (int(a[3]) + int(b[3]) + int(c[3]) + int(d[3]) + 2) // 4
    return out
