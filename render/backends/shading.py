"""What colour every pixel has: the light on the faces that `visibility.draw` found, compiled."""

# The types are in the compiled signatures.
# mypy: allow-untyped-defs, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit

from render.backends.visibility import inside_texture
from render.buffers import AMBIENT, ENCODE_STEPS, FLAT, POINT, REPEAT

SAME_DEPTH, SAME_NORMAL = 0.01, 0.985  # within a pixel: 1 % of the depth, 10 degrees


@njit(
    "void(f8[:,::1], i4[:,::1], f8[::1], f8[:,::1], f4[:,::1], i4[:,::1], f4[:,:,::1], f4[:,::1], f8, i8,"
    " i4[::1], f4[:,::1], i8[:,::1], i8[::1], i8[::1], i8[:,::1], u1[:,::1], f8[:,::1], f4[::1], u1[:,::1],"
    " f4[::1], u1[::1], u1[:,:,::1], f4[:,::1], f4[:,:,::1], i4[:,::1])",
    cache=True,
    nogil=True,
)
def shade(
    local,
    faces,
    pinhole,
    pose,
    inverse_depth,
    face_id,
    corner_normals,
    lights,
    specular,
    shininess,
    face_material,
    material_colour,
    levels,
    first_level,
    level_count,
    wrap,
    texels,
    uv,
    texel_density,
    vertex_colours,
    decode,
    encode,
    rgba,
    depth,
    normals,
    ids,
):
    """Colour the samples that `draw` found and resolve them to pixels.

    pose (4, 4) camera_to_world; lights (L, 8); specular the strength of the highlights, shininess
    their exponent, a power of two; decode (256,) sRGB byte to light; encode
    (ENCODE_STEPS + 1,) light to sRGB byte.  Each pixel shades every face it sees once, at the
    centre of that face's samples (tiny faces of one surface together); colour is the mean light
    of the covered samples (straight alpha), alpha their share.  depth, normals and ids are
    those of the nearest sample.
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
    group_depth = np.empty(samples, np.float32)
    group_weight = np.empty(samples, np.int64)
    for row in range(pixels):
        for column in range(pixels):
            groups, covered = 0, 0
            nearest, nearest_group = np.float32(0.0), 0
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
                    groups, covered = 1, 4
                    group_face[0], group_count[0], group_weight[0] = f, 4, 4
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
                    g = 0
                    while g < groups and group_face[g] != f:
                        g += 1
                    if g == groups:
                        group_face[g], group_count[g], group_x[g], group_y[g] = f, 0, 0.0, 0.0
                        group_weight[g] = 0
                        group_depth[g] = inverse_depth[sr, sc]
                        groups += 1
                    if inverse_depth[sr, sc] > nearest:
                        nearest, nearest_group = inverse_depth[sr, sc], g
                    group_count[g] += 1
                    group_weight[g] += 1
                    group_x[g] += sc + 0.5
                    group_y[g] += sr + 0.5
            if covered == 0:
                continue
            nearest_face = group_face[nearest_group]
            # Faces smaller than a pixel that continue each other are shaded as one; colours of their own keep
            # them apart, since these, unlike textures, have no coarser level.
            for g in range(1, 1 if has_colours else groups):
                f = group_face[g]
                for h in range(g):
                    e = group_face[h]
                    if (
                        group_weight[h] > 0
                        and face_material[e] == face_material[f]
                        and abs(group_depth[h] - group_depth[g]) < SAME_DEPTH * group_depth[g]
                        and abs(
                            corner_normals[e, 0, 0] * corner_normals[f, 0, 0]
                            + corner_normals[e, 0, 1] * corner_normals[f, 0, 1]
                            + corner_normals[e, 0, 2] * corner_normals[f, 0, 2]
                        )
                        > SAME_NORMAL
                    ):
                        group_weight[h] += group_weight[g]
                        group_weight[g] = 0
                        if nearest_group == g:
                            nearest_group = h
                        break
            red, green, blue = 0.0, 0.0, 0.0
            for g in range(groups):
                if group_weight[g] == 0:
                    continue
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
                    tx = inside_texture(u, wrap[material, 0]) * width - 0.5
                    ty = (1.0 - inside_texture(v, wrap[material, 1])) * height - 0.5
                    x0, y0 = int(np.floor(tx)), int(np.floor(ty))
                    right, lower = np.float32(tx - x0), np.float32(ty - y0)
                    if wrap[material, 0] == REPEAT:
                        x0, x1 = x0 % width, (x0 + 1) % width
                    else:
                        x0, x1 = max(x0, 0), min(x0 + 1, width - 1)
                    if wrap[material, 1] == REPEAT:
                        y0, y1 = y0 % height, (y0 + 1) % height
                    else:
                        y0, y1 = max(y0, 0), min(y0 + 1, height - 1)
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
                            power = 1
                            while power < shininess:
                                gloss *= gloss
                                power *= 2
                            shine += specular * energy * gloss
                    lr += amount * lights[n, 4]
                    lg += amount * lights[n, 5]
                    lb += amount * lights[n, 6]
                weight = group_weight[g]
                red += weight * min(cr * lr + shine, 1.0)
                green += weight * min(cg * lg + shine, 1.0)
                blue += weight * min(cb * lb + shine, 1.0)
                if g == nearest_group:
                    normals[row, column, 0], normals[row, column, 1], normals[row, column, 2] = nx, ny, nz
            scale = ENCODE_STEPS / covered
            rgba[row, column, 0] = encode[int(red * scale + 0.5)]
            rgba[row, column, 1] = encode[int(green * scale + 0.5)]
            rgba[row, column, 2] = encode[int(blue * scale + 0.5)]
            rgba[row, column, 3] = (255 * covered + samples // 2) // samples
            depth[row, column] = np.float32(1.0) / nearest
            ids[row, column] = nearest_face
