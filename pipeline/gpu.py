"""GPUs as the system tells of them, without any library: their names and their driver.

/proc/driver/nvidia/version                   NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Thu ...
/proc/driver/nvidia/gpus/<bus>/information    Model:           NVIDIA H100 80GB HBM3
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# By the first number of the CUDA that a wheel is built for (NVIDIA, "CUDA Compatibility", minor version compatibility).
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}


@dataclass(frozen=True)
class Gpus:
    """What one machine has; the driver is empty where nothing says which."""

    names: tuple[str, ...]
    driver: str

    def trouble(self, cuda: str | None) -> str:
        """Why torch built for this version of CUDA, None for CPUs, cannot use them; empty where it can."""
        if cuda is None:
            return "torch is built for CPUs; install a wheel for CUDA"
        needed = OLDEST_DRIVER.get(int(cuda.split(".")[0]), 0)
        if self.driver and int(self.driver.split(".")[0]) < needed:
            return f"torch is for CUDA {cuda}, which needs driver {needed} or later; there is {self.driver}"
        return ""

    def __str__(self) -> str:
        many = f"{len(self.names)} x " if len(self.names) > 1 else ""
        return many + " and ".join(sorted(set(self.names))) + (f", driver {self.driver}" if self.driver else "")


def gpus(root: Path = Path("/")) -> Gpus | None:
    """NVIDIA's GPUs of this machine, or None; nameless ones where only their devices are seen."""
    devices = list((root / "dev").glob("nvidia[0-9]*"))
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    names = [found[1] for file in files if (found := re.search(r"^Model:\s*(.+?)\s*$", _text(file), re.MULTILINE))]
    if not devices and not names:
        return None
    version = re.search(r"Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(root / "proc/driver/nvidia/version"))
    return Gpus(tuple(names or ["NVIDIA GPU"] * len(devices)), version[1] if version else "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
