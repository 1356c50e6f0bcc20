"""Engine `binvox`: Patrick Min's program, where it is installed, run so that no input can harm.

The program passes the file's name to a shell, cannot read glued OFF headers, writes beside its
input, needs an X display for everything but -e, and reports failures in words.  So: a private
folder, a fixed name, a mesh written by us, ``xvfb-run -a`` where there is no display, a time
limit for the whole group of processes, and a check of what it says and of what it wrote.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from pipeline import parent
from pipeline.conventions import Faces, Grid, Vertices
from pipeline.errors import Reject, UserError
from pipeline.formats.binvox import read_binvox
from voxelize.engines import builtin
from voxelize.engines.builtin import Solid
from voxelize.kernels import bits, frame
from voxelize.kernels.robust import add_thin_parts
from voxelize.options import Options

PROGRAM = "binvox"
_MODE_FLAGS = {"binvox": [], "robust": [], "carve": ["-c"], "vote": ["-v"], "exact": ["-e"]}


class BinvoxProgram:
    """The original; `robust` adds the thin parts to its solid."""

    name = "binvox"

    def __init__(self, seconds: float) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise UserError(
                "the engine `binvox` is not installed",
                wanted="the program binvox on PATH",
                do="get it from https://www.patrickmin.com/binvox/ (and xvfb for machines without a display), "
                "or use --engine builtin",
            )
        self._program, self._seconds = program, seconds

    def voxelize(self, vertices: Vertices, faces: Faces, options: Options) -> Solid:
        """Same as the built-in engine; Reject("engine_failed" | "timeout") where the program gives no grid."""
        options = options.expanded()
        if options.mode not in _MODE_FLAGS:
            raise UserError("the engine `binvox` has no such mode", got=options.mode, wanted=", ".join(_MODE_FLAGS))
        vertices, faces = builtin.checked(vertices, faces)
        vertices, place = builtin.laid(vertices, options)
        with tempfile.TemporaryDirectory(prefix="binvox-") as folder:
            grid = self._run(Path(folder), vertices, faces, options)
        if options.mode == "robust":
            points = np.empty_like(vertices)
            frame.snap(vertices, np.asarray(place.origin), place.side, options.resolution, points)
            grid = bits.to_grid(add_thin_parts(bits.from_grid(grid), points, faces))
        return builtin.finished(grid, place, None, options)

    def _run(self, folder: Path, vertices: Vertices, faces: Faces, options: Options) -> Grid:
        (folder / "mesh.off").write_bytes(plain_off(vertices, faces))
        command = [*self._display(options), self._program, *_flags(options), "mesh.off"]
        code, said = _run_group(command, folder, self._seconds)
        if code != 0:
            raise Reject("engine_failed", f"binvox ended with code {code}: {said.strip()[-200:]}")
        count = re.search(r"[Rr]ead (\d+) faces", said)
        if count and int(count[1]) != len(faces):
            raise Reject("engine_failed", f"binvox read {count[1]} of {len(faces)} faces")
        output = folder / "mesh.binvox"
        if not output.is_file():
            raise Reject("engine_failed", f"binvox wrote no file: {said.strip()[-200:]}")
        result = read_binvox(output.read_bytes())
        if len(result.grid) != options.resolution:
            raise Reject("engine_failed", f"binvox wrote {len(result.grid)}^3 voxels, wanted {options.resolution}^3")
        return result.grid

    @staticmethod
    def _display(options: Options) -> list[str]:
        """-e draws nothing; everything else needs an X display."""
        if options.mode == "exact" or os.environ.get("DISPLAY"):
            return []
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            raise UserError(
                "the engine `binvox` needs an X display for this mode",
                where=f"mode {options.mode}",
                wanted="a display, or the program xvfb-run",
                do="install xvfb, or use --engine builtin",
            )
        return [xvfb, "-a"]


def plain_off(vertices: Vertices, faces: Faces) -> bytes:
    """An OFF file that every reader understands."""
    lines = [f"OFF\n{len(vertices)} {len(faces)} 0"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices.tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _flags(options: Options) -> list[str]:
    """-down, -ri, -fit and the turns are done by us: they need neither the program nor its bugs."""
    flags = ["-d", str(options.resolution), *_MODE_FLAGS[options.mode]]
    flags += ["-bb", *(repr(value) for value in options.box)] if options.box else []
    for wanted, flag in ((options.centred, "-cb"), (options.dilated, "-dc"), (options.wireframe, "-aw")):
        flags += [flag] if wanted else []
    return flags


def _run_group(command: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Run in a session of its own, so that the time limit ends its children too -> exit code, what it said."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=functools.partial(parent.end_with_parent, signal.SIGKILL),
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise Reject("timeout", f"binvox took longer than {seconds:g} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said.decode("utf-8", errors="replace")
