"""What every section of the configuration has in common."""

from __future__ import annotations

import pydantic


class Strict(pydantic.BaseModel):
    """Unknown keys are errors, values are not coerced across types, instances do not change."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True)
