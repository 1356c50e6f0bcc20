"""The installed command `shapes`: starts the same Python again, with the project on its path.

    shapes voxelize chair.obj   ->   python -P -m shapes voxelize chair.obj

Needs nothing but the standard library, so that it can say on any system what is missing.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import NoReturn

from . import PROJECT

# Says to every process below how the person called it; messages then name `shapes`, not `python -m ...`.
VARIABLE = "SHAPES_COMMAND"


def main() -> NoReturn:
    """Replace this process by ``python -m shapes`` with the same words."""
    if said := runpy.run_path(str(PROJECT / "envs" / "check_python.py"))["unfit"]():
        sys.exit(f"error: {said}")
    # -P: a folder `render` where the command is given must not stand for the project's.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "shapes", *sys.argv[1:]], environment())


def environment() -> dict[str, str]:
    """This process's variables, with the project in front of the path of the Pythons below it."""
    path = [str(PROJECT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONSAFEPATH": "1",
        VARIABLE: "shapes",
    }
