"""Zip files: what reading a damaged one raises, said once, and members that equal content makes equal, byte by byte."""

from __future__ import annotations

import contextlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from pipeline.errors import in_words, is_refusal

# What `zipfile`, its decompressors and NumPy raise for a file that was changed, depending on where it was changed: no
# directory, a sum, a stream, the length of a header; a method, a version or a password that nobody has asked for; an
# end too early; an offset or a date that cannot be; a member that is not listed.  bz2 raises an OSError.
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
)


@contextlib.contextmanager
def damage_as(error_of: Callable[[str], Exception]) -> Iterator[None]:
    """Whatever reading a damaged or absent zip raises becomes ``error_of(what is wrong)``.

    Raises Refusal where the system refuses a file that is there.
    """
    try:
        yield
    except (*BROKEN_ZIP, OSError) as error:
        if isinstance(error, OSError) and is_refusal(error):
            raise in_words(error) from error
        raise error_of(str(error) or type(error).__name__) from error


def member(name: str) -> zipfile.ZipInfo:
    """The entry of a member that is about to be written, uncompressed."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info
