"""A mesh made ready for drawing: checked faces, corner normals, textures with their levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from pipeline.conventions import Array, Bools, Bytes, Floats32, Vertices
from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.colour import SRGB_TO_LINEAR, srgb_bytes
from render.buffers import CUTOUT_ALPHA, ENCODE_STEPS
from render.scene_kernels import corner_normals, halve, weld

CREASE_DEG = 40.0  # faces that bend more than this meet in a sharp edge
# The order in which a see-through material covers the samples of a pixel: scattered, row by row.
SAMPLE_ORDER = {
    1: (0,),
    2: (0, 2, 3, 1),
    3: (0, 7, 3, 6, 5, 2, 4, 1, 8),
    4: (0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5),
}
WRAPS = ("repeat", "clamp", "mirror")  # REPEAT, CLAMP, MIRROR of buffers.py
MOST_INVISIBLE = 0.5  # share of the surface above which "fully transparent" is an exporter's mistake

ENCODE: Bytes = srgb_bytes((np.arange(ENCODE_STEPS + 1) / ENCODE_STEPS).astype(np.float32))


@dataclass(frozen=True)
class Scene:
    """What a backend draws; arrays are C-contiguous and of the kernels' types."""

    vertices: Vertices
    faces: Int32[Array, "F 3"]
    normals: Float32[Array, "F 3 3"]  # of the corners
    uv: Float64[Array, "_V 2"]  # one row where nothing is textured
    vertex_colours: UInt8[Array, "_V 4"]  # no row where there are none
    face_material: Int32[Array, " F"]
    material_colour: Float32[Array, "M 3"]  # linear light
    cutout: Bool[Array, " M"]  # the texture's alpha cuts holes
    opacity: Float64[Array, " M"]  # share of the light that the material stops, above 0
    first_level: Int64[Array, " M"]  # row of `levels` where the material's texture begins
    level_count: Int64[Array, " M"]  # 0 for a plain material
    wrap: Int64[Array, "M 2"]  # how the texture goes on along u and v: places in WRAPS
    levels: Int64[Array, "_K 3"]  # first texel, height, width
    texels: UInt8[Array, "_T 4"]  # all textures and their smaller levels in one row
    texel_density: Float32[Array, " F"]  # texels along one unit of length on the face
    materials: list[Material]
    transparent_faces: int  # left out, since their material lets all light through
    opaque_instead: int  # materials that would, drawn opaque because hardly anything would be left
    diameter: float  # twice the largest distance of a vertex that is used from the origin


def prepare_scene(mesh: Mesh, *, crease_deg: float = CREASE_DEG) -> Scene:
    """Check a mesh and compute what all of its views share; a mesh with nothing to draw is rejected."""
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    faces, material = _drawable_faces(mesh, vertices)
    materials = mesh.materials or [Material()]
    opacity, opaque_instead = _opacities(materials, vertices, faces, material)
    seen = opacity[material] > 0
    transparent_faces = int(len(seen) - seen.sum())
    faces, material = faces[seen], material[seen]
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    vertices = np.where(used[:, None], vertices, 0.0)  # what no face uses may be NaN
    colours = np.array([m.colour[:3] for m in materials], dtype=np.uint8)
    first_level, level_count, levels, texels = _texture_levels(materials)
    if mesh.uv is None:
        level_count[:] = 0
    textured = bool(level_count.any())
    uv = np.zeros((1, 2))
    if textured and mesh.uv is not None:
        uv = np.nan_to_num(np.asarray(mesh.uv, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        uv = np.where(np.abs(uv) < 1e6, uv, 0.0)
    density = _texel_density(vertices, faces, uv, material, level_count, first_level, levels, textured)
    vertex_colours = np.zeros((0, 4), np.uint8) if mesh.vertex_colours is None else mesh.vertex_colours
    return Scene(
        vertices=np.ascontiguousarray(vertices),
        faces=faces,
        normals=corner_normals(vertices, faces, weld(vertices), float(np.cos(np.radians(crease_deg)))),
        uv=np.ascontiguousarray(uv),
        vertex_colours=np.array(vertex_colours, dtype=np.uint8, order="C"),
        face_material=material,
        material_colour=SRGB_TO_LINEAR[colours],
        cutout=np.array([_has_holes(m) for m in materials]) & (level_count > 0),
        opacity=opacity,
        first_level=first_level,
        level_count=level_count,
        wrap=np.array([[WRAPS.index(way) for way in m.wrap] for m in materials], dtype=np.int64),
        levels=levels,
        texels=texels,
        texel_density=density,
        materials=materials,
        transparent_faces=transparent_faces,
        opaque_instead=opaque_instead,
        diameter=2 * float(np.linalg.norm(vertices, axis=1).max()),
    )


def _drawable_faces(mesh: Mesh, vertices: Vertices) -> tuple[Int32[Array, "F 3"], Int32[Array, " F"]]:
    """The faces that have finite corners and an area, with their materials."""
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int64).reshape(-1, 3)
    if len(faces) == 0:
        raise Reject("no_faces", "the mesh has no faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise Reject("bad_index", f"a face names vertex {int(faces.max())} of {len(vertices)}")
    material = np.asarray(mesh.material_of_face, dtype=np.int64)
    if len(material) != len(faces) or material.min() < 0 or material.max() >= max(len(mesh.materials), 1):
        raise Reject("bad_material", "a face names a material that does not exist")
    for name, array in (("uv", mesh.uv), ("vertex_colours", mesh.vertex_colours)):
        if array is not None and len(array) != len(vertices):
            raise Reject("bad_attribute", f"{name} has {len(array)} rows for {len(vertices)} vertices")
    finite: Bools = np.all(np.abs(np.nan_to_num(vertices, nan=np.inf)) < 1e6, axis=1)
    keep: Bools = np.all(finite[faces], axis=1)
    if not keep.any():
        raise Reject("not_finite", "no face has three finite corners")
    corners = vertices[faces[keep]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    keep[keep] = area > 0
    if not keep.any():
        raise Reject("zero_area", "every face has zero area")
    return faces[keep].astype(np.int32), material[keep].astype(np.int32)


def _opacities(
    materials: list[Material], vertices: Vertices, faces: Int32[Array, "F 3"], material: Int32[Array, " F"]
) -> tuple[Float64[Array, " M"], int]:
    """Opacity of the materials, and how many invisible ones are drawn opaque instead.

    Exporters disagree on whether `Tr` is opacity or its opposite: where most of the surface
    would be invisible, the file means the other one.
    """
    opacity = np.array([m.colour[3] for m in materials]) / 255
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if area[opacity[material] == 0].sum() <= MOST_INVISIBLE * area.sum():
        return opacity, 0
    return np.where(opacity == 0, 1.0, opacity), int((opacity == 0).sum())


def sample_masks(opacity: Float64[Array, " M"], factor: int) -> Int64[Array, " M"]:
    """For each material a bit for every one of a pixel's factor x factor samples: those it covers.

    A see-through surface covers round(opacity * samples) of them, at least one: what lies
    behind is seen through the others, without any sorting, and alpha comes out right.
    """
    samples = factor * factor
    covered = np.clip(np.rint(opacity * samples), 1, samples).astype(np.int64)
    order = np.array(SAMPLE_ORDER[factor])
    return np.asarray(((order[None] < covered[:, None]) << np.arange(samples)).sum(axis=1))


def _has_holes(material: Material) -> bool:
    """An opacity map cuts holes, unless it would cut everything away: then it is a mistake."""
    if material.texture is None:
        return False
    solid = material.texture[..., 3] >= CUTOUT_ALPHA
    return bool(solid.any() and not solid.all())


def _texture_levels(
    materials: list[Material],
) -> tuple[Int64[Array, " M"], Int64[Array, " M"], Int64[Array, "K 3"], UInt8[Array, "T 4"]]:
    """Every texture with its halvings (mip levels), one after another; a shared picture is kept once."""
    first = np.zeros(len(materials), np.int64)
    count = np.zeros(len(materials), np.int64)
    rows: list[tuple[int, int, int]] = []
    pieces: list[Bytes] = []
    seen: dict[int, int] = {}
    total = 0
    for number, material in enumerate(materials):
        picture = material.texture
        if picture is None:
            continue
        if id(picture) in seen:
            first[number], count[number] = first[seen[id(picture)]], count[seen[id(picture)]]
            continue
        seen[id(picture)] = number
        first[number] = len(rows)
        level = np.array(picture, dtype=np.uint8, order="C")  # a copy: the kernels take no read-only arrays
        while True:
            rows.append((total, level.shape[0], level.shape[1]))
            pieces.append(level.reshape(-1, 4))
            total += level.shape[0] * level.shape[1]
            if max(level.shape[:2]) == 1:
                break
            level = halve(level, SRGB_TO_LINEAR, ENCODE)
        count[number] = len(rows) - first[number]
    texels = np.concatenate(pieces) if pieces else np.zeros((1, 4), np.uint8)
    return first, count, np.array(rows or [(0, 1, 1)], dtype=np.int64), texels


def _texel_density(
    vertices: Vertices,
    faces: Int32[Array, "F 3"],
    uv: Float64[Array, "_V 2"],
    material: Int32[Array, " F"],
    level_count: Int64[Array, " M"],
    first_level: Int64[Array, " M"],
    levels: Int64[Array, "K 3"],
    textured: bool,
) -> Float32[Array, " F"]:
    """Square root of (texels / area): how fine the texture lies on each face."""
    if not textured:
        return np.zeros(len(faces), np.float32)
    corners, flat = vertices[faces], uv[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    a, b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    uv_area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    size = levels[first_level, 1] * levels[first_level, 2] * (level_count > 0)
    density: Floats32 = np.sqrt(uv_area * size[material] / area).astype(np.float32)
    return density
