"""What this process may still take: memory, open files."""

from __future__ import annotations

import resource
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


def allow_open_files(count: int) -> None:
    """Raise this process' own limit, as far as the system's allows: 1024 is usual, and every mapped shard takes one."""
    wanted = count + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def free_ram(root: Path = Path("/")) -> int:
    """Bytes that can be taken: MemAvailable, or what the control group (version 2 or 1) leaves where that is less."""
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
