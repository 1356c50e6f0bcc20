"""The compiled loops of the built-in renderer: visibility by homogeneous edge functions, then shading.

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

# Kinds of light, as stored in the shards' `lights` rows; 0 is an unused row.
AMBIENT, DIRECTIONAL, POINT, FLAT = 1.0, 2.0, 3.0, 4.0
CUTOUT_ALPHA = 128  # texels below it are holes in an opacity map
ENCODE_STEPS = 8192


@njit(
    "void(f8[:,::1], i4[:,::1], f8[::1], f8[:,::1], f8, f8[:,::1], f4[:,::1], f4[:,::1], i4[:,::1],"
    " i4[::1], b1[::1], i8[:,::1], i8[::1], u1[:,::1], f8[:,::1])",
    cache=True,
    nogil=True,
)
def draw(
    vertices, faces, pinhole, pose, near, local, screen, inverse_depth, face_id,
    face_material, cutout, levels, first_level, texels, uv,
):  # fmt: skip
    """Find the nearest face of every sample.

    pinhole (4,) = fx, fy, cx, cy in samples; pose (4, 4) camera_to_world.  Fills local (V, 3),
    the vertices in the camera's frame, screen (V, 2), where they are seen, inverse_depth
    (W, W), 0 where nothing is, and face_id (W, W), -1 where nothing is.
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
        if right - left >= 6 and in_front == 3 and not has_holes:
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
                if has_holes:
                    total = 1.0 / (e0 + e1 + e2)
                    u = (e0 * uv[i, 0] + e1 * uv[j, 0] + e2 * uv[k, 0]) * total
                    v2 = (e0 * uv[i, 1] + e1 * uv[j, 1] + e2 * uv[k, 1]) * total
                    level = first_level[face_material[f]]
                    height, width = levels[level, 1], levels[level, 2]
                    tx = min(int((u - np.floor(u)) * width), width - 1)
                    ty = min(int((1.0 - (v2 - np.floor(v2))) * height), height - 1)
                    if texels[levels[level, 0] + ty * width + tx, 3] < CUTOUT_ALPHA:
                        continue
                inverse_depth[row, column] = nearness
                face_id[row, column] = f


@njit(
    "void(f8[:,::1], i4[:,::1], f8[::1], f8[:,::1], f4[:,::1], i4[:,::1], f4[:,:,::1], f4[:,::1], f8,"
    " i4[::1], f4[:,::1], i8[:,::1], i8[::1], i8[::1], u1[:,::1], f8[:,::1], f4[::1], u1[:,::1],"
    " f4[::1], u1[::1], u1[:,:,::1], f4[:,::1], f4[:,:,::1], i4[:,::1])",
    cache=True,
    nogil=True,
)
def shade(
    local, faces, pinhole, pose, inverse_depth, face_id, corner_normals, lights, specular,
    face_material, material_colour, levels, first_level, level_count, texels, uv, texel_density, vertex_colours,
    decode, encode, rgba, depth, normals, ids,
):  # fmt: skip
    """Colour the samples that `draw` found and resolve them to pixels.

    pose (4, 4) camera_to_world; lights (L, 8); decode (256,) sRGB byte to light; encode
    (ENCODE_STEPS + 1,) light to sRGB byte.  Each pixel shades every face it sees once, at the
    centre of that face's samples; colour is the mean light of the covered samples (straight
    alpha), alpha their share.  depth, normals and ids are those of the nearest sample.
    """
    pixels = rgba.shape[0]
    factor = face_id.shape[0] // pixels
    samples = factor * factor
    per_fx, per_fy, cx, cy = 1.0 / pinhole[0], 1.0 / pinhole[1], pinhole[2], pinhole[3]
    pixel_angle = factor * per_fx
    has_colours = vertex_colours.shape[0] == local.shape[0]
    group_face = np.empty(samples, np.int64)
    group_count = np.empty(samples, np.int64)
    group_x = np.empty(samples)
    group_y = np.empty(samples)
    for row in range(pixels):
        for column in range(pixels):
            groups, covered = 0, 0
            nearest, nearest_face = np.float32(0.0), -1
            if factor == 2:
                # Most pixels see one face or none; they need no search.
                f = face_id[2 * row, 2 * column]
                if (
                    f == face_id[2 * row, 2 * column + 1]
                    and f == face_id[2 * row + 1, 2 * column]
                    and f == face_id[2 * row + 1, 2 * column + 1]
                ):
                    if f < 0:
                        continue
                    groups, covered, nearest_face = 1, 4, f
                    group_face[0], group_count[0] = f, 4
                    group_x[0], group_y[0] = 4.0 * (2 * column + 1), 4.0 * (2 * row + 1)
                    nearest = max(
                        max(inverse_depth[2 * row, 2 * column], inverse_depth[2 * row, 2 * column + 1]),
                        max(inverse_depth[2 * row + 1, 2 * column], inverse_depth[2 * row + 1, 2 * column + 1]),
                    )
            for sr in range(row * factor, (row + 1) * factor if groups == 0 else 0):
                for sc in range(column * factor, (column + 1) * factor):
                    f = face_id[sr, sc]
                    if f < 0:
                        continue
                    covered += 1
                    if inverse_depth[sr, sc] > nearest:
                        nearest, nearest_face = inverse_depth[sr, sc], f
                    g = 0
                    while g < groups and group_face[g] != f:
                        g += 1
                    if g == groups:
                        group_face[g], group_count[g], group_x[g], group_y[g] = f, 0, 0.0, 0.0
                        groups += 1
                    group_count[g] += 1
                    group_x[g] += sc + 0.5
                    group_y[g] += sr + 0.5
            if covered == 0:
                continue
            red, green, blue = 0.0, 0.0, 0.0
            for g in range(groups):
                f = group_face[g]
                i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
                weight = 1.0 / group_count[g]
                dx = (group_x[g] * weight - cx) * per_fx
                dy = (cy - group_y[g] * weight) * per_fy
                ix, iy, iz = local[i, 0], local[i, 1], local[i, 2]
                jx, jy, jz = local[j, 0], local[j, 1], local[j, 2]
                kx, ky, kz = local[k, 0], local[k, 1], local[k, 2]
                w0x = jy * kz - jz * ky
                w0y = jz * kx - jx * kz
                w0z = jx * ky - jy * kx
                w0 = dx * w0x + dy * w0y + w0z
                w1 = dx * (ky * iz - kz * iy) + dy * (kz * ix - kx * iz) + (kx * iy - ky * ix)
                w2 = dx * (iy * jz - iz * jy) + dy * (iz * jx - ix * jz) + (ix * jy - iy * jx)
                det = ix * w0x + iy * w0y + iz * w0z
                total = 1.0 / (w0 + w1 + w2)
                distance = det * total
                w0, w1, w2 = w0 * total, w1 * total, w2 * total

                # The normal, turned towards the camera: windings are not to be trusted.
                side = 1.0 if det > 0.0 else -1.0
                nx = side * (w0 * corner_normals[f, 0, 0] + w1 * corner_normals[f, 1, 0] + w2 * corner_normals[f, 2, 0])
                ny = side * (w0 * corner_normals[f, 0, 1] + w1 * corner_normals[f, 1, 1] + w2 * corner_normals[f, 2, 1])
                nz = side * (w0 * corner_normals[f, 0, 2] + w1 * corner_normals[f, 1, 2] + w2 * corner_normals[f, 2, 2])
                length = np.sqrt(nx * nx + ny * ny + nz * nz)
                if length > 1e-12:
                    length = 1.0 / length
                    nx, ny, nz = nx * length, ny * length, nz * length
                # Direction from the surface to the eye, and the point, in the world.
                vx = -(pose[0, 0] * dx + pose[0, 1] * dy - pose[0, 2])
                vy = -(pose[1, 0] * dx + pose[1, 1] * dy - pose[1, 2])
                vz = -(pose[2, 0] * dx + pose[2, 1] * dy - pose[2, 2])
                px, py, pz = pose[0, 3] - distance * vx, pose[1, 3] - distance * vy, pose[2, 3] - distance * vz
                length = 1.0 / np.sqrt(vx * vx + vy * vy + vz * vz)
                vx, vy, vz = vx * length, vy * length, vz * length

                # The surface's own colour, as light.
                material = face_material[f]
                cr, cg, cb = material_colour[material, 0], material_colour[material, 1], material_colour[material, 2]
                if has_colours:
                    cr *= (
                        w0 * decode[vertex_colours[i, 0]]
                        + w1 * decode[vertex_colours[j, 0]]
                        + w2 * decode[vertex_colours[k, 0]]
                    )
                    cg *= (
                        w0 * decode[vertex_colours[i, 1]]
                        + w1 * decode[vertex_colours[j, 1]]
                        + w2 * decode[vertex_colours[k, 1]]
                    )
                    cb *= (
                        w0 * decode[vertex_colours[i, 2]]
                        + w1 * decode[vertex_colours[j, 2]]
                        + w2 * decode[vertex_colours[k, 2]]
                    )
                if level_count[material] > 0:
                    # The level whose texels are about as large as a pixel on this face.
                    slant = max(abs(nx * vx + ny * vy + nz * vz), 0.1)
                    step = texel_density[f] * distance * pixel_angle / np.sqrt(slant)
                    level = 0
                    while step > 1.5 and level + 1 < level_count[material]:
                        step *= 0.5
                        level += 1
                    level += first_level[material]
                    start, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
                    u = w0 * uv[i, 0] + w1 * uv[j, 0] + w2 * uv[k, 0]
                    v = w0 * uv[i, 1] + w1 * uv[j, 1] + w2 * uv[k, 1]
                    tx = (u - np.floor(u)) * width - 0.5
                    ty = (1.0 - (v - np.floor(v))) * height - 0.5
                    x0, y0 = int(np.floor(tx)), int(np.floor(ty))
                    right, lower = np.float32(tx - x0), np.float32(ty - y0)
                    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
                    x0, y0 = x0 % width, y0 % height
                    t00, t01 = start + y0 * width + x0, start + y0 * width + x1
                    t10, t11 = start + y1 * width + x0, start + y1 * width + x1
                    one = np.float32(1.0)
                    q00, q01 = (one - right) * (one - lower), right * (one - lower)
                    q10, q11 = (one - right) * lower, right * lower
                    cr *= (
                        q00 * decode[texels[t00, 0]]
                        + q01 * decode[texels[t01, 0]]
                        + q10 * decode[texels[t10, 0]]
                        + q11 * decode[texels[t11, 0]]
                    )
                    cg *= (
                        q00 * decode[texels[t00, 1]]
                        + q01 * decode[texels[t01, 1]]
                        + q10 * decode[texels[t10, 1]]
                        + q11 * decode[texels[t11, 1]]
                    )
                    cb *= (
                        q00 * decode[texels[t00, 2]]
                        + q01 * decode[texels[t01, 2]]
                        + q10 * decode[texels[t10, 2]]
                        + q11 * decode[texels[t11, 2]]
                    )

                # Lambert's law for every light, Blinn's highlight on top.
                lr, lg, lb, shine = 0.0, 0.0, 0.0, 0.0
                for n in range(lights.shape[0]):
                    kind, energy = lights[n, 3], lights[n, 7]
                    if kind == 0.0:
                        continue
                    hx, hy, hz = lights[n, 0], lights[n, 1], lights[n, 2]
                    if kind == FLAT:
                        amount = energy
                    elif kind == AMBIENT:
                        # Brighter from above, as under a sky: 1 facing the direction, 1/2 facing away.
                        amount = energy * (0.75 + 0.25 * (nx * hx + ny * hy + nz * hz))
                    else:
                        if kind == POINT:
                            hx, hy, hz = hx - px, hy - py, hz - pz
                            square = hx * hx + hy * hy + hz * hz + 1e-9
                            length = 1.0 / np.sqrt(square)
                            hx, hy, hz = hx * length, hy * length, hz * length
                            energy = energy / square
                        amount = energy * max(nx * hx + ny * hy + nz * hz, 0.0)
                        if specular > 0.0 and amount > 0.0:
                            hx, hy, hz = hx + vx, hy + vy, hz + vz
                            length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-12
                            gloss = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
                            gloss *= gloss
                            gloss *= gloss
                            gloss *= gloss
                            gloss *= gloss
                            shine += specular * energy * gloss * gloss  # 32nd power
                    lr += amount * lights[n, 4]
                    lg += amount * lights[n, 5]
                    lb += amount * lights[n, 6]
                weight = group_count[g]
                red += weight * min(cr * lr + shine, 1.0)
                green += weight * min(cg * lg + shine, 1.0)
                blue += weight * min(cb * lb + shine, 1.0)
                if f == nearest_face:
                    normals[row, column, 0], normals[row, column, 1], normals[row, column, 2] = nx, ny, nz
            rgba[row, column, 0] = encode[int(red / covered * ENCODE_STEPS + 0.5)]
            rgba[row, column, 1] = encode[int(green / covered * ENCODE_STEPS + 0.5)]
            rgba[row, column, 2] = encode[int(blue / covered * ENCODE_STEPS + 0.5)]
            rgba[row, column, 3] = (255 * covered + samples // 2) // samples
            depth[row, column] = np.float32(1.0) / nearest
            ids[row, column] = nearest_face
