"""Runs the cells of a notebook without Jupyter; ``python -m tests.notebooks FILE...`` also stores what they show.

A cell shows what it prints, and the value of its last line: a picture of Pillow as PNG, anything else as text.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

Shown = list[dict[str, Any]]  # as a notebook stores it (nbformat 4)


def run(path: Path) -> tuple[dict[str, Any], list[Shown]]:
    """Run every code cell; gives the names that they made and what each of them shows."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return names, [_run_cell("".join(cell["source"]), names) for cell in code_cells(read(path))]


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def code_cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def store(path: Path) -> None:
    """Write what the cells show into the notebook."""
    notebook, (_, shown) = read(path), run(path)
    for number, (cell, outputs) in enumerate(zip(code_cells(notebook), shown, strict=True), start=1):
        cell["execution_count"], cell["outputs"] = number, outputs
        for output in outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _run_cell(source: str, names: dict[str, Any]) -> Shown:
    tree, printed, value = ast.parse(source), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    shown: Shown = []
    if printed.getvalue():
        shown.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": [repr(value)]}
        if isinstance(value, Image.Image):
            out = io.BytesIO()
            value.save(out, "PNG", optimize=True)
            data = {"image/png": base64.b64encode(out.getvalue()).decode(), "text/plain": ["<picture>"]}  # type: ignore[dict-item]
        shown.append({"output_type": "execute_result", "data": data, "metadata": {}})
    return shown


if __name__ == "__main__":
    for name in sys.argv[1:]:
        store(Path(name))
