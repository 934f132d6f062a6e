"""From a path to text: decompression by content, and lines in the encoding that the file is in."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import BinaryIO, Final, NamedTuple, cast

from leanseek.errors import InputError, StorageError
from leanseek.reading.charset import MARKS, SEVEN_BITS, UTF8, Charset, charset, is_binary
from leanseek.types import MetadataValue

STANDARD_INPUT: Final = "-"
_BUFFER: Final = 1 << 20
_PROBE: Final = 8192
KEPT_MESSAGES: Final = 10
"""Messages that a report holds; the counts go on."""
SHOWN_PATHS: Final = 5
"""Paths that a line of a report names; the report itself has them all."""


@dataclass(slots=True)
class LeftOut:
    """Files and folders of one kind that a reading passed over: why, or what to do to have them read."""

    kind: str
    why: str
    paths: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """The first few of them for people, with the reason."""
        one, several = self.kind, f"{self.kind}s"
        for head, plural in (
            ("index ", "indexes "),
            ("file ", "files "),
            ("folder ", "folders "),
            ("link ", "links "),
        ):
            if one.startswith(head):
                several = plural + one.removeprefix(head)
        number = len(self.paths)
        shown = ", ".join(self.paths[:SHOWN_PATHS])
        more = f" and {number - SHOWN_PATHS:,} more" if number > SHOWN_PATHS else ""
        return f"{number:,} {one if number == 1 else several} not read: {shown}{more} ({self.why})"


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
    guessed: int = 0
    """Files that are not UTF-8 and whose encoding was guessed."""
    scanned: int = 0
    """Files of pictures, which have pages but no text on them; they are left out."""
    partial: int = 0
    """Files of which a part could not be read, such as scanned pages."""
    ignored: int = 0
    """Files of a folder whose kind is not read."""
    messages: list[str] = field(default_factory=list)
    """The first messages about documents skipped, empty, repaired, read in part or by a guess, with their places; of a
    folder's files all of them, one a file."""
    left_out: list[LeftOut] = field(default_factory=list, compare=False)
    """What was found in folders and not read, by kind."""

    def note(self, message: str, always: bool = False) -> None:
        """Add the message if it is among the first, or `always`."""
        if always or len(self.messages) < KEPT_MESSAGES:
            self.messages.append(message)

    def leave_out(self, kind: str, why: str, path: str) -> None:
        """Note a file or folder that is passed over."""
        one = next((one for one in self.left_out if (one.kind, one.why) == (kind, why)), None)
        if one is None:
            one = LeftOut(kind, why)
            self.left_out.append(one)
        one.paths.append(path)

    def details(self) -> list[str]:
        """What was left out and why, a line each; the first messages, and how many more there are."""
        lines = [one.sentence() for one in self.left_out] + self.messages[:KEPT_MESSAGES]
        more = len(self.messages) - KEPT_MESSAGES
        return [*lines, f"and {more:,} more such files; --json lists them all"] if more > 0 else lines

    def sentence(self) -> str:
        """The counts in words; zero counts are left out, except that of the documents read."""
        parts = [f"{self.read:,} {'document' if self.read == 1 else 'documents'} read"]
        for count, one, many in (
            (self.skipped, "skipped: it could not be read", "skipped: they could not be read"),
            (self.empty, "left out: it is empty", "left out: they are empty"),
            (self.scanned, "left out: it is a scan without text", "left out: they are scans without text"),
            (self.repaired, "with invalid characters replaced", "with invalid characters replaced"),
            (self.guessed, "in an encoding that was guessed", "in encodings that were guessed"),
            (self.partial, "read in part", "read in part"),
            (self.ignored, "file of another kind ignored", "files of other kinds ignored"),
        ):
            if count:
                parts.append(f"{count:,} {one if count == 1 else many}")
        return "; ".join(parts)


def first_line(error: Exception) -> str:
    """An error of another library in one line."""
    message = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class Place:
    """The place of reading in a file ("-": standard input); `str` gives `file:line`, `file` before the first line."""

    __slots__ = ("encoding", "file", "guess", "line", "notes", "repaired")

    def __init__(self, path: str, encoding: str | None = None) -> None:
        self.file = "standard input" if path == STANDARD_INPUT else path
        self.encoding = encoding
        """The encoding that the user named, for texts that are not UTF-8."""
        self.guess = ""
        """The encoding in which the file is read, if it was guessed."""
        self.notes: list[str] = []
        """What of the file was not read, in words."""
        self.line = 0
        self.repaired = False
        """Whether characters of the record being read had to be replaced or removed."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def error(self, message: str) -> InputError:
        """An `InputError` whose message begins with this place."""
        return InputError(f"{self}: {message}")


class Page(NamedTuple):
    """What the reader of a text file finds: a title ("" without one), the text, and further metadata."""

    title: str
    text: str
    metadata: Mapping[str, MetadataValue] = {}


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
        raise InputError(
            f"{name}: Zstandard data is not read; decompress the file first: zstd -d {quote(name)}"
        )
    elif start == b"\xfd7zXZ\x00":
        raise InputError(f"{name}: xz data is not read; decompress the file first: xz -d {quote(name)}")
    else:
        return stream
    # With a buffer of its own lines are found in C rather than by a Python call each.
    return io.BufferedReader(cast(io.RawIOBase, unpacked), _BUFFER)


def lines(stream: io.BufferedReader, place: Place) -> Iterator[str]:
    """The lines of a text, line ends included, as Unicode; `place.line` follows, counted from 1.

    A byte order mark decides the encoding, else `charset` by the first megabyte, or by the first line that is not
    valid UTF-8 and a megabyte after it. `place.guess` is the encoding if it was guessed. Bytes invalid in it become
    U+FFFD and NUL characters are removed; `place.repaired` is then set.
    """
    mark = _mark(stream)
    start = stream.peek(_BUFFER)[:_BUFFER]
    chosen = mark or charset(start, place.encoding)
    if chosen.wide:
        place.guess = chosen.name if chosen.guessed else ""
        wide = io.TextIOWrapper(stream, encoding=chosen.name, errors="replace", newline="\n")
        for place.line, line in enumerate(wide, 1):
            if "\ufffd" in line:
                place.repaired = True
            yield without_nul(line, place)
        wide.detach()
        return
    ahead: list[bytes] = []
    if chosen == UTF8:
        number = place.line
        for raw in stream:
            number += 1
            place.line = number
            try:
                line = raw.decode()
            except UnicodeDecodeError:
                ahead = [raw]
                break
            if "\0" in line:
                line = without_nul(line, place)
            yield line
        else:
            return
        place.line -= 1
        if mark is None and start.isascii():
            ahead += stream.readlines(_BUFFER)
            chosen = charset(b"".join(ahead), place.encoding)
    place.guess = chosen.name if chosen.guessed else ""
    names = _attempts(chosen.name)
    for raw in chain(ahead, stream):
        place.line += 1
        yield without_nul(_decoded(raw, names, place), place)


def whole(stream: io.BufferedReader, place: Place) -> str:
    """All of a text as Unicode, with the rules of `lines` and line ends turned into "\\n".

    Raises InputError for binary data.
    """
    if is_binary(stream.peek(_PROBE)[:_PROBE]):
        raise place.error(
            "this is binary data, not text as its name suggests; a text in UTF-16 or another encoding needs "
            "--encoding NAME, or encoding= in Python"
        )
    text = "".join(lines(stream, place))
    place.line = 0
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode(raw: bytes, place: Place) -> str:
    """The text of some bytes, as `lines` decodes those of a file."""
    text = "".join(lines(io.BufferedReader(io.BytesIO(raw), _BUFFER), place))
    place.line = 0
    return text


def _attempts(name: str) -> tuple[str, ...]:
    """The encodings to try on each line. Text of one byte a character is hardly ever valid UTF-8 by chance."""
    single = len(bytes(range(256)).decode(name, "replace")) == 256
    return ("utf-8", name) if single and not name.startswith(SEVEN_BITS) else (name,)


def _decoded(raw: bytes, names: tuple[str, ...], place: Place) -> str:
    for name in names:
        with suppress(UnicodeDecodeError):
            return raw.decode(name)
    place.repaired = True
    return raw.decode(names[-1], "replace")


def without_nul(text: str, place: Place) -> str:
    """The text without NUL characters; `place.repaired` is set if it had any."""
    if "\0" not in text:
        return text
    place.repaired = True
    return text.replace("\0", "")


def _mark(stream: io.BufferedReader) -> Charset | None:
    """The encoding by the byte order mark, which is skipped; None without one."""
    start = stream.peek(4)[:4]
    for mark, encoding in MARKS:
        if start.startswith(mark):
            stream.read(len(mark))
            return Charset(encoding)
    return None


def strict_lines(path: str, place: Place, what: str) -> Iterator[str]:
    """The lines of a file (or of standard input, "-") none of whose characters is invalid; `place` follows them.

    `what` names the content in messages. Raises InputError with the place, also where the encoding would have to be
    guessed, and StorageError where permission is denied.
    """
    try:
        with opened(path) as stream:
            for line in lines(stream, place):
                if place.guess and not line.isascii():
                    raise place.error(
                        f"this is not UTF-8 text; its encoding seems to be {place.guess}: save the {what} as UTF-8"
                    )
                if place.repaired:
                    raise place.error(
                        f"this is not {place.encoding or 'UTF-8'} text, or has NUL characters; save the {what} as "
                        "UTF-8"
                    )
                yield line
    except StorageError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise place.error(f"the file is damaged or cut off here: {error}") from error
