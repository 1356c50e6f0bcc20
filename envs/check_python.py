"""Whether this Python can carry the project; says in words what is wrong.

    python3 envs/check_python.py

`make setup` asks before it makes the virtual environment: what is told here would otherwise be the
last of a hundred lines of pip's, or a failure half an hour later.  The installed command asks too (shapes/entry.py),
on any system.  Any Python from 3.6 on runs this file.
"""

import importlib
import struct
import sys

LOWEST, HIGHEST = (3, 11), (3, 14)  # what the lock files have packages for; classifiers in pyproject.toml say the same
# What distributions put in packages of their own, and what an own build leaves out without a word.
PARTS = ("ensurepip", "venv", "bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib")


def unfit():
    """Why this system or this Python cannot carry the project, and what to do about it; empty where it can."""
    if not LOWEST <= sys.version_info[:2] <= HIGHEST:
        lowest, highest, here = (".".join(map(str, v[:2])) for v in (LOWEST, HIGHEST, sys.version_info))
        return f"Python {lowest} to {highest} is needed; {sys.executable} is {here}. Try: make PYTHON=python{lowest}"
    if not sys.platform.startswith("linux"):
        return f"Linux is needed; this is {sys.platform}. On Windows use WSL 2, elsewhere a container of Linux"
    if struct.calcsize("P") != 8:
        return f"a Python of 64 bits is needed; {sys.executable} has {8 * struct.calcsize('P')}"
    return ""


def complaint():
    """The same, and whether a virtual environment can be made with this Python."""
    if unfit():
        return unfit()
    for part in PARTS:
        try:
            importlib.import_module(part)
        except ImportError as error:
            do = "It was built without it; try the system's: make PYTHON=/usr/bin/python3"
            if part in ("ensurepip", "venv"):
                do = "On Debian and Ubuntu: apt-get install python3-venv"
            return f"{sys.executable} lacks a part of the standard library ({error}). {do}"
    return ""


if __name__ == "__main__":
    said = complaint()
    if said:
        sys.exit(f"error: {said}")
