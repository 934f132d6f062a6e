"""JSON: one object a line (.jsonl, .ndjson, BEIR), or a file that is a list of objects (.json)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Final

from leanseek.errors import InputError
from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.streams import Place, lines
from leanseek.types import Document

_DECODER: Final = json.JSONDecoder()
_BETWEEN: Final = re.compile(r"[\s,]*")
_STEP: Final = 1 << 20


def parse_line(line: str, place: Place) -> object:
    """The JSON value of a line that is not blank and has no white space around. Raises InputError."""
    try:
        value, end = _DECODER.raw_decode(line)
    except json.JSONDecodeError as error:
        raise place.error(
            f"not JSON: {error.msg} at column {error.pos + 1}: {_excerpt(line, error.pos)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise place.error(f"not usable JSON: {error}") from error
    if end != len(line):
        raise place.error(f"more than one JSON value on the line, at column {end + 1}: {_excerpt(line, end)}")
    return value


def read_json_lines(stream: io.BufferedReader, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a file with one JSON object a line; blank lines are passed over."""
    decode = _DECODER.raw_decode
    for line in lines(stream, place):
        line = line.strip()
        if not line:
            continue
        try:
            record, end = decode(line)
            if end != len(line):
                record = parse_line(line, place)
        except (ValueError, RecursionError):
            try:
                record = parse_line(line, place)
            except InputError as error:
                place.repaired = False
                builder.refuse(error)
                continue
        document = builder.document(record, place)
        if document is not None:
            yield document


def read_json(stream: io.BufferedReader, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a .json file: a list of objects, or objects one after another, read piece by piece.

    After a malformed value the beginning of the next is unknown: with `on_error="skip"` the rest of the
    file is left out.
    """
    for record in json_values(lines(stream, place), place):
        document = builder.document(record, place)
        if document is not None:
            yield document


def json_values(source: Iterator[str], place: Place) -> Iterator[object]:
    """The values in a list, or one after another, of a text given by its lines; `place.line` follows.

    Raises InputError for a malformed value and for a list that is not closed.
    """
    pieces = _Pieces(source, place)
    if not pieces.more():
        return
    listed = pieces.text.startswith("[", pieces.position)
    if listed:
        pieces.position += 1
    while pieces.more():
        if listed and pieces.text.startswith("]", pieces.position):
            return
        yield pieces.value()
    if listed:
        raise place.error("the list of objects is not closed with ']': the file is cut off")


class _Pieces:
    """A window on a text in which JSON values follow each other; it grows where a value goes on beyond it."""

    def __init__(self, source: Iterator[str], place: Place) -> None:
        self.text = ""
        self.position = 0
        self._source = source
        self._place = place
        self._line = 1
        self._counted = 0

    def more(self) -> bool:
        """Go past white space and commas; False at the end of the text."""
        while True:
            match = _BETWEEN.match(self.text, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.text):
                return True
            if not self._grow(_STEP):
                return False

    def value(self) -> object:
        """The value that begins here; the place's line becomes the one it begins on."""
        step = _STEP
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - 16
                if cut and self._grow(step):
                    step *= 2
                    continue
                self._place.line = self._line_of(error.pos)
                raise self._place.error(f"not JSON: {error.msg}: {_excerpt(self.text, error.pos)}") from error
            except (ValueError, RecursionError) as error:
                raise self._place.error(f"not usable JSON: {error}") from error
            self._place.line = self._line_of(self.position)
            self.position = end
            return value

    def _line_of(self, position: int) -> int:
        """The line of a position; positions come in order, so that no line end is counted twice."""
        self._line += self.text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def _grow(self, size: int) -> bool:
        """Drop the text before the position, and read at least `size` more characters; False at the end."""
        self._line_of(self.position)
        parts = [self.text[self.position :]]
        self.position = self._counted = 0
        gained = 0
        for line in self._source:
            parts.append(line)
            gained += len(line)
            if gained >= size:
                break
        self.text = "".join(parts)
        return gained > 0


def _excerpt(text: str, position: int) -> str:
    """The text around a position, on one line."""
    return repr(text[max(0, position - 20) : position + 20])
