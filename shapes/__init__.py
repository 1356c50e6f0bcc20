"""The application: one command, `shapes`, for those who install this project instead of checking it out.

Installed, the whole project lies under one name in the Python's packages (`PACKAGE`), as it lies in a checkout:
the folder above this file is the project in both.  No room of it can be imported there by its own name; the command
starts processes whose path begins with that folder, as the rules of the workflow do.
"""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SNAKEFILE = str(PROJECT / "Snakefile")
PACKAGE = "shapes_to_vaegan"  # of the wheel, see pyproject.toml
