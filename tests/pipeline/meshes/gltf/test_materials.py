"""Base colour = COLOR_0 x factor x picture, with the coordinates, wraps and alpha modes of the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh
from pipeline.pictures.colour import linear_to_srgb, srgb_to_linear
from pipeline.seeds import generator
from tests.pipeline.meshes.gltf.files import CUBE_FACES, Builder, cube, encoded, read, square

UNIT = [[0, 1], [1, 1], [1, 0], [0, 0]]  # of `square`: the whole picture, upright
TRANSFORM = "KHR_texture_transform"


def halves(left: tuple[int, ...] = (255, 0, 0, 255), right: tuple[int, ...] = (0, 0, 255, 255)) -> np.ndarray:
    """(8, 8, 4) red | blue."""
    picture = np.empty((8, 8, 4), np.uint8)
    picture[:, :4], picture[:, 4:] = left, right
    return picture


def light(mesh: Mesh) -> np.ndarray:
    """(V, 3) linear colours of the vertices without pictures."""
    colours = np.array([mesh.materials[n].colour[:3] for n in mesh.material_of_face])
    own = np.empty((len(mesh.vertices), 3))
    own[mesh.faces] = srgb_to_linear(colours / 255)[:, None]
    return own if mesh.vertex_colours is None else own * srgb_to_linear(mesh.vertex_colours[:, :3] / 255)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["u1", "u2", "f4"]),
    width=st.sampled_from([3, 4]),
    factor=st.lists(st.floats(0.3, 1), min_size=3, max_size=3),
    with_material=st.booleans(),
    seed=st.integers(0, 100),
)
def test_vertex_colours_multiply_the_factor_in_linear_light(
    kind: str, width: int, factor: list[float], with_material: bool, seed: int
) -> None:
    made = Builder()
    linear = generator(seed, "linear").uniform(0.05, 1, (8, width))
    most = {"u1": 255, "u2": 65535, "f4": 1}[kind]
    stored = (linear * most).astype(f"<{kind}") if kind == "f4" else np.rint(linear * most).astype(f"<{kind}")
    stride = -(-width * stored.dtype.itemsize // 4) * 4
    more = {"material": made.material(baseColorFactor=[*factor, 1])} if with_material else {}
    primitive = cube(made, **more)
    primitive["attributes"]["COLOR_0"] = made.accessor(stored, stride=stride, normalized=kind != "f4")
    mesh = read(made.scene(primitive).glb())
    want = stored[:, :3] / most * (factor if with_material else 1)
    # Two roundings to bytes, each of half a level.
    assert np.abs(linear_to_srgb(light(mesh)) - linear_to_srgb(want)).max() * 255 < 1.3


def test_the_colours_of_one_part_leave_the_others_alone() -> None:
    made = Builder()
    coloured, plain, silent = cube(made), cube(made, material=made.material(baseColorFactor=[1, 0, 0, 1])), cube(made)
    coloured["attributes"]["COLOR_0"] = made.accessor(np.tile(np.array([0, 0.2, 0], "<f4"), (8, 1)))
    mesh = read(made.scene(coloured, plain, silent).glb())
    shown = np.rint(255 * linear_to_srgb(light(mesh))).astype(int).reshape(3, 8, 3)
    assert (shown == shown[:, :1]).all()
    assert shown[:, 0].tolist() == [[0, 124, 0], [255, 0, 0], [178, 178, 178]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("where", ["binary", "data", "beside"])
def test_pictures_from_everywhere(kind: str, where: str) -> None:
    import base64

    made, payload = Builder(), encoded(halves()[..., :3], kind)
    if where == "binary":
        image = {"bufferView": made.view(payload), "mimeType": f"image/{kind.lower()}"}
    elif where == "data":
        image = {"uri": f"data:image/{kind.lower()};base64,{base64.b64encode(payload).decode()}"}
    else:
        image = {"uri": "the%20picture"}
    source = made.add("images", image)
    if kind == "WEBP":
        made.root["extensionsRequired"] = ["EXT_texture_webp"]
        made.add("textures", {"extensions": {"EXT_texture_webp": {"source": source}}})
    else:
        made.add("textures", {"source": source})
    made.scene(
        square(made, UNIT, material=made.material(baseColorTexture={"index": 0}, baseColorFactor=[0.5, 0.5, 1, 1]))
    )
    material = read(made.glb(), {"the%20picture": payload}).materials[0]
    assert material.colour == (188, 188, 255, 255)
    edges = (slice(None), [0, 7])  # JPEG blurs the middle
    assert np.abs(material.texture.astype(int) - halves())[edges].max() < (20 if kind == "JPEG" else 1)


def test_a_picture_that_cannot_be_read_gives_way_to_the_plain_one_or_is_noted() -> None:
    made, noted = Builder(), []
    plain = made.add("images", {"bufferView": made.view(encoded(halves()))})
    basis = made.add("images", {"bufferView": made.view(b"\xabKTX 20\xbb\r\n\x1a\n not for us")})
    made.add("textures", {"source": plain, "extensions": {"KHR_texture_basisu": {"source": basis}}})
    made.scene(square(made, UNIT, material=made.material(baseColorTexture={"index": 0})))
    assert np.array_equal(read(made.glb(), noted=noted).materials[0].texture, halves())
    del made.root["textures"][0]["source"]
    material = read(made.glb(), noted=noted).materials[0]
    assert (material.texture, material.colour) == (None, (178, 178, 178, 255)), "a missing picture leaves neutral grey"
    assert noted == ["images[1]"]
    made.root["extensionsRequired"] = ["KHR_texture_basisu"]
    with pytest.raises(Reject, match="unsupported: glTF extension KHR_texture_basisu .*PNG"):
        read(made.glb())


def by_the_extension(uv: np.ndarray, offset: Any = (0, 0), rotation: float = 0.0, scale: Any = (1, 1)) -> np.ndarray:
    """One pair after the other; the direction of the rotation is that of the extension's own example."""
    out = []
    for u, v in uv * scale:
        angle = np.arctan2(v, u) - rotation  # v runs down
        out.append(np.hypot(u, v) * np.array([np.cos(angle), np.sin(angle)]) + offset)
    return np.array(out)


def test_the_extensions_own_example_shows_the_lower_left_quarter() -> None:
    corners = by_the_extension(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]), (0, 1), np.pi / 2, (0.5, 0.5))
    assert corners.min(axis=0) == pytest.approx([0, 0.5]) and corners.max(axis=0) == pytest.approx([0.5, 1])


@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(st.floats(-2, 2), min_size=5, max_size=5),
    present=st.sets(st.sampled_from(["offset", "rotation", "scale", "texCoord"])),
    first=st.sampled_from([0, 1, 3]),
)
def test_texture_coordinates_come_from_their_set_and_are_transformed(
    numbers: list[float], present: set[str], first: int
) -> None:
    made = Builder()
    rng = generator(4, "uv")
    sets = {number: rng.uniform(-1, 2, (4, 2)).astype("<f4") for number in (0, 1, 2, 3)}
    said = {"offset": numbers[:2], "rotation": numbers[2], "scale": numbers[3:], "texCoord": 2}
    said = {key: said[key] for key in sorted(present)}
    texture = {"index": made.picture(halves()), "texCoord": first, "extensions": {TRANSFORM: said}}
    primitive = square(made, None, material=made.material(baseColorTexture=texture))
    primitive["attributes"] |= {f"TEXCOORD_{number}": made.accessor(uv) for number, uv in sets.items()}
    mesh = read(made.scene(primitive).glb())
    moved = {key: value for key, value in said.items() if key != "texCoord"}
    want = by_the_extension(sets[2 if "texCoord" in present else first].astype(float), **moved)
    assert mesh.uv == pytest.approx(np.stack([want[:, 0], 1 - want[:, 1]], axis=1), abs=1e-6)


@pytest.mark.parametrize(("kind", "most"), [("u1", 255), ("u2", 65535), ("i2", 32767)])
def test_quantised_texture_coordinates(kind: str, most: int) -> None:
    made = Builder()
    primitive = square(made, None, material=made.material(baseColorTexture={"index": made.picture(halves())}))
    stored = (np.array(UNIT) * most).astype(f"<{kind}")
    primitive["attributes"]["TEXCOORD_0"] = made.accessor(
        stored, stride=-(-2 * stored.itemsize // 4) * 4, normalized=True
    )
    assert read(made.scene(primitive).glb()).uv.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_wraps_come_from_the_sampler() -> None:
    made = Builder()
    texture = made.picture(halves())
    made.root["textures"][texture]["sampler"] = made.add("samplers", {"wrapS": 33648, "wrapT": 33071})
    made.scene(square(made, UNIT, material=made.material(baseColorTexture={"index": texture})))
    assert read(made.glb()).materials[0].wrap == ("mirror", "clamp")
    made.root["samplers"][0] = {"magFilter": 9728}
    assert read(made.glb()).materials[0].wrap == ("repeat", "repeat")
    made.root["samplers"][0] = {"wrapS": 3}
    with pytest.raises(Reject, match=r"samplers\[0\]\.wrapS is 3; wanted one of"):
        read(made.glb())


@pytest.mark.parametrize(("side", "times"), [(4, 32), (48, 2), (100, 1), (200, 1)])
def test_texels_that_are_not_mixed_stay_hard(side: int, times: int) -> None:
    made = Builder()
    picture = generator(5, "palette").integers(0, 256, (side, side, 4)).astype(np.uint8)
    picture[..., 3] = 255
    texture = made.picture(picture)
    made.root["textures"][texture]["sampler"] = made.add("samplers", {"magFilter": 9728})
    made.scene(square(made, UNIT, material=made.material(baseColorTexture={"index": texture})))
    found = read(made.glb()).materials[0].texture
    assert np.array_equal(found[::times, ::times], picture) and found.shape[0] == times * side
    assert np.array_equal(found[times - 1 :: times, times - 1 :: times], picture)


def with_alpha(mode: str | None, alphas: tuple[int, int], factor: float = 1.0, **more: Any) -> Mesh:
    made = Builder()
    picture = halves((255, 0, 0, alphas[0]), (0, 0, 255, alphas[1]))
    number = made.material(baseColorTexture={"index": made.picture(picture)}, baseColorFactor=[1, 1, 1, factor])
    made.root["materials"][number] |= {} if mode is None else {"alphaMode": mode, **more}
    return read(made.scene(square(made, UNIT, material=number)).glb())


@pytest.mark.parametrize(
    ("mode", "alphas", "factor", "cutoff", "opacity", "drawn"),
    [
        (None, (60, 255), 0.3, None, 255, (255, 255)),
        ("OPAQUE", (60, 0), 0.0, None, 255, (255, 255)),
        ("MASK", (60, 255), 1.0, None, 255, (0, 255)),
        ("MASK", (60, 255), 1.0, 0.2, 255, (255, 255)),
        ("MASK", (60, 200), 0.5, 0.3, 255, (0, 255)),
        ("MASK", (200, 255), 0.5, None, 255, (0, 255)),
        ("MASK", (128, 127), 1.0, 0.5, 255, (255, 0)),
        ("MASK", (0, 0), 1.0, 0.0, 255, (255, 255)),
        ("MASK", (100, 100), 1.0, 0.9, 0, None),
        ("BLEND", (0, 255), 1.0, None, 255, (0, 255)),
        ("BLEND", (0, 255), 0.5, None, 128, (0, 255)),
        ("BLEND", (60, 60), 1.0, None, 60, (255, 255)),
        ("BLEND", (200, 200), 0.5, None, 100, (255, 255)),
        ("BLEND", (255, 255), 0.5, None, 128, (255, 255)),
    ],
)
def test_alpha_modes(
    mode: str | None, alphas: tuple[int, int], factor: float, cutoff: float | None, opacity: int, drawn: tuple | None
) -> None:
    material = with_alpha(mode, alphas, factor, **({} if cutoff is None else {"alphaCutoff": cutoff})).materials[0]
    assert material.colour == (255, 255, 255, opacity)
    if drawn is not None:
        assert material.texture[0, [0, 7], 3].tolist() == list(drawn)
        assert material.texture[0, [0, 7], :3].tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("mode", ["OPAQUE", "MASK", "BLEND"])
def test_the_alpha_of_vertices_counts_face_by_face(mode: str) -> None:
    made = Builder()
    number = made.material()
    made.root["materials"][number]["alphaMode"] = mode
    primitive = cube(made, material=number)
    alphas = np.array([1, 1, 1, 1, 0, 0, 0, 0.25])
    colours = np.column_stack([np.ones((8, 3)), alphas]).astype("<f4")
    primitive["attributes"]["COLOR_0"] = made.accessor(colours)
    mesh = read(made.scene(primitive).glb())
    opacity = np.array([mesh.materials[n].colour[3] for n in mesh.material_of_face]) / 255
    mean = alphas[CUBE_FACES.reshape(-1, 3)].mean(axis=1)
    want = {"OPAQUE": np.ones(12), "MASK": (mean >= 0.5).astype(float), "BLEND": mean}[mode]
    assert np.abs(opacity - want).max() <= (0 if mode != "BLEND" else 1 / 32 + 1 / 255)


def test_specular_glossiness_has_its_own_colour_and_unlit_changes_none() -> None:
    made = Builder()
    texture = made.picture(halves())
    number = made.material(baseColorFactor=[0, 0, 0, 1])
    glossy = {
        "diffuseFactor": [1, 0.5, 1, 1],
        "diffuseTexture": {"index": texture, "extensions": {TRANSFORM: {"offset": [0.5, 0]}}},
    }
    made.root["materials"][number]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": glossy}
    unlit = made.material(baseColorFactor=[0, 1, 0, 1])
    made.root["materials"][unlit]["extensions"] = {"KHR_materials_unlit": {}}
    made.root["extensionsRequired"] = ["KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit", TRANSFORM]
    mesh = read(made.scene(square(made, UNIT, material=number), cube(made, material=unlit)).glb())
    assert [m.colour for m in mesh.materials] == [(255, 188, 255, 255), (0, 255, 0, 255)]
    assert mesh.uv[0].tolist() == [0.5, 0]


def test_one_picture_of_many_materials_is_kept_once() -> None:
    made = Builder()
    texture = made.picture(halves((255, 0, 0, 60)))
    materials = [made.material(baseColorTexture={"index": texture}, baseColorFactor=[n / 4, 1, 1, 1]) for n in range(4)]
    mesh = read(made.scene(*(square(made, UNIT, material=number) for number in materials)).glb())
    assert len({id(material.texture) for material in mesh.materials}) == 1
    assert len(mesh.materials) == 4


def test_cutoffs_of_one_picture_stay_apart() -> None:
    made = Builder()
    texture = made.picture(halves((255, 0, 0, 100), (0, 0, 255, 200)))
    materials = []
    for cutoff in (0.3, 0.5, 0.9):
        materials.append(made.material(baseColorTexture={"index": texture}))
        made.root["materials"][-1] |= {"alphaMode": "MASK", "alphaCutoff": cutoff}
    mesh = read(made.scene(*(square(made, UNIT, material=number) for number in materials)).glb())
    holes = [(material.texture[0, [0, 7], 3] == 0).tolist() for material in mesh.materials[:2]]
    assert holes == [[False, False], [True, False]]
    assert [material.colour[3] for material in mesh.materials] == [255, 255, 0]


def test_a_picture_without_coordinates_is_not_shown() -> None:
    made = Builder()
    made.scene(square(made, None, material=made.material(baseColorTexture={"index": made.picture(halves())})))
    mesh = read(made.glb())
    assert (mesh.uv, mesh.materials[0].texture, mesh.materials[0].colour) == (None, None, (255, 255, 255, 255))
