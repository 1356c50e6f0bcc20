# PYTHON_ARGCOMPLETE_OK
"""``python -m voxelize``: see voxelize/cli.py."""

from __future__ import annotations

import sys

from pipeline.errors import run_command
from voxelize.cli import main

if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="interrupted; the same command again skips the meshes that are done"))
