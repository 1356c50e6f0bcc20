"""How much memory this process may still take: the machine's, or its control group's where that is less."""

from __future__ import annotations

from pathlib import Path

import torch

RAM_SHARE = 0.5  # of what is free; the rest is for the trainer and the page cache
DEVICE_SHARE = 0.4


def fits_in_ram(size: int) -> bool:
    """Whether `size` bytes are at most half of the free memory."""
    return size <= RAM_SHARE * free_ram()


def fits_on_device(size: int, device: torch.device) -> bool:
    """Whether `size` bytes are at most 40 % of the accelerator's free memory; False on a CPU."""
    return device.type == "cuda" and size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def free_ram(root: Path = Path("/")) -> int:
    """Bytes that can be taken: MemAvailable, or what the control group (version 2 or 1) leaves."""
    free = [_available(root / "proc/meminfo")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        folder = root / "sys/fs/cgroup"
        if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()).isdigit():
            free.append(int(text) - int((folder / used).read_text()))
    return max(0, min(free))


def _available(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 2**30
