"""A zip within a zip, as ShapeNetCore.v1.zip holds one for each category: written out, to be read by its directory."""

from __future__ import annotations

import posixpath
import shutil
import zipfile
from pathlib import Path

from pipeline.atomic import atomic_path
from pipeline.errors import UserError
from pipeline.formats.zipped import damage_as


def take_out(whole: Path, target: Path) -> Path:
    """Write the member of `whole` that has the name of `target` to `target`, unless it is there; the target.

    Raises UserError where `whole` is no zip, is damaged there, or has no such member.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)

    def unreadable(problem: str) -> UserError:
        what, do = "cannot take a file out of an archive", "copy or fetch the archive again"
        return UserError(what, where=str(whole), got=problem, wanted=target.name, do=do)

    with damage_as(unreadable), zipfile.ZipFile(whole) as archive:
        members = [info for info in archive.infolist() if posixpath.basename(info.filename) == target.name]
        if len(members) != 1:
            raise UserError(
                f"{whole.name} holds {len(members) or 'no'} {target.name}",
                where=str(whole),
                wanted="one zip for each category",
                do="unpack it, and name the folder that holds the categories in `mirrors`",
            )
        # The sum of the member is compared when its last byte has been read.
        with archive.open(members[0]) as content, atomic_path(target) as temporary, open(temporary, "wb") as out:
            shutil.copyfileobj(content, out, 1 << 20)
    return target
