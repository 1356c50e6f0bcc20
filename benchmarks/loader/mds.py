"""MosaicML streaming for `benchmarks.loader`, in a temporary folder: its pins do not fit into this environment.

It wants an older NumPy and, for its pictures and texts, torchvision.  Reading and writing MDS
needs neither, so only that half of the package is imported, and what it needs is installed
without its pins, behind everything that is installed here.
"""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

_WANTED = (
    "mosaicml-streaming==0.13.0",
    "transformers==5.23.0",
    "huggingface_hub==2.4.0",
    "httpx2==2.16.2",
    "httpcore2==2.16.2",
    "h11==0.16.0",
    "truststore==0.10.5",
    "catalogue==2.0.10",
    "regex==2026.11.15",
    "brotli==1.2.1",
    "python-snappy==0.7.3",
    "cramjam==2.14.0",
    "zstd==1.5.7.2",
    "xxhash==4.1.0",
)


def provide(folder: Path) -> str | None:
    """Make ``import streaming.base`` work from `folder`; returns why it does not, or None."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *_WANTED]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"it could not be installed: {done.stderr.strip().splitlines()[-1]}"
    sys.path.append(str(folder))
    package = types.ModuleType("streaming")  # its own __init__ imports the parts for pictures and texts
    package.__path__ = [str(folder / "streaming")]
    sys.modules["streaming"] = package
    try:
        import streaming.base  # noqa: F401
    except (ImportError, AttributeError, RuntimeError) as error:
        del sys.modules["streaming"]
        return f"it could not be imported: {error}"
    return None
