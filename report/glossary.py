"""The words of the report, read from the tables of docs/metrics.md: one place says what each number means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

METRICS = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
PARTS = ("Reconstruction", "Samples from the prior", "Classification by the discriminator's features", "Photographs")


def glossary(document: Path = METRICS) -> list[dict[str, Any]]:
    """Title of each part of the document and its (number, definition) pairs; nothing where the document is absent."""
    if not document.exists():
        return []
    sections = re.split(r"^## ", document.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = []
    for section in sections:
        title, _, body = section.partition("\n")
        words = [
            (_plain(cells[0]), _plain(cells[1]))
            for line in body.splitlines()
            if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) >= 2
        ]
        if title in PARTS and words:
            found.append({"title": title, "words": words})
    return found


def _plain(markdown: str) -> str:
    """Without the marks of code and links."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown.replace("`", "")).strip(" |")
