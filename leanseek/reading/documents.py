"""From a record to a document: fields taken, characters repaired, empty documents and errors counted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from leanseek.errors import InputError
from leanseek.reading.fields import (
    Fields,
    Layout,
    layout,
    listed,
    shortened,
    valid,
)
from leanseek.reading.metadata import MetadataBuilder, MetadataError, cell_value
from leanseek.reading.streams import Place, ReadReport
from leanseek.types import Document, Metadata, MetadataValue

OnError: TypeAlias = Literal["auto", "fail", "skip"]
"""Of an unusable record or file: raise its error, count it and go on, or `auto`: go on where a folder of mixed files
holds it, and raise where it was named or is part of a collection."""

_UNWRITABLE: Final = re.compile("[\x01-\x1f\x7f\x85\u2028\u2029]")
_KNOWN_LAYOUTS: Final = 256
_LETTER: Final = re.compile(r"[^\W\d_]")


class DocumentBuilder:
    """Builds documents, updates the report, and raises or counts errors as `on_error` says."""

    def __init__(
        self, fields: Fields, on_error: OnError, report: ReadReport, encoding: str | None = None
    ) -> None:
        self.fields = fields
        self.report = report
        self.encoding = encoding
        self._left_out: set[str] = set()
        self._on_error = on_error
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._title_seen = fields.title is None
        self.begin("", found=False)

    def begin(self, file: str, found: bool, composes: bool = True) -> None:
        """Records of another file follow, whose id is `file`.

        `found`: it is one of many in a folder, so that it tells of itself in a line, and its records may lack ids,
        which are then made of the file and their number. `composes`: they may also lack a text field, all fields
        being the text then.
        """
        self.skips = self._on_error == "skip" or (self._on_error == "auto" and found)
        self.refused = 0
        self._file = file
        self._found = found
        self._composes = found and composes
        self._noted: set[str] = set()
        self._row = 0
        self._layouts.clear()

    def end(self) -> None:
        """The file is read: where many of its records were refused, the line about the first tells how many."""
        if self._found and self.refused > 1:
            self.report.messages[self._refusal] += f" (and {self.refused - 1:,} more of its records)"

    def refuse(self, error: InputError) -> None:
        """Raise the error of a record, or count it and note its message."""
        self._row += 1
        self._refuse(error)

    def _refuse(self, error: InputError) -> None:
        if not self.skips:
            raise error
        self.report.skipped += 1
        self.refused += 1
        if not self._found:
            self.report.note(str(error))
        elif self.refused == 1:
            self._refusal = len(self.report.messages)
            self.report.note(str(error), always=True)

    def _note(self, kind: str, message: str) -> None:
        """Report something about a file: in a folder of every file, but once for all its records."""
        if not self._found:
            self.report.note(message)
        elif kind not in self._noted:
            self.report.note(message, always=True)
            self._noted.add(kind)

    def note_reading(self, place: Place) -> None:
        """Report how a file was read, after its last document: by a guess of its encoding, or in part."""
        if place.guess:
            self.report.guessed += 1
            self._note(
                "guess",
                f"{place.file}: not UTF-8; read as {place.guess}, which is a guess: --encoding names another",
            )
        if place.notes:
            self.report.partial += 1
            self._note("part", f"{place.file}: {'; '.join(place.notes)}")

    def document(self, record: object, place: Place, *, cells: bool = False) -> Document | None:
        """The document of a record (a dict), or None where it was refused or is empty.

        `cells`: the values are strings of a text table, in which numbers are recognised.
        """
        self._row += 1
        try:
            if not isinstance(record, dict):
                raise place.error(_not_an_object(record))
            names = tuple(record)
            parts = self._layouts.get(names)
            if parts is None:
                parts = self._layout(names, place)
            id = _id(record[parts.id], parts.id, place) if parts.id is not None else self._number()
            text = record[parts.text] if parts.text is not None else _composed(record, place)
            if type(text) is not str:
                text = _text(text, parts.text, place)
            title = record[parts.title] if parts.title is not None else ""
            if type(title) is not str:
                title = _text(title, parts.title, place)
            metadata: dict[str, MetadataValue] = {}
            if parts.rest:
                if cells:
                    metadata = {name: cell_value(record[name]) for name in parts.rest}
                else:
                    metadata = self.metadata(record, parts.rest, place)
            return self.take(id, text, title, metadata, place)
        except InputError as error:
            place.repaired = False
            self._refuse(error)
        except RecursionError:
            place.repaired = False
            self._refuse(place.error("the record's fields are nested too deeply"))
        return None

    def _number(self) -> str:
        return f"{self._file}#{self._row}"

    def take(self, id: str, text: str, title: str, metadata: Metadata, place: Place) -> Document | None:
        """The document, its characters checked; None where it is empty. Raises InputError for a bad id."""
        sound_text, sound_title, sound_id = valid(text), valid(title), valid(id)
        if not sound_id.isprintable() and _UNWRITABLE.search(sound_id):
            raise place.error(
                f"the id {id!r} holds a tab, a line break or another control character, which no run file "
                "can hold; give the document another id"
            )
        if not sound_id:
            raise place.error("the id is empty; every document needs one of its own")
        repaired = place.repaired or sound_text != text or sound_title != title or sound_id != id
        place.repaired = False
        if not sound_text.strip() and not sound_title.strip():
            if place.notes:
                self.report.scanned += 1
                self._note("empty", f"{place}: {'; '.join(place.notes)}")
                place.notes.clear()
            else:
                self.report.empty += 1
                self._note("empty", f"{place}: the document {sound_id!r} is empty and was left out")
            return None
        if repaired:
            self.report.repaired += 1
            self._note(
                "repaired",
                f"{place}: characters that are not valid {place.guess or place.encoding or 'UTF-8'}, or NULs, were "
                "replaced or removed; if the file is in another encoding, name it with --encoding",
            )
        self.report.read += 1
        return Document(sound_id, sound_text, sound_title, metadata)

    def metadata(
        self, record: Mapping[str, object], names: Iterable[str], place: Place
    ) -> dict[str, MetadataValue]:
        """The metadata that the named fields of a record are. Raises InputError for what is none."""
        found = MetadataBuilder()
        try:
            nested: list[str] = []
            for name in names:
                if isinstance(record[name], dict):
                    nested.append(name)
                else:
                    found.add(name, record[name])
            for name in nested:
                # BEIR keeps a document's further fields in an object of this name.
                found.add("" if name == "metadata" else name, record[name])
        except MetadataError as error:
            raise place.error(f"the field {shortened(error.field)!r} {error}") from error
        for name, reason in found.left_out.items():
            if name not in self._left_out:
                self._left_out.add(name)
                self.report.note(f"{place}: the field {name!r} {reason}")
        return found.values

    def _layout(self, names: tuple[str, ...], place: Place) -> Layout:
        composed = self._composes and self.fields.text is None
        found = layout(names, self.fields, place, self._found, composed)
        if found.id is None and not self._layouts:
            self.report.note(
                f"{place.file}: its records have no id field and are numbered ({self._file}#1 and on); --id-field "
                "names one",
                always=True,
            )
        if found.text is None and not self._layouts:
            self.report.note(
                f"{place.file}: its records have no text field, so that all fields ({listed(names)}) are the text; "
                "--text-field names one",
                always=True,
            )
        if found.title is not None:
            self._title_seen = True
        elif not self._title_seen:
            # Later records may lack it, but a field that no record has had is misspelt.
            raise place.error(
                f"no field {self.fields.title!r} (the --title-field given); the record has {listed(names)}"
            )
        if len(self._layouts) >= _KNOWN_LAYOUTS:
            self._layouts.clear()
        self._layouts[names] = found
        return found


def _composed(record: Mapping[str, object], place: Place) -> str:
    """All fields of a record as its text, a line each. Raises InputError where none of them has words."""
    filled = {name: value for name, value in record.items() if value not in (None, "", [], {})}
    if not any(
        isinstance(value, (str, list, dict)) and _LETTER.search(str(value)) for value in filled.values()
    ):
        raise place.error(f"the record has no text in its fields ({listed(tuple(record))})")
    return "\n".join(f"{name}: {_line(value)}" for name, value in filled.items())


def _line(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _id(value: object, name: str, place: Place) -> str:
    if isinstance(value, (str, bytes)):
        return _text(value, name, place)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    if value is None:
        raise place.error(f"the id field {name!r} is null; every document needs an id of its own")
    raise place.error(f"the id field {name!r} holds {_kind(value)}; an id is a string or a number")


def _text(value: object, name: str | None, place: Place) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        place.repaired = place.repaired or "\ufffd" in text
        return text
    if isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    raise place.error(f"the field {name!r} holds {_kind(value)}; it must be a string or a list of strings")


def _kind(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = ((dict, "an object"), (list, "a list"), (bool, "a truth value"))
    return next((name for kind, name in kinds if isinstance(value, kind)), f"{value!r}")


def _not_an_object(value: object) -> str:
    if isinstance(value, list):
        return (
            "a list where each line should be one JSON object; a file that is one list of objects "
            "should have a name ending in .json"
        )
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else shown[:37] + '...'} where a JSON object should be"
