"""From a path to text: decompression by content, byte order marks, and bytes that are not UTF-8."""

from __future__ import annotations

import codecs
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from leanseek.errors import InputError, StorageError

STANDARD_INPUT: Final = "-"
_BUFFER: Final = 1 << 20
_PROBE: Final = 8192
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CONTROLS: Final = b"\t\n\x0b\x0c\r\x1b"
_CONTROLS: Final = bytes(set(range(32)) - set(_TEXT_CONTROLS)) + b"\x7f"
KEPT_MESSAGES: Final = 10
"""Messages that a report holds; the counts go on."""


@dataclass(slots=True)
class ReadReport:
    """Counts of one reading; pass one to `read` and look at it after the last document."""

    read: int = 0
    """Documents returned."""
    skipped: int = 0
    """Records, or whole files, that could not be used (with `on_error="skip"`)."""
    empty: int = 0
    """Documents with neither title nor text; they are left out."""
    repaired: int = 0
    """Documents whose invalid bytes or lone surrogates became U+FFFD, or whose NULs were removed."""
    ignored: int = 0
    """Files of a folder whose kind is not read."""
    messages: list[str] = field(default_factory=list)
    """The first messages about skipped and empty documents, each beginning with its place."""

    def note(self, message: str) -> None:
        """Add the message if it is among the first."""
        if len(self.messages) < KEPT_MESSAGES:
            self.messages.append(message)

    def sentence(self) -> str:
        """The counts in words; zero counts are left out, except that of the documents read."""
        parts = [f"{self.read:,} {'document' if self.read == 1 else 'documents'} read"]
        for count, one, many in (
            (self.skipped, "skipped: it could not be read", "skipped: they could not be read"),
            (self.empty, "left out: it is empty", "left out: they are empty"),
            (self.repaired, "with invalid characters replaced", "with invalid characters replaced"),
            (self.ignored, "file of another kind ignored", "files of other kinds ignored"),
        ):
            if count:
                parts.append(f"{count:,} {one if count == 1 else many}")
        return "; ".join(parts)


class Place:
    """The place of reading in a file ("-": standard input); `str` gives `file:line`, `file` before the first line."""

    __slots__ = ("file", "line", "repaired")

    def __init__(self, path: str) -> None:
        self.file = "standard input" if path == STANDARD_INPUT else path
        self.line = 0
        self.repaired = False
        """Whether characters of the record being read had to be replaced or removed."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def error(self, message: str) -> InputError:
        """An `InputError` whose message begins with this place."""
        return InputError(f"{self}: {message}")


@contextmanager
def opened(path: Path | str) -> Iterator[io.BufferedReader]:
    """The bytes of a file, or of standard input for "-", decompressed where they are gzip or bzip2.

    The first bytes decide, not the name. Raises StorageError where permission is denied, and InputError for
    Zstandard and xz data.
    """
    if str(path) == STANDARD_INPUT:
        # Standard input need not be able to peek, hence another buffer; detached, it closes nothing.
        stream = cast(io.BufferedReader, io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer), _BUFFER))
        try:
            yield _decompressed(stream, "standard input")
        finally:
            stream.detach()
        return
    try:
        file = cast(io.BufferedReader, Path(path).open("rb", buffering=_BUFFER))  # noqa: SIM115
    except PermissionError as error:
        raise StorageError(f"{path}: permission denied; the file cannot be opened for reading") from error
    with file:
        yield _decompressed(file, str(path))


def _decompressed(stream: io.BufferedReader, name: str) -> io.BufferedReader:
    start = stream.peek(6)[:6]
    unpacked: BinaryIO
    if start[:2] == b"\x1f\x8b":
        import gzip

        unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))
    elif start[:3] == b"BZh":
        import bz2

        unpacked = cast(BinaryIO, bz2.BZ2File(stream))
    elif start[:4] == b"\x28\xb5\x2f\xfd":
        raise InputError(f"{name}: Zstandard data is not read; decompress the file first: zstd -d {name}")
    elif start == b"\xfd7zXZ\x00":
        raise InputError(f"{name}: xz data is not read; decompress the file first: xz -d {name}")
    else:
        return stream
    # With a buffer of its own lines are found in C rather than by a Python call each.
    return io.BufferedReader(cast(io.RawIOBase, unpacked), _BUFFER)


def lines(stream: io.BufferedReader, place: Place) -> Iterator[str]:
    """The lines of a text, line ends included, as Unicode; `place.line` follows, counted from 1.

    A byte order mark decides the encoding, which is UTF-8 without one. Bytes invalid in it become U+FFFD and
    NUL characters are removed; `place.repaired` is then set.
    """
    encoding = _encoding(stream)
    if encoding != "utf-8":
        wide = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="\n")
        for place.line, line in enumerate(wide, 1):
            if "\ufffd" in line:
                place.repaired = True
            yield without_nul(line, place)
        wide.detach()
        return
    number = place.line
    for raw in stream:
        number += 1
        place.line = number
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = raw.decode(errors="replace")
            place.repaired = True
        if "\0" in line:
            line = without_nul(line, place)
        yield line


def whole(stream: io.BufferedReader, place: Place) -> str:
    """All of a text as Unicode, with the rules of `lines` and line ends turned into "\\n".

    Raises InputError for binary data.
    """
    probe = stream.peek(_PROBE)[:_PROBE]
    encoding = _encoding(stream)
    if encoding == "utf-8" and _is_binary(probe):
        raise place.error(
            "this is binary data (or UTF-16 without a byte order mark), not text as its name suggests"
        )
    raw = stream.read()
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = raw.decode(encoding, errors="replace")
        place.repaired = True
    return without_nul(text, place).replace("\r\n", "\n").replace("\r", "\n")


def _is_binary(probe: bytes) -> bool:
    """Whether the beginning of a file is that of a known binary format, or is full of control characters."""
    if probe.startswith((b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\x7fELF")):
        return True
    controls = len(probe) - len(probe.translate(None, _CONTROLS))
    if controls * 20 <= len(probe):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(probe)
    except UnicodeDecodeError:
        return True
    return controls * 5 > len(probe) * 2


def without_nul(text: str, place: Place) -> str:
    """The text without NUL characters; `place.repaired` is set if it had any."""
    if "\0" not in text:
        return text
    place.repaired = True
    return text.replace("\0", "")


def _encoding(stream: io.BufferedReader) -> str:
    """The encoding by the byte order mark, which is skipped; UTF-8 without one."""
    start = stream.peek(4)[:4]
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            stream.read(len(mark))
            return encoding
    return "utf-8"


def strict_lines(path: str, place: Place, what: str) -> Iterator[str]:
    """The lines of a file (or of standard input, "-") that must be valid UTF-8; `place` follows them.

    `what` names the content in messages. Raises InputError with the place, StorageError where permission is denied.
    """
    try:
        with opened(path) as stream:
            for line in lines(stream, place):
                if place.repaired:
                    raise place.error(
                        f"this is not UTF-8 text, or has NUL characters; save the {what} as UTF-8"
                    )
                yield line
    except StorageError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise place.error(f"the file is damaged or cut off here: {error}") from error
