# PYTHON_ARGCOMPLETE_OK
"""``python -m shapes``: see shapes/command.py."""

from __future__ import annotations

import sys

from pipeline.errors import run_command
from shapes.command import main

if __name__ == "__main__":
    sys.exit(run_command(main))
