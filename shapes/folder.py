"""``shapes init DIR``: what a folder for runs has, each file written once and then the user's.

config.yaml           what to build; one of the presets
config.schema.json    by which editors complete and check it
Snakefile             takes this workflow as a module
profiles/             on this machine (default) and under SLURM
own-meshes.ipynb      from meshes to a reconstruction in Python (installed; a checkout has notebooks/)
"""

from __future__ import annotations

import shlex
from pathlib import Path

from pipeline.atomic import atomic_path
from pipeline.errors import UserError
from pipeline.progress import say
from shapes import PACKAGE, PROJECT, SNAKEFILE

SCHEMA = "config.schema.json"
NOTEBOOK = "own-meshes.ipynb"
PRESETS = ("demo", *sorted(path.stem for path in (PROJECT / "presets").glob("*.yaml")))
_EDITORS = "# yaml-language-server: $schema="
_SNAKEFILE = """\
# The workflow of shapes-to-vaegan as a module; rules of your own may stand below.
# shapes run [TARGET] [Snakemake's options]
{where}

if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


module shapes:
    snakefile:
        SNAKEFILE
    config:
        config


use rule * from shapes


onstart:
    shapes.onstart()
"""


def make_folder(folder: Path, preset: str) -> None:
    """Write what is not there yet; UserError where there is a configuration already."""
    config = folder / "config.yaml"
    if config.exists():
        raise UserError(
            "this folder has a configuration already",
            where=str(config),
            do="edit it and run `python -m shapes run` there, or name a new folder",
        )
    files = {"Snakefile": snakefile(), SCHEMA: _read(f"pipeline/settings/{SCHEMA}")}
    files |= {f"profiles/{name}/config.yaml": _read(f"profiles/{name}/config.yaml") for name in ("default", "slurm")}
    if _installed():
        files |= {NOTEBOOK: _read(f"notebooks/{NOTEBOOK}")}
    source = "config.yaml" if preset == "demo" else f"presets/{preset}.yaml"
    files["config.yaml"] = for_editors(_read(source))  # the last: it is by this file that a folder counts as made
    for name, text in files.items():
        path = folder / name
        if path.exists():
            say(f"{path} stays as it is")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    say(f"{folder}: {', '.join(files)}")
    say(f"next: cd {shlex.quote(str(folder))} && snakemake --cores all -n")


def snakefile() -> str:
    """The user's Snakefile; it finds the project by its name where it is installed, in a checkout by its place."""
    if _installed():
        return _SNAKEFILE.format(where=f"from {PACKAGE}.shapes import SNAKEFILE")
    return _SNAKEFILE.format(where=f"SNAKEFILE = {SNAKEFILE!r}")


def for_editors(text: str) -> str:
    """A configuration whose first line names the schema beside it."""
    first, _, rest = text.partition("\n")
    return f"{_EDITORS}{SCHEMA}\n{rest if first.startswith(_EDITORS) else text}"


def _installed() -> bool:
    return PROJECT.name == PACKAGE


def _read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")
