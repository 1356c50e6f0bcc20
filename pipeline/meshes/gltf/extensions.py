"""Which glTF extensions a file may require, and what to do about the others.

A file that requires an extension looks or stands wrong without it, so what is not in this list
is refused by name.  Registry: https://github.com/KhronosGroup/glTF/tree/main/extensions
"""

from __future__ import annotations

import importlib.util
import re

from PIL import features

from pipeline.errors import Reject
from pipeline.meshes.gltf.document import Item

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
BASIS = "KHR_texture_basisu"

# Read here, in accessors.py, nodes.py and materials.py.
_READ = {
    "EXT_mesh_gpu_instancing",
    "EXT_texture_webp",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "KHR_texture_transform",
}
# They change neither a place nor the base colour, which is all that is taken from a file.
_NO_DIFFERENCE = {
    "EXT_lights_image_based",
    "EXT_lights_ies",
    "KHR_animation_pointer",
    "KHR_lights_punctual",
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_diffuse_transmission",
    "KHR_materials_dispersion",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_iridescence",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_variants",
    "KHR_materials_volume",
    "KHR_xmp_json_ld",
    "MSFT_packing_normalRoughnessMetallic",
    "MSFT_packing_occlusionRoughnessMetallic",
}
_ONLY_LOOKS = re.compile(r"[A-Z]+_(materials|texture)_")
_REMEDIES = {
    DRACO: "install the Python package DracoPy (pip install DracoPy), or export without Draco compression",
    MESHOPT[0]: "export without meshopt compression, or unpack it with `gltf-transform copy IN.glb OUT.glb`",
    MESHOPT[1]: "export without meshopt compression, or unpack it with `gltf-transform copy IN.glb OUT.glb`",
    BASIS: "export the textures as PNG, JPEG or WebP (`gltf-transform` and `ktx` turn KTX2 into PNG)",
    "EXT_texture_avif": "install a Pillow that reads AVIF, or export the textures as PNG, JPEG or WebP",
    "MSFT_texture_dds": "export the textures as PNG, JPEG or WebP",
}


def unsupported(name: str) -> Reject:
    """The rejection that names an extension and what to do."""
    remedy = _REMEDIES.get(name, "export the file again without this extension")
    return Reject("unsupported", f"glTF extension {name[:80]} is not read here: {remedy}")


def check_required(root: Item, *, looks: bool) -> None:
    """Reject("unsupported") for the first extension that the file requires and nothing here reads.

    Without `looks`, those of materials and textures make no difference.
    """
    for name in root.texts("extensionsRequired"):
        if not _readable(name) and (looks or not _ONLY_LOOKS.match(name)):
            raise unsupported(name)


def draco_is_here() -> bool:
    """Whether the decoder is installed."""
    return importlib.util.find_spec("DracoPy") is not None


def _readable(name: str) -> bool:
    if name == DRACO:
        return draco_is_here()
    if name == "EXT_texture_avif":
        return bool(features.check("avif"))
    return name in _READ or name in _NO_DIFFERENCE
