"""Write one conda environment file per heavy stage from run.lock; ``--check`` only compares.

    python envs/generate.py [--check]

The pins come from the lock file, so an environment built by conda holds the same versions
as `make setup`.  A test runs ``--check``: edit run.in, not the YAML files.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TORCH = "torch==2.13.0"
BASE = ["h5py", "jaxtyping", "numpy", "pillow", "psutil", "pydantic", "pyyaml", "tqdm", "zlib-ng"]
STAGES = {
    "data": [*BASE, "mapbox-earcut", "numba", "requests", "scikit-image", "scipy", "networkx", "trimesh"],
    "voxelize": [*BASE, "mapbox-earcut", "numba", "trimesh", "networkx", "scipy"],
    "render": [*BASE, "numba", "pyopengl", "pyrender", "trimesh", "networkx", "scipy"],
    "report": [
        *BASE,
        "fast-simplification",
        "jinja2",
        "markupsafe",
        "networkx",
        "numba",
        "scipy",
        "trimesh",
    ],
    "train": [
        *BASE,
        "jinja2",
        "numba",
        "onnx",
        "safetensors",
        "scikit-learn",
        "scipy",
        "tensorboard",
        "threadpoolctl",
        "trimesh",
    ],
}


def pins() -> dict[str, str]:
    """Name -> version of everything in run.lock."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) ", (FOLDER / "run.lock").read_text(encoding="utf-8"), re.MULTILINE))


def environment(stage: str, names: list[str], versions: dict[str, str]) -> str:
    """The YAML text of one stage's environment."""
    # What run.in has just got and run.lock does not know yet comes with the next `make lock`.
    waiting = set((FOLDER / "run.in").read_text(encoding="utf-8").split()) - versions.keys()
    packages = [f"{name}=={versions[name]}" for name in sorted(set(names) - waiting)] + (
        [TORCH] if stage == "train" else []
    )
    lines = [f"# Generated from run.lock by envs/generate.py; edit run.in and run `make lock`.\nname: shapes-{stage}"]
    lines += ["channels: [conda-forge]", "dependencies:", "  - python=3.11", "  - pip", "  - pip:"]
    return "\n".join([*lines, *(f"      - {package}" for package in packages)]) + "\n"


def main(arguments: list[str]) -> int:
    versions, stale = pins(), []
    for stage, names in STAGES.items():
        path, text = FOLDER / f"{stage}.yaml", environment(stage, names, versions)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"error: {', '.join(stale)} differ from run.lock; run `make envs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
