"""What makes a page one file: texts that may run in it, and data that can stand in a script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.foreign import BIDIRECTIONAL, visible_lines

# What every page opens with: nothing but what stands in the page itself may run or load.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>{{ style|safe }}</style>
</head>
"""
_UNSAFE = re.compile("[<>&\u2028\u2029]")
_TURNING = re.compile(f"[{BIDIRECTIONAL}]")


def template(folder: Path) -> jinja2.Template:
    """page.html of a folder, which may include that folder's files and the common head.html."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(folder), jinja2.DictLoader({"head.html": _HEAD})]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible_lines(value) if type(value) is str else value,
    )
    return environment.get_template("page.html")


def policy(style: str, scripts: Sequence[str], *, chunks: bool = False, wasm: bool = False) -> str:
    """The Content-Security-Policy: nothing but these texts runs, nothing is asked of any host.

    https://www.w3.org/TR/CSP3/.  A file beside a page has no host: with `chunks`, `file:` lets such
    files in where the page is a file, `'self'` where it is served.  `wasm` allows WebAssembly, not JavaScript's eval.
    """
    allowed = [_hash(text) for text in scripts]
    allowed += ["'self'", "file:"] if chunks else []
    allowed += ["'wasm-unsafe-eval'"] if wasm else []
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {' '.join(allowed)}; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(value: Any) -> str:
    """JSON that can stand inside a <script>: no tag can end or open in it, and old engines see no line end.

    Marks that turn the direction of a text are written out: one in a name would turn the words after it.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text = _TURNING.sub(lambda found: f"\\\\u{ord(found.group()):04x}", text)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def packed(data: bytes) -> str:
    """Any bytes as base64 of zlib, which unpack.js of the gallery reads."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _hash(text: str) -> str:
    """As a browser computes it: over the text between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
