"""The OpenGL backend: pyrender on a GPU through EGL, or in software through EGL or OSMesa.

What goes wrong with pyrender 0.1.45, and what is done about it here:

    its PBR shader leaves faces of the wrong winding black    own shaders, the light of shading.py
    colours come premultiplied by coverage                    no multisampling: each sample is there or not
    MSAA's samples lie elsewhere on every machine             drawn `supersampling` times as large, box-filtered
    np.infty is gone from NumPy 2 (bounds, scale)             neither is called
    OSMesa says it has no framebuffers and drops alpha        it is told that it has
    a forked child of a process with a context hangs          one renderer in a process that is spawned
    deleting one renderer breaks another                      one renderer a process, for its whole life
    PYOPENGL_PLATFORM is read once, at import                 chosen by probing in processes of their own

Only this module may import pyrender.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import Depth, Image
from pipeline.errors import UserError
from pipeline.meshes.mesh import Material
from pipeline.pictures.colour import SRGB_TO_LINEAR, srgb_bytes
from pipeline.settings.render import Specular
from render.buffers import AMBIENT, CUTOUT_ALPHA, DIRECTIONAL, FLAT, HIGHLIGHTS, POINT, Buffers, Lights
from render.cameras import Camera
from render.scene import Scene, sample_masks

NAME = "pyrender"
PLATFORMS = ("egl", "osmesa")
PROBE_SECONDS = 60.0
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")
SHADERS = Path(__file__).parent / "shaders"
# First digits of the SHA-256 of the shaders; here because the digest of a stage reads Python files only.
SHADERS_VERSION = "1acecaf4196c"

_PROBE = """
import os, pyrender
renderer = pyrender.OffscreenRenderer(16, 16)
from OpenGL.GL import GL_RENDERER, GL_VERSION, glGetString
print("renderer:", glGetString(GL_RENDERER).decode(), "/", glGetString(GL_VERSION).decode(), flush=True)
os._exit(0)
"""


@functools.cache
def probe(platform: str) -> tuple[str, str]:
    """(name of the OpenGL renderer, why there is none): one is empty. Runs in a process of its own."""
    environment = {**os.environ, "PYOPENGL_PLATFORM": platform}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROBE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"{platform}: no answer in {PROBE_SECONDS:g} s"
    for line in done.stdout.splitlines():
        if line.startswith("renderer: "):
            return line.removeprefix("renderer: "), ""
    last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    return "", f"{platform}: {last[0]}"


def gpu_answers() -> bool:
    """True where EGL gives a context on a GPU, not one in software."""
    name = probe("egl")[0].lower()
    return bool(name) and not any(word in name for word in SOFTWARE)


def platforms() -> list[str]:
    """The platforms that give a context, best first; PYOPENGL_PLATFORM narrows the choice."""
    wanted = os.environ.get("PYOPENGL_PLATFORM")
    return [platform for platform in PLATFORMS if wanted in (None, platform) and probe(platform)[0]]


def available() -> bool:
    """True where any platform gives a context."""
    return bool(platforms())


def why_not() -> str:
    """What each platform said."""
    return "; ".join(probe(platform)[1] for platform in PLATFORMS if probe(platform)[1])


class PyrenderBackend:
    """Draws views of one scene after another; make one in a process, and keep it."""

    name = NAME
    _made_in: int | None = None

    def __init__(self, supersampling: int = 2, specular: Specular = HIGHLIGHTS, platform: str | None = None):
        if PyrenderBackend._made_in == os.getpid():
            raise UserError("a second OpenGL renderer in one process", do="use the first one, or another process")
        platform = platform or platforms()[0]
        os.environ["PYOPENGL_PLATFORM"] = platform
        self._gl = _import_pyrender(platform)
        PyrenderBackend._made_in = os.getpid()
        self._supersampling, self._specular = supersampling, specular
        self._renderer: Any = None
        self.platform = platform
        self.version = f"pyrender {self._gl.__version__}, {platform}, {probe(platform)[0]}, shaders {SHADERS_VERSION}"

    def load(self, scene: Scene) -> None:
        """Hand a scene to OpenGL; what was loaded before leaves the context with the next view."""
        gl = self._gl
        corners = scene.faces.reshape(-1)
        self._materials = []
        primitives = []
        self._textures: dict[tuple[int, tuple[str, str]], Any] = {}
        self._masks = sample_masks(scene.opacity, self._supersampling)
        for number in np.unique(scene.face_material):
            of_it = np.repeat(scene.face_material == number, 3)
            material = self._material(scene, int(number))
            textured = material.baseColorTexture is not None
            used = corners[of_it]
            primitives.append(
                gl.Primitive(
                    positions=scene.vertices[used].astype(np.float32),
                    normals=scene.normals.reshape(-1, 3)[of_it],
                    texcoord_0=scene.uv[used].astype(np.float32) if textured else None,
                    color_0=scene.vertex_colours[used] / np.float32(255) if len(scene.vertex_colours) else None,
                    material=material,
                )
            )
            self._materials.append(material)
        self._mesh = gl.Mesh(primitives)
        self._diameter = scene.diameter

    def _material(self, scene: Scene, number: int) -> Any:
        """Colour and texture of one material; what else PBR has carries what backends/shaders/ need."""
        source, textured = scene.materials[number], bool(scene.level_count[number])
        texture = None
        if textured and source.texture is not None:
            key = (id(source.texture), source.wrap)
            if key not in self._textures:
                picture = source.texture.copy()
                if not scene.cutout[number]:
                    picture[..., 3] = 255
                # The cut-out's limit lies at 128 of 255 here, at 0.5 in the shader.
                picture[..., 3] = np.where(picture[..., 3] >= CUTOUT_ALPHA, 255, 0)
                self._textures[key] = self._gl.Texture(
                    source=picture, source_channels="RGBA", sampler=self._sampler(source)
                )
            texture = self._textures[key]
        colour = np.array(source.colour[:3]) / 255.0
        return self._gl.MetallicRoughnessMaterial(
            baseColorFactor=np.array([*colour, float(self._supersampling << 16 | int(self._masks[number]))]),
            baseColorTexture=texture,
            metallicFactor=self._specular.strength,
            roughnessFactor=1 / self._specular.shininess,
            doubleSided=True,
            alphaMode="OPAQUE",
        )

    def _sampler(self, material: Material) -> Any:
        """How the material's texture goes on outside [0, 1], as OpenGL calls it."""
        from OpenGL.GL import GL_CLAMP_TO_EDGE, GL_MIRRORED_REPEAT, GL_REPEAT

        codes = {"repeat": GL_REPEAT, "clamp": GL_CLAMP_TO_EDGE, "mirror": GL_MIRRORED_REPEAT}
        along_u, along_v = (codes[way] for way in material.wrap)
        return self._gl.Sampler(wrapS=along_u, wrapT=along_v)

    def render(self, camera: Camera, lights: Lights) -> Buffers:
        """Draw one view of the loaded scene."""
        gl, factor = self._gl, self._supersampling
        side = camera.size_px * factor
        flat = lights[lights[:, 3] == FLAT]
        for material in self._materials:
            material.emissiveFactor = (flat[:, 4:7] * flat[:, 7:]).sum(axis=0).astype(np.float64)
        sky = lights[lights[:, 3] == AMBIENT]
        scene = gl.Scene(bg_color=np.zeros(4), ambient_light=(sky[:, 4:7] * sky[:, 7:]).sum(axis=0).astype(np.float64))
        scene.add(self._mesh)
        _add_lights(gl, scene, lights)
        K = camera.K * factor
        nearest = max(camera.distance - self._diameter, 1e-3)
        farthest = camera.distance + self._diameter
        scene.add(
            gl.IntrinsicsCamera(K[0, 0], K[1, 1], K[0, 2], K[1, 2], znear=nearest, zfar=farthest),
            pose=camera.camera_to_world,
        )
        if self._renderer is None:
            self._renderer = gl.OffscreenRenderer(side, side)
            self._renderer._renderer._program_cache.shader_dir = str(SHADERS)
        self._renderer.viewport_width = self._renderer.viewport_height = side
        colour, depth = self._renderer.render(scene, flags=gl.RenderFlags.RGBA)
        return resolve(colour, depth, factor)

    def close(self) -> None:
        """The renderer is left to the end of the process: deleting it breaks what comes after."""


def resolve(samples: Image, depth: Depth, factor: int) -> Buffers:
    """(S*f, S*f, 4) samples that are there or not -> pixels with straight alpha; depth of the nearest sample."""
    size = samples.shape[0] // factor
    blocks = samples.reshape(size, factor, size, factor, 4).swapaxes(1, 2).reshape(size, size, -1, 4)
    there = blocks[..., 3] >= 128
    count = there.sum(axis=2)
    light = (SRGB_TO_LINEAR[blocks[..., :3]] * there[..., None]).sum(axis=2) / np.maximum(count, 1)[..., None]
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., :3] = srgb_bytes(light.astype(np.float32))
    rgba[..., 3] = (255 * count + there.shape[2] // 2) // there.shape[2]
    far = np.where(depth > 0, depth, np.inf).reshape(size, factor, size, factor)
    nearest = far.min(axis=(1, 3)).astype(np.float32)
    nearest[count == 0] = np.inf
    ids = np.where(count > 0, 0, -1).astype(np.int32)  # OpenGL does not say which face it was
    rgba[count == 0] = 0
    return Buffers(rgba, nearest, np.zeros((size, size, 3), np.float32), ids)


def _add_lights(gl: Any, scene: Any, lights: Lights) -> None:
    """The rows of the table as pyrender's own lights."""
    for x, y, z, kind, red, green, blue, energy in lights.astype(np.float64):
        pose = np.eye(4)
        colour = np.array([red, green, blue])
        if kind == DIRECTIONAL:
            # Light travels along the node's -Z; pyrender needs a true rotation, the roll is free.
            side = np.cross([x, y, z], np.eye(3)[int(np.argmin(np.abs([x, y, z])))])
            side /= np.linalg.norm(side)
            pose[:3, :3] = np.stack([side, np.cross([x, y, z], side), [x, y, z]], axis=1)
            scene.add(gl.DirectionalLight(color=colour, intensity=float(energy)), pose=pose)
        elif kind == POINT:
            pose[:3, 3] = x, y, z
            scene.add(gl.PointLight(color=colour, intensity=float(energy)), pose=pose)


def _import_pyrender(platform: str) -> Any:
    """pyrender with multisampling off and OSMesa's framebuffers on."""
    import pyrender
    import pyrender.renderer

    storage = pyrender.renderer.glRenderbufferStorageMultisample
    pyrender.renderer.glRenderbufferStorageMultisample = (
        lambda target, samples, *rest: storage(target, 0, *rest)  # 0 samples: an ordinary buffer
    )
    if platform == "osmesa":
        from pyrender.platforms.osmesa import OSMesaPlatform

        OSMesaPlatform.supports_framebuffers = lambda self: True
    return pyrender
