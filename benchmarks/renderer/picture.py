"""``python -m benchmarks.renderer.picture``: the pictures of docs/renderer.md, from generated furniture only."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from pipeline.conventions import Image
from pipeline.furniture import CATEGORIES, make_shape
from pipeline.furniture.rooms import room_picture
from pipeline.meshes.normalise import normalise
from pipeline.pictures.bank import Bank, background, composite
from pipeline.settings.render import Specular
from render.backends.raster import RasterBackend
from render.buffers import HIGHLIGHTS
from render.cameras import PRESETS, make_cameras
from render.lights import make_lights
from render.pack import choose_background
from render.scene import prepare_scene
from render.sheet import Row, draw_sheet

OUT = Path(__file__).resolve().parents[2] / "docs" / "img"
SIZE_PX, VIEWS = 128, 6


def main() -> None:
    """One sheet with a class a row, one with a camera preset a row, one of surfaces."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderer.picture", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=OUT, help="folder of the pictures (default: docs/img)")
    out = parser.parse_args().output
    bank = Bank(np.stack([room_picture(1, number, 160) for number in range(24)]))
    out.mkdir(parents=True, exist_ok=True)
    classes = [Row(f"{name}\nr2n2 cameras", (), views(name, "r2n2", bank)) for name in CATEGORIES]
    save(out / "renderer-classes.jpg", draw_sheet("Generated furniture, built-in renderer", "128 px", classes, SIZE_PX))
    presets = [Row(f"{preset}\nchair", (), views("chair", preset, bank)) for preset in PRESETS]
    save(out / "renderer-cameras.jpg", draw_sheet("Camera presets", "the first six views of each", presets, SIZE_PX))
    glossy = [Specular(strength=0.0), HIGHLIGHTS, Specular(strength=0.4, shininess=16)]
    surfaces = [
        Row(f"highlights {look.strength:g}\nshininess {look.shininess}", (), views("sofa", "r2n2", bank, look))
        for look in glossy
    ]
    surfaces.append(Row("opacity 0.5\nevery face", (), views("bookcase", "r2n2", bank, opacity=128)))
    surfaces.append(Row("no picture\ncolour: random", (), views("bed", "r2n2", None)))
    save(
        out / "renderer-surfaces.jpg", draw_sheet("Highlights, opacity, plain backgrounds", "128 px", surfaces, SIZE_PX)
    )


def views(
    category: str, preset: str, bank: Bank | None, specular: Specular = HIGHLIGHTS, opacity: int = 255
) -> list[Image]:
    """The first views of one shape; without a bank on plain colours."""
    mesh, _, _ = normalise(make_shape(3, category, 5), np.eye(3), max_faces=10**6)
    mesh.materials = [dataclasses.replace(m, colour=(*m.colour[:3], opacity)) for m in mesh.materials]
    backend = RasterBackend(2, specular)
    backend.load(prepare_scene(mesh))
    out = []
    for view, camera in enumerate(
        make_cameras(preset, seed=1, shape_id=category, views=VIEWS, size_px=SIZE_PX, vertices=mesh.vertices)
    ):
        rgba = backend.render(camera, make_lights(1, category, view, camera)).rgba
        number, crop = choose_background(1, category, view, bank, "photo" if bank else "random", SIZE_PX)
        out.append(composite(rgba, background(bank, number, crop, SIZE_PX)))
    return out


def save(path: Path, picture: Image) -> None:
    """A JPEG small enough for a repository."""
    Pillow.fromarray(picture).save(path, quality=80)


if __name__ == "__main__":
    main()
