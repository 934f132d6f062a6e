"""Lines of runs and judgments: unpacked, decoded, and known by their number for the messages about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from leanseek.errors import InputError
from leanseek.indexing.reading.opening import STANDARD_INPUT, strict_lines
from leanseek.indexing.reading.report import Place


def start(source: str | os.PathLike[str]) -> Place:
    """The place from which a file, or standard input for "-", is read."""
    path = os.fspath(source)
    return Place("standard input" if path == STANDARD_INPUT else path)


def rows(source: str | os.PathLike[str], place: Place) -> Iterator[str]:
    """The lines of a file (gzip and bzip2 are unpacked) or of standard input ("-"); `place` follows them.

    Raises InputError where there is no such file, where it is damaged, and for what is not UTF-8.
    """
    path = os.fspath(source)
    if path != STANDARD_INPUT and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if path != STANDARD_INPUT and Path(path).is_dir():
        raise InputError(f"{path}: this is a folder; name the file in it")
    yield from strict_lines(path, place, "file")


def is_whole_number(cell: str) -> bool:
    """Whether a cell is digits with an optional sign."""
    digits = cell[1:] if cell[:1] in ("-", "+") else cell
    return digits.isascii() and digits.isdecimal()
