"""The built-in backend: a z-buffer on one CPU core that needs no graphics library at all."""

from __future__ import annotations

import numpy as np

from pipeline.conventions import Bools
from pipeline.pictures.colour import SRGB_TO_LINEAR
from pipeline.settings.render import Specular
from render.backends.shading import shade
from render.backends.visibility import draw
from render.buffers import HIGHLIGHTS, Buffers, Lights
from render.cameras import Camera
from render.scene import ENCODE, Scene, sample_masks

NAME = "raster"
NEAR = 1e-3  # in unit-box sides; surfaces nearer to the eye are not seen


class RasterBackend:
    """Draws views of one scene after another."""

    name = NAME
    version = "2"  # other pictures of the same scene are another version

    def __init__(self, supersampling: int = 2, specular: Specular = HIGHLIGHTS):
        self._supersampling, self._specular = supersampling, specular
        # Kept from view to view: fresh memory costs more than the smallest views.
        self._nearness, self._samples = np.empty((0, 0), np.float32), np.empty((0, 0), np.int32)

    def load(self, scene: Scene) -> None:
        """Take a scene; the next `render` calls draw it."""
        self._scene = scene
        self._masks = sample_masks(scene.opacity, self._supersampling)
        self._local, self._screen = np.empty((len(scene.vertices), 3)), np.empty((len(scene.vertices), 2), np.float32)

    def render(self, camera: Camera, lights: Lights) -> Buffers:
        """Draw one view of the loaded scene."""
        scene, factor, size = self._scene, self._supersampling, camera.size_px
        K, pose = camera.K, np.ascontiguousarray(camera.camera_to_world)
        pinhole = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]]) * factor
        if self._nearness.shape[0] != size * factor:
            self._nearness = np.empty((size * factor, size * factor), np.float32)
            self._samples = np.empty((size * factor, size * factor), np.int32)
        nearness, samples, local = self._nearness, self._samples, self._local
        draw(
            scene.vertices,
            scene.faces,
            pinhole,
            pose,
            NEAR,
            local,
            self._screen,
            nearness,
            samples,
            scene.face_material,
            scene.cutout,
            self._masks,
            factor,
            scene.levels,
            scene.first_level,
            scene.wrap,
            scene.texels,
            scene.uv,
        )
        rgba = np.zeros((size, size, 4), np.uint8)
        depth = np.full((size, size), np.inf, np.float32)
        normals = np.zeros((size, size, 3), np.float32)
        ids = np.full((size, size), -1, np.int32)
        shade(
            local,
            scene.faces,
            pinhole,
            pose,
            nearness,
            samples,
            scene.normals,
            np.ascontiguousarray(lights, dtype=np.float32),
            self._specular.strength,
            self._specular.shininess,
            scene.face_material,
            scene.material_colour,
            scene.levels,
            scene.first_level,
            scene.level_count,
            scene.wrap,
            scene.texels,
            scene.uv,
            scene.texel_density,
            scene.vertex_colours,
            SRGB_TO_LINEAR,
            ENCODE,
            rgba,
            depth,
            normals,
            ids,
        )
        return Buffers(rgba, depth, normals, ids)

    @property
    def covered(self) -> Bools:
        """(S * f, S * f) which samples of the last view anything covers."""
        return np.asarray(self._samples >= 0)

    def close(self) -> None:
        """Nothing to give back."""
