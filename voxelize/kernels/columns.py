"""Where lines through the voxel centres, along x, y and z, cross a mesh; and solids made of that.

One pass over the triangles scan-converts each along the three axes (as a GPU would draw it
from three sides) and keeps, for every line: a parity toggle at each crossing, the first and
the last crossing, and whether the crossings are odd in number.  From that alone come
binvox's carve, vote and default modes.  Nothing is sorted and the order of triangles or
corners cannot matter.

Watertight by construction: the crossing of an edge with a scan line is computed from the
edge's end points in a canonical order, so the two triangles that share an edge agree on it to
the last bit, and lines are half-open between crossings.

Ties: sample points are pushed outwards from the centre of the grid by a fraction of the
lattice step (`frame.LATTICE`), by a different fraction in each role.  So faces and edges that
lie exactly on voxel centres are decided the same way after a mirror or an axis cycle.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from voxelize.kernels.bits import ALL, ONE, parity_prefix, span, transpose_block

# A graphics driver rounds a triangle's corners to 1/256 of a pixel in the picture, but takes its
# depth from the unrounded ones, at the middle of the pixel; with both, every file that the
# original's -c and default modes were compared on came out identical.
PIXEL_STEPS = 256.0
_PUSH_COLUMN, _PUSH_ROW, _PUSH_DEPTH = 0.29, 0.17, 0.90


@njit(cache=True, nogil=True)
def _samples(resolution, push):  # type: ignore[no-untyped-def]
    samples = np.empty(resolution)
    for i in range(resolution):
        samples[i] = i + 0.5 + (push if 2 * i >= resolution else -push)
    return samples


@njit(cache=True, nogil=True)
def _first_sample(low, samples):  # type: ignore[no-untyped-def]
    """Index of the first sample >= low; len(samples) if there is none."""
    if low >= samples.size:
        return samples.size
    index = int(max(low - 1.0, 0.0))
    while index < samples.size and samples[index] < low:
        index += 1
    return index


@njit(cache=True, nogil=True)
def _crossing(plan, a, b, u, w, row):  # type: ignore[no-untyped-def]
    """u where the edge a-b meets the scan line w = row; end points in canonical order."""
    wa, wb = plan[a, w], plan[b, w]
    if wa > wb:
        a, b = b, a
        wa, wb = wb, wa
    ua = plan[a, u]
    return ua + (row - wa) * (plan[b, u] - ua) / (wb - wa)


@njit(cache=True, nogil=True)
def _centres_below(depth, push, middle):  # type: ignore[no-untyped-def]
    """Number of voxel centres below a crossing; a centre at the very depth counts as farther out."""
    return int(np.floor(depth - 0.5 - (push if depth > middle else -push))) + 1


@njit(cache=True, nogil=True)
def _slopes(points, i0, i1, i2, t, u, w):  # type: ignore[no-untyped-def]
    """Change of the triangle's depth along t with one voxel along u and along w."""
    eu, ew, et = points[i1, u] - points[i0, u], points[i1, w] - points[i0, w], points[i1, t] - points[i0, t]
    fu, fw, ft = points[i2, u] - points[i0, u], points[i2, w] - points[i0, w], points[i2, t] - points[i0, t]
    area = eu * fw - ew * fu
    if area == 0.0:
        return 0.0, 0.0
    return (et * fw - ew * ft) / area, (eu * ft - et * fu) / area


@njit(cache=True, nogil=True)
def cross_lines(points, faces, resolution, step, pushed_back):  # type: ignore[no-untyped-def]
    """Scan-convert every triangle along the three axes.

    points (V, 3) in voxel units, faces (F, 3), step the lattice step in voxel units ->
    toggles (3, R*R, W) uint64, first (3, R*R), last (3, R*R) int32, odd (3, R*R) uint8.
    Line number ``i * R + j`` along axis a passes through voxels i of axis a+1, j of axis a+2.
    A line without crossings has first = R and last = 0.  Crossings outside [0, R] are cut off,
    as the original's near and far planes do.
    pushed_back: triangles lie deeper by their slope, seen from either side, so that wires
    (``-aw``) stay in front of them: glPolygonOffset with factor 1.
    """
    lines = resolution * resolution
    toggles = np.zeros((3, lines, (resolution + 63) // 64), dtype=np.uint64)
    first = np.full((3, lines), resolution, dtype=np.int32)
    last = np.zeros((3, lines), dtype=np.int32)
    odd = np.zeros((3, lines), dtype=np.uint8)
    columns = _samples(resolution, _PUSH_COLUMN * step)
    rows = _samples(resolution, _PUSH_ROW * step)
    push, middle, slack = _PUSH_DEPTH * step, resolution / 2, step + 1.0 / PIXEL_STEPS
    plan = np.rint(points * PIXEL_STEPS) / PIXEL_STEPS
    reached = np.empty(3, dtype=np.bool_)

    for face in range(faces.shape[0]):
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        for axis in range(3):
            a, b, c = points[i0, axis], points[i1, axis], points[i2, axis]
            # Conservative: is there any sample between the ends along this axis?
            reached[axis] = np.floor(min(a, b, c) - 0.5 - slack) != np.floor(max(a, b, c) - 0.5 + slack)
        for axis in range(3):
            u, w = (axis + 1) % 3, (axis + 2) % 3
            if not (reached[u] and reached[w]):
                continue
            w0, w1, w2 = plan[i0, w], plan[i1, w], plan[i2, w]
            top = max(w0, w1, w2)
            row = _first_sample(min(w0, w1, w2), rows)
            if row >= resolution or rows[row] >= top:
                continue
            depth0, depth1, depth2 = points[i0, axis], points[i1, axis], points[i2, axis]
            nearest, farthest = min(depth0, depth1, depth2), max(depth0, depth1, depth2)
            slope_u, slope_w = _slopes(points, i0, i1, i2, axis, u, w)
            back = max(abs(slope_u), abs(slope_w)) if pushed_back else 0.0
            while row < resolution and rows[row] < top:
                y = rows[row]
                # Exactly two edges meet the scan line: those of the lone corner.
                below0, below1, below2 = w0 < y, w1 < y, w2 < y
                if below1 == below2:
                    lone, other, third = i0, i1, i2
                elif below0 == below2:
                    lone, other, third = i1, i0, i2
                else:
                    lone, other, third = i2, i0, i1
                left, right = _crossing(plan, lone, other, u, w, y), _crossing(plan, lone, third, u, w, y)
                if left > right:
                    left, right = right, left
                row_depth = depth0 + (row + 0.5 - points[i0, w]) * slope_w
                column = _first_sample(left, columns)
                while column < resolution and columns[column] < right:
                    depth = row_depth + (column + 0.5 - points[i0, u]) * slope_u
                    line = column * resolution + row
                    if -step <= depth <= resolution + step:
                        near = _centres_below(min(depth + back, middle * 2), push, middle)
                        far = _centres_below(max(depth - back, 0.0), push, middle)
                        first[axis, line] = min(first[axis, line], near)
                        last[axis, line] = max(last[axis, line], far)
                    # A triangle seen edge-on, whose rounded corners cover a sample that it does not
                    # itself, has its depth far away; the parity is better off with its own.
                    depth = min(max(depth, nearest), farthest)
                    if -step <= depth <= resolution + step:
                        k = _centres_below(depth, push, middle)
                        odd[axis, line] ^= 1
                        if k < resolution:
                            toggles[axis, line, k >> 6] ^= ONE << np.uint64(k & 63)
                    column += 1
                row += 1
    return toggles, first, last, odd


@njit(cache=True, nogil=True)
def solid_words(toggles, first, last, odd, resolution, carve, vote, grow):  # type: ignore[no-untyped-def]
    """binvox's solids from `cross_lines` -> words (R, R, W); `toggles` is used up.

    carve: on iff the voxel lies between the first and the last crossing on all three lines
    (the interval `grow` voxels longer at both ends).  vote: six half-lines from the centre,
    each with an odd number of crossings is a vote, on iff three or more.  Both: either.
    """
    width = (resolution + 63) // 64
    out = np.zeros((resolution, resolution, width), dtype=np.uint64)
    if carve:
        _carve(out, first, last, resolution, grow)
    if vote:
        _vote(out, toggles, odd, resolution)
    return out


@njit(cache=True, nogil=True)
def _carve(out, first, last, resolution, grow):  # type: ignore[no-untyped-def]
    width = out.shape[2]
    for x in range(resolution):
        for y in range(resolution):
            line = x * resolution + y
            for w in range(width):
                out[x, y, w] = span(first[2, line] - grow, min(last[2, line] + grow, resolution), w)
    block = np.empty(64, dtype=np.uint64)
    for axis in range(2):
        for fixed in range(resolution):
            for across in range(width):
                for along in range(width):
                    for r in range(64):
                        z = along * 64 + r
                        block[r] = 0
                        if z < resolution:
                            line = fixed * resolution + z if axis == 0 else z * resolution + fixed
                            block[r] = span(first[axis, line] - grow, min(last[axis, line] + grow, resolution), across)
                    transpose_block(block)
                    for r in range(min(64, resolution - across * 64)):
                        if axis == 0:
                            out[across * 64 + r, fixed, along] &= block[r]
                        else:
                            out[fixed, across * 64 + r, along] &= block[r]


@njit(cache=True, nogil=True)
def _vote(out, toggles, odd, resolution):  # type: ignore[no-untyped-def]
    """An axis with an even line gives 2 votes inside (`one` has it) or 0; an odd line gives 1."""
    width = out.shape[2]
    for axis in range(3):
        for line in range(resolution * resolution):
            parity_prefix(toggles[axis, line])
    # Odd lines as words along z: of axis 0 for each y, of axis 1 for each x.
    odd_x = np.zeros((resolution, width), dtype=np.uint64)
    odd_y = np.zeros((resolution, width), dtype=np.uint64)
    for i in range(resolution):
        for z in range(resolution):
            bit = np.uint64(z & 63)
            odd_x[i, z >> 6] |= np.uint64(odd[0, i * resolution + z]) << bit
            odd_y[i, z >> 6] |= np.uint64(odd[1, z * resolution + i]) << bit
    inside_x = np.zeros_like(out)
    inside_y = np.zeros_like(out)
    block = np.empty(64, dtype=np.uint64)
    for axis in range(2):
        for fixed in range(resolution):
            for across in range(width):
                for along in range(width):
                    for r in range(64):
                        z = along * 64 + r
                        block[r] = 0
                        if z < resolution:
                            line = fixed * resolution + z if axis == 0 else z * resolution + fixed
                            block[r] = toggles[axis, line, across]
                    transpose_block(block)
                    for r in range(min(64, resolution - across * 64)):
                        if axis == 0:
                            inside_x[across * 64 + r, fixed, along] = block[r]
                        else:
                            inside_y[fixed, across * 64 + r, along] = block[r]
    tail = ALL >> np.uint64(64 * width - resolution)
    for x in range(resolution):
        for y in range(resolution):
            line = x * resolution + y
            odd_line = ALL if odd[2, line] else np.uint64(0)
            for w in range(width):
                odd0, odd1 = odd_x[y, w], odd_y[x, w]
                in0 = inside_x[x, y, w] & ~odd0
                in1 = inside_y[x, y, w] & ~odd1
                in2 = toggles[2, line, w] & ~odd_line
                two = (in0 & in1) | (in0 & in2) | (in1 & in2)
                mixed = (in0 | in1 | in2) & (odd0 | odd1 | odd_line)
                votes = two | mixed | (odd0 & odd1 & odd_line)
                out[x, y, w] |= votes & (tail if w == width - 1 else ALL)
