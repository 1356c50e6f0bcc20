"""``shards:``, and what of it and of ``backgrounds:`` a shard depends on."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.backgrounds import PLAIN_COLOUR, Backgrounds
from pipeline.settings.base import Strict


class Shards(Strict):
    """How views are composited and stored for training."""

    storage: Literal["composite", "layers"] = "composite"
    """`composite` stores finished pictures; `layers` foreground and background choice."""
    compositing: Literal["srgb", "linear"] = "srgb"
    """Space in which soft edges are blended."""


class PackSettings(Strict):
    """What a training shard depends on: `shards:`, and of `backgrounds:` only what is not in the bank."""

    storage: Literal["composite", "layers"] = "composite"
    """As in `shards`."""
    compositing: Literal["srgb", "linear"] = "srgb"
    """As in `shards`."""
    background: str = pydantic.Field(default="photo", pattern=PLAIN_COLOUR.replace("(", "(photo|"))
    """`photo` uses the bank; the rest are the plain colours of `backgrounds.colour`."""

    @classmethod
    def of(cls, shards: Shards, backgrounds: Backgrounds) -> PackSettings:
        """The part of both sections that `pack` reads."""
        background = backgrounds.colour if backgrounds.source == "none" else "photo"
        return cls(storage=shards.storage, compositing=shards.compositing, background=background)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> PackSettings:
        if self.storage == "composite" and self.background == "transparent":
            raise ValueError("finished pictures cannot be transparent; set shards.storage to layers")
        return self
