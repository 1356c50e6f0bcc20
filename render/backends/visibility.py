"""Which face every sample sees: a z-buffer with homogeneous edge functions, compiled.

A sample's ray is d = (x, y, 1) in the camera's frame (x right, y up, z forward).  With corners
p0, p1, p2 the edge functions e_i = d . (p_j x p_k) are linear over the picture; the ray meets
the triangle where all have the sign of det = p0 . (p1 x p2), at depth det / (e0 + e1 + e2) with
barycentric coordinates e_i / (e0 + e1 + e2): perspective-correct, and the near plane is a test
of the depth, so no triangle is ever clipped (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997).  Two faces that share an edge see the same number with opposite
signs, bit for bit, so there are no cracks between them.
"""

# The types are in the compiled signatures.
# mypy: allow-untyped-defs, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit

from render.buffers import CLAMP, CUTOUT_ALPHA, MIRROR


@njit("f8(f8, i8)", cache=True, nogil=True)
def inside_texture(coordinate, wrap):
    """The place in [0, 1] whose texel a coordinate shows, along one axis of a texture that goes on as `wrap` says."""
    if wrap == CLAMP:
        return min(max(coordinate, 0.0), 1.0)
    if wrap == MIRROR:
        return abs(coordinate - 2.0 * np.floor(0.5 * coordinate + 0.5))
    return coordinate - np.floor(coordinate)


@njit(
    "void(f8[:,::1], i4[:,::1], f8[::1], f8[:,::1], f8, f8[:,::1], f4[:,::1], f4[:,::1], i4[:,::1],"
    " i4[::1], b1[::1], i8[::1], i8, i8[:,::1], i8[::1], i8[:,::1], u1[:,::1], f8[:,::1])",
    cache=True,
    nogil=True,
)
def draw(
    vertices,
    faces,
    pinhole,
    pose,
    near,
    local,
    screen,
    inverse_depth,
    face_id,
    face_material,
    cutout,
    sample_mask,
    factor,
    levels,
    first_level,
    wrap,
    texels,
    uv,
):
    """Find the nearest face of every sample.

    pinhole (4,) = fx, fy, cx, cy in samples; pose (4, 4) camera_to_world.  Fills local (V, 3),
    the vertices in the camera's frame, screen (V, 2), where they are seen, inverse_depth
    (W, W), 0 where nothing is, and face_id (W, W), -1 where nothing is.  sample_mask (M,) has a
    bit for each of a pixel's factor x factor samples: those that the material covers.
    """
    size = face_id.shape[0]
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    per_fx, per_fy = 1.0 / fx, 1.0 / fy
    farthest = 1.0 / near
    inverse_depth[:, :] = 0.0
    face_id[:, :] = -1
    all_in_front = True
    for v in range(vertices.shape[0]):
        wx, wy, wz = vertices[v, 0] - pose[0, 3], vertices[v, 1] - pose[1, 3], vertices[v, 2] - pose[2, 3]
        x = wx * pose[0, 0] + wy * pose[1, 0] + wz * pose[2, 0]
        y = wx * pose[0, 1] + wy * pose[1, 1] + wz * pose[2, 1]
        z = -(wx * pose[0, 2] + wy * pose[1, 2] + wz * pose[2, 2])
        local[v, 0], local[v, 1], local[v, 2] = x, y, z
        if z > near:
            z = 1.0 / z
            screen[v, 0] = fx * x * z + cx
            screen[v, 1] = cy - fy * y * z
        else:
            all_in_front = False
    edge = np.float32(size)
    zero = np.float32(0.0)
    every_sample = (1 << (factor * factor)) - 1
    # Positions on the screen are rounded: a box is this much wider than they say.
    low_slack, high_slack = np.float32(0.501), np.float32(0.499)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        in_front = 3
        if not all_in_front:
            in_front = int(local[i, 2] > near) + int(local[j, 2] > near) + int(local[k, 2] > near)
            if in_front == 0:
                continue
        left, right, top, bottom = 0, size - 1, 0, size - 1
        if in_front == 3:
            x0, x1, x2 = screen[i, 0], screen[j, 0], screen[k, 0]
            left = int(np.ceil(max(min(x0, x1, x2), zero) - low_slack))
            right = int(np.floor(min(max(x0, x1, x2), edge) - high_slack))
            if left > right:
                continue
            y0, y1, y2 = screen[i, 1], screen[j, 1], screen[k, 1]
            top = int(np.ceil(max(min(y0, y1, y2), zero) - low_slack))
            bottom = int(np.floor(min(max(y0, y1, y2), edge) - high_slack))
            if top > bottom:
                continue
        ix, iy, iz = local[i, 0], local[i, 1], local[i, 2]
        jx, jy, jz = local[j, 0], local[j, 1], local[j, 2]
        kx, ky, kz = local[k, 0], local[k, 1], local[k, 2]
        # Normals of the planes through the eye and each edge.
        n0x, n0y, n0z = jy * kz - jz * ky, jz * kx - jx * kz, jx * ky - jy * kx
        n1x, n1y, n1z = ky * iz - kz * iy, kz * ix - kx * iz, kx * iy - ky * ix
        n2x, n2y, n2z = iy * jz - iz * jy, iz * jx - ix * jz, ix * jy - iy * jx
        det = ix * n0x + iy * n0y + iz * n0z
        if det == 0.0 or not np.isfinite(det):
            continue
        side = 1.0 if det > 0.0 else -1.0
        a0, b0 = side * (n0x * per_fx), -side * (n0y * per_fy)
        a1, b1 = side * (n1x * per_fx), -side * (n1y * per_fy)
        a2, b2 = side * (n2x * per_fx), -side * (n2y * per_fy)
        c0 = side * n0z - a0 * cx - b0 * cy
        c1 = side * n1z - a1 * cx - b1 * cy
        c2 = side * n2z - a2 * cx - b2 * cy
        scale = 1.0 / abs(det)
        za, zb, zc = (a0 + a1 + a2) * scale, (b0 + b1 + b2) * scale, (c0 + c1 + c2) * scale
        has_holes = cutout[face_material[f]]
        mask = sample_mask[face_material[f]]
        if right - left >= 6 and in_front == 3 and not has_holes and mask == every_sample:
            # A row of a large face is one run of samples between the edges.
            per_a0 = 1.0 / a0 if a0 != 0.0 else 0.0
            per_a1 = 1.0 / a1 if a1 != 0.0 else 0.0
            per_a2 = 1.0 / a2 if a2 != 0.0 else 0.0
            for row in range(top, bottom + 1):
                y = row + 0.5
                r0, r1, r2, rz = b0 * y + c0, b1 * y + c1, b2 * y + c2, zb * y + zc
                low, high = float(left), float(right)
                cut = -r0 * per_a0 - 0.5
                if a0 > 0.0:
                    low = max(low, cut - 0.01)
                elif a0 < 0.0:
                    high = min(high, cut + 0.01)
                cut = -r1 * per_a1 - 0.5
                if a1 > 0.0:
                    low = max(low, cut - 0.01)
                elif a1 < 0.0:
                    high = min(high, cut + 0.01)
                cut = -r2 * per_a2 - 0.5
                if a2 > 0.0:
                    low = max(low, cut - 0.01)
                elif a2 < 0.0:
                    high = min(high, cut + 0.01)
                if low > high:
                    continue
                # The edge functions have the last word on both ends of the run.
                begin, end = int(np.ceil(low)), int(high)
                while begin <= end:
                    x = begin + 0.5
                    if a0 * x + r0 >= 0.0 and a1 * x + r1 >= 0.0 and a2 * x + r2 >= 0.0:
                        break
                    begin += 1
                while end >= begin:
                    x = end + 0.5
                    if a0 * x + r0 >= 0.0 and a1 * x + r1 >= 0.0 and a2 * x + r2 >= 0.0:
                        break
                    end -= 1
                if begin > end:
                    continue
                run_depth = inverse_depth[row, begin : end + 1]
                run_face = face_id[row, begin : end + 1]
                x = begin + 0.5
                for place in range(run_depth.shape[0]):
                    nearness = np.float32(za * (x + place) + rz)
                    # Written always, so that the loop has no branch.
                    nearer = nearness > run_depth[place]
                    run_depth[place] = nearness if nearer else run_depth[place]
                    run_face[place] = f if nearer else run_face[place]
            continue
        for row in range(top, bottom + 1):
            y = row + 0.5
            r0, r1, r2, rz = b0 * y + c0, b1 * y + c1, b2 * y + c2, zb * y + zc
            for column in range(left, right + 1):
                x = column + 0.5
                e0 = a0 * x + r0
                e1 = a1 * x + r1
                e2 = a2 * x + r2
                if e0 < 0.0 or e1 < 0.0 or e2 < 0.0:
                    continue
                nearness = np.float32(za * x + rz)
                if nearness <= inverse_depth[row, column] or nearness > farthest:
                    continue
                if mask != every_sample and (mask >> ((row % factor) * factor + column % factor)) & 1 == 0:
                    continue
                if has_holes:
                    total = 1.0 / (e0 + e1 + e2)
                    u = (e0 * uv[i, 0] + e1 * uv[j, 0] + e2 * uv[k, 0]) * total
                    v2 = (e0 * uv[i, 1] + e1 * uv[j, 1] + e2 * uv[k, 1]) * total
                    level = first_level[face_material[f]]
                    u = inside_texture(u, wrap[face_material[f], 0])
                    v2 = inside_texture(v2, wrap[face_material[f], 1])
                    height, width = levels[level, 1], levels[level, 2]
                    tx = min(int(u * width), width - 1)
                    ty = min(int((1.0 - v2) * height), height - 1)
                    if texels[levels[level, 0] + ty * width + tx, 3] < CUTOUT_ALPHA:
                        continue
                inverse_depth[row, column] = nearness
                face_id[row, column] = f
