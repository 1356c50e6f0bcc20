"""Materials of glTF become `Material`s: base colour, picture, wrap and opacity.

    base colour = COLOR_0 x baseColorFactor x baseColorTexture                  (section 3.9.2)

Factors and vertex colours are linear, pictures and `Material` are sRGB.  The alpha of that product
means nothing where alphaMode is OPAQUE, the default; MASK shows what reaches alphaCutoff; BLEND
lets light through.  Extensions: KHR_texture_transform moves the texture coordinates,
KHR_materials_pbrSpecularGlossiness has a diffuse colour in place of the base colour,
EXT_texture_webp another picture.  Specification:
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, UInt8

from pipeline.conventions import Alpha, Array
from pipeline.meshes.gltf.container import Buffers
from pipeline.meshes.gltf.document import Item, malformed
from pipeline.meshes.gltf.extensions import BASIS
from pipeline.meshes.mesh import Material, Wrap
from pipeline.pictures.colour import linear_to_srgb, srgb_to_linear

Picture: TypeAlias = UInt8[Array, "_H _W 4"]  # sRGB, straight alpha
Decode: TypeAlias = Callable[[str, bytes], Picture | None]
"""Turns the bytes of a picture into one, and notes its name where they are none."""

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_NEAREST = 9728  # magFilter
_HARD_PX = 128  # side up to which texels are enlarged; as large a picture is stored without loss (glb.py)
# The first of these that can be decoded is taken; "" is the texture's plain source.
_PICTURES = ("EXT_texture_webp", "EXT_texture_avif", "", "MSFT_texture_dds", BASIS)
_SOLID = 128  # alpha from which a texel of a see-through picture is drawn (render/backends/visibility.py)


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture on a surface."""

    number: int  # in the table of textures
    uv_set: int  # TEXCOORD_n
    uv_matrix: Float64[Array, "2 3"]  # of KHR_texture_transform, for glTF's own coordinates
    wrap: tuple[Wrap, Wrap]


@dataclass(frozen=True, eq=False)
class Look:
    """One material as glTF says it."""

    name: str
    factor: tuple[float, ...]  # linear red, green, blue, and alpha
    texture: Texture | None
    mode: Literal["OPAQUE", "MASK", "BLEND"]
    cutoff: float

    @property
    def takes_alpha(self) -> bool:
        """Whether the alpha of the vertices counts."""
        return self.mode != "OPAQUE"


_WHITE = Look("", (1.0, 1.0, 1.0, 1.0), None, "OPAQUE", 0.5)
_GREY = tuple(float(v) for v in srgb_to_linear(np.array(Material().colour[:3]) / 255))
_SAYS_NOTHING = Look("", (*_GREY, 1.0), None, "OPAQUE", 0.5)


class Looks:
    """The materials of one file; each picture is decoded once."""

    def __init__(self, root: Item, buffers: Buffers, decode: Decode | None):
        self._root, self._buffers, self._decode = root, buffers, decode
        self._looks: dict[int, Look] = {}
        self._pictures: dict[int, Picture | None] = {}
        self._made: dict[tuple[int, str, float, float], tuple[Picture, float]] = {}

    def look(self, primitive: Item, *, coloured: bool) -> Look:
        """The look of a primitive; of one that says nothing of its colour, the neutral grey of `Material`."""
        number = primitive.index("material")
        if number is None:
            return _WHITE if coloured else _SAYS_NOTHING
        if number not in self._looks:
            self._looks[number] = self._read(self._root.entry("materials", number, primitive.place("material")))
        return self._looks[number]

    def material(self, look: Look, share: float = 1.0) -> Material:
        """What is drawn; `share` is the alpha of the vertices."""
        texture, alpha = look.texture, look.factor[3] * share
        picture = None if texture is None else self._picture(texture.number)
        light = np.array(look.factor[:3])
        if texture is not None and picture is None and self._decode is not None:
            light = light * _GREY  # as of any surface whose picture is missing
        opacity = 1.0 if look.mode == "OPAQUE" or (look.mode == "MASK" and alpha >= look.cutoff) else alpha
        if look.mode == "MASK" and alpha < look.cutoff and picture is None:
            opacity = 0.0
        if texture is not None and picture is not None:
            picture, opacity = self._with_alpha(texture.number, picture, look, alpha)
        red, green, blue = (int(v) for v in np.rint(linear_to_srgb(light.clip(0, 1)) * 255))
        wrap: tuple[Wrap, Wrap] = ("repeat", "repeat") if picture is None or texture is None else texture.wrap
        return Material((red, green, blue, round(255 * min(max(opacity, 0.0), 1.0))), picture, look.name, wrap)

    def _read(self, item: Item) -> Look:
        surface, names = item.item("pbrMetallicRoughness"), ("baseColorFactor", "baseColorTexture")
        glossy = item.extension("KHR_materials_pbrSpecularGlossiness")
        if glossy is not None:
            surface, names = glossy, ("diffuseFactor", "diffuseTexture")
        factor, texture = _WHITE.factor, None
        if surface is not None:
            factor = surface.numbers(names[0], 4, _WHITE.factor)
            texture = surface.item(names[1])
        mode = item.text("alphaMode", "OPAQUE")
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            malformed(item.place("alphaMode"), repr(mode), "OPAQUE, MASK or BLEND")
        cutoff = item.number("alphaCutoff", 0.5)
        name = item.value.get("name")
        return Look(
            name if isinstance(name, str) else "",
            factor,
            None if texture is None else self._texture(texture),
            mode,  # type: ignore[arg-type]
            cutoff,
        )

    def _texture(self, info: Item) -> Texture:
        number = info.whole("index")
        texture = self._root.entry("textures", number, info.place("index"))
        uv_set, matrix = info.whole("texCoord", 0), np.eye(3)[:2]
        moved = info.extension("KHR_texture_transform")
        if moved is not None:
            uv_set = moved.whole("texCoord", uv_set)
            matrix = _transform(moved)
        sampler = texture.index("sampler")
        wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
        if sampler is not None:
            said = self._root.entry("samplers", sampler, texture.place("sampler"))
            wrap = (_wrap(said, "wrapS"), _wrap(said, "wrapT"))
        return Texture(number, uv_set, matrix, wrap)

    def _picture(self, number: int) -> Picture | None:
        if number not in self._pictures:
            texture = self._root.entry("textures", number, "textures")
            picture = self._decoded(texture)
            self._pictures[number] = picture if picture is None else self._with_hard_texels(picture, texture)
        return self._pictures[number]

    def _with_hard_texels(self, picture: Picture, texture: Item) -> Picture:
        """A small picture whose sampler mixes no texels, as the palettes of low-poly models, with larger texels."""
        sampler = texture.index("sampler")
        if sampler is None or self._root.entry("samplers", sampler, "samplers").value.get("magFilter") != _NEAREST:
            return picture
        times = max(_HARD_PX // max(picture.shape[:2]), 1)
        return picture.repeat(times, axis=0).repeat(times, axis=1)

    def _decoded(self, texture: Item) -> Picture | None:
        """The first of a texture's pictures that can be decoded."""
        if self._decode is None:
            return None
        for name in _PICTURES:
            said = texture.extension(name) if name else texture
            source = None if said is None else said.index("source")
            if said is None or source is None:
                continue
            image = self._root.entry("images", source, said.place("source"))
            data, shown = self._bytes(image)
            picture = None if data is None else self._decode(shown, data)
            if picture is not None:
                return picture
        return None

    def _bytes(self, image: Item) -> tuple[bytes | None, str]:
        """A picture's bytes and what to call it."""
        view = image.index("bufferView")
        if view is not None:
            return bytes(self._buffers.view(view, image.place("bufferView"))[0]), image.where
        uri = image.text("uri")
        return self._buffers.named(uri, image.place("uri")), image.where if uri.startswith("data:") else uri

    def _with_alpha(self, number: int, picture: Picture, look: Look, alpha: float) -> tuple[Picture, float]:
        """The picture as it is drawn, and the opacity of the whole surface; equal wishes share one picture."""
        wish = (number, look.mode, *((alpha, look.cutoff) if look.mode == "MASK" else (0.0, 0.0)))
        if wish not in self._made:
            self._made[wish] = (
                _masked(picture, alpha, look.cutoff) if look.mode == "MASK" else _clear(picture, look.mode)
            )
        made, opacity = self._made[wish]
        return made, opacity * alpha if look.mode == "BLEND" else opacity


def uv_of(coordinates: Float64[Array, "V 2"], texture: Texture) -> Float64[Array, "V 2"]:
    """Texture coordinates of glTF, whose v runs down -> those of `Mesh`, whose v runs up."""
    matrix = texture.uv_matrix
    moved = coordinates @ matrix[:, :2].T + matrix[:, 2]
    moved[:, 1] = 1.0 - moved[:, 1]
    return np.asarray(moved)


def _transform(said: Item) -> Float64[Array, "2 3"]:
    """Scale, then rotate, then shift.

    The rotation goes counter-clockwise as seen on the picture, whose v runs down: the
    extension's example turns (1, 0) by a quarter to (0, -1).
    """
    angle = said.number("rotation", 0.0)
    shift, scale = said.numbers("offset", 2, (0.0, 0.0)), said.numbers("scale", 2, (1.0, 1.0))
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c * scale[0], s * scale[1], shift[0]], [-s * scale[0], c * scale[1], shift[1]]])


def _wrap(sampler: Item, key: str) -> Wrap:
    code = sampler.whole(key, 10497)
    if code not in _WRAPS:
        malformed(sampler.place(key), code, f"one of {sorted(_WRAPS)}")
    return _WRAPS[code]


def _masked(picture: Picture, alpha: float, cutoff: float) -> tuple[Picture, float]:
    """Holes where the product of the alphas stays below the cutoff; a surface of holes only is invisible."""
    solid = picture[..., 3] * (alpha / 255) >= cutoff
    if not solid.any():
        return picture, 0.0
    return _with_channel(picture, np.where(solid, np.uint8(255), np.uint8(0))), 1.0


def _clear(picture: Picture, mode: str) -> tuple[Picture, float]:
    """OPAQUE: the picture without its alpha.  BLEND: holes stay, and a veil over all of it becomes the opacity."""
    alpha = picture[..., 3]
    veil = mode == "BLEND" and bool(alpha.min() == alpha.max() or alpha.max() < _SOLID)
    if mode == "BLEND" and not veil:
        return picture, 1.0
    return _with_channel(picture, np.full_like(alpha, 255)), float(alpha.mean() / 255) if veil else 1.0


def _with_channel(picture: Picture, alpha: Alpha) -> Picture:
    return picture if np.array_equal(picture[..., 3], alpha) else np.dstack([picture[..., :3], alpha])
