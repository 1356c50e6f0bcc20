"""SHA-256 of files, and the seal of an object that is written as JSON; needs nothing but Python itself.

The seal is one more key of an object, with the SHA-256 of the object without it:

    {"dataset": "demo", "files": [...], "seal": "sha256:4c1e..."}

It finds accidents, not intent.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SEAL, SEAL_PREFIX = "seal", "sha256:"


def sha256_of(path: Path, algorithm: str = "sha256") -> str:
    """Digest of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The object with its seal."""
    return value | {SEAL: seal_of(value)}


def seal_of(value: dict[str, Any]) -> str:
    """The seal of an object, whether it has one or not."""
    bare = {key: one for key, one in value.items() if key != SEAL}
    text = json.dumps(bare, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return SEAL_PREFIX + hashlib.sha256(text.encode()).hexdigest()
