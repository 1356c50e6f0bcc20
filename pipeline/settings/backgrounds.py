"""``backgrounds:``, what shapes stand in front of."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict

# What may stand behind a view instead of a picture.
PLAIN_COLOUR = r"^(random|white|transparent|#[0-9a-fA-F]{6})$"


class Backgrounds(Strict):
    """The picture bank that views are composited on."""

    source: Literal["procedural", "folder", "sun397", "sun2012", "none"] = "procedural"
    """Where the pictures come from; `procedural` draws room-like scenes and needs nothing; `none`: see `colour`."""
    colour: str = pydantic.Field(default="random", pattern=PLAIN_COLOUR)
    """Behind the views with source `none`: `random` (one a view, as 3D-R2N2), `white`, "#rrggbb" or `transparent`."""
    mirrors: tuple[str, ...] = ()
    """Addresses of the archive, tried in order; empty takes the official ones."""
    path: str | None = None
    """For `folder`: a folder of pictures, searched recursively."""
    count: int = pydantic.Field(default=256, ge=1, le=200_000)
    """Pictures in the bank (chosen by hash when there are more)."""
    bank_px: int | None = pydantic.Field(default=None, ge=16, le=2048)
    """Side of the stored square crops in pixels; null takes 1.25 x the render size."""
    blur_px: float = pydantic.Field(default=0.0, ge=0, le=32)
    """Each crop is blurred by a Gaussian of up to this many bank pixels, as if out of focus; 0 leaves it."""
    noise: float = pydantic.Field(default=0.0, ge=0, le=64)
    """Each crop gets sensor noise of up to this standard deviation in sRGB levels; 0 adds none."""
    colour_jitter: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Each colour channel of a crop is multiplied by a number within 1 +- this; 0 leaves the colours."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Backgrounds:
        if self.source == "folder" and not self.path:
            raise ValueError("source 'folder' needs `path`, a folder of pictures")
        if self.source != "none" and self.colour != "random":
            raise ValueError(f"`colour` is for source 'none', not for {self.source!r}; remove one of them")
        return self
