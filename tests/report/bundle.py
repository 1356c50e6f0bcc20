"""``python -m tests.report.bundle``: write down of which sources the committed bundles were made.

Where npm is, a test makes them again and compares bytes; elsewhere the digest of the sources has to do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from report.gallery import build

SOURCES = ("orbit.js", "package.json", "package-lock.json", "runtime.js", "scene.js", "surface.js", "voxels.js")
RECORD = build.HOME / "dist" / "sources.sha256"


def digest(folder: Path = build.HOME) -> str:
    """SHA-256 over the names and contents of the sources."""
    found = hashlib.sha256()
    for name in SOURCES:
        found.update(name.encode() + b"\0" + (folder / name).read_bytes() + b"\0")
    return found.hexdigest()


if __name__ == "__main__":
    RECORD.write_text(digest() + "\n", encoding="utf-8")
