"""From a record to a document: fields taken, characters repaired, empty documents and errors counted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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

OnError: TypeAlias = Literal["fail", "skip"]

_UNWRITABLE: Final = re.compile("[\x01-\x1f\x7f\x85\u2028\u2029]")
_KNOWN_LAYOUTS: Final = 256


class DocumentBuilder:
    """Builds documents, updates the report, and raises or counts errors as `on_error` says."""

    def __init__(
        self, fields: Fields, on_error: OnError, report: ReadReport, encoding: str | None = None
    ) -> None:
        self.fields = fields
        self.report = report
        self.encoding = encoding
        self._skip = on_error == "skip"
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._title_seen = fields.title is None
        self._left_out: set[str] = set()

    def refuse(self, error: InputError) -> None:
        """Raise the error, or count it and note its message."""
        if not self._skip:
            raise error
        self.report.skipped += 1
        self.report.note(str(error))

    def note_reading(self, place: Place) -> None:
        """Report how a file was read, after its last document: by a guess of its encoding, or in part."""
        if place.guess:
            self.report.guessed += 1
            self.report.note(
                f"{place.file}: not UTF-8; read as {place.guess}, which is a guess: --encoding names another"
            )
        if place.notes:
            self.report.partial += 1
            self.report.note(f"{place.file}: {'; '.join(place.notes)}")

    def document(self, record: object, place: Place, *, cells: bool = False) -> Document | None:
        """The document of a record (a dict), or None where it was refused or is empty.

        `cells`: the values are strings of a text table, in which numbers are recognised.
        """
        try:
            if not isinstance(record, dict):
                raise place.error(_not_an_object(record))
            names = tuple(record)
            parts = self._layouts.get(names)
            if parts is None:
                parts = self._layout(names, place)
            id = _id(record[parts.id], parts.id, place)
            text = record[parts.text]
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
                    metadata = self._metadata(record, parts.rest, place)
            return self.take(id, text, title, metadata, place)
        except InputError as error:
            place.repaired = False
            self.refuse(error)
        except RecursionError:
            place.repaired = False
            self.refuse(place.error("the record's fields are nested too deeply"))
        return None

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
                self.report.note(f"{place}: {'; '.join(place.notes)}")
                place.notes.clear()
            else:
                self.report.empty += 1
                self.report.note(f"{place}: the document {sound_id!r} is empty and was left out")
            return None
        if repaired:
            self.report.repaired += 1
            self.report.note(
                f"{place}: characters that are not valid {place.guess or place.encoding or 'UTF-8'}, or NULs, were "
                "replaced or removed; if the file is in another encoding, name it with --encoding"
            )
        self.report.read += 1
        return Document(sound_id, sound_text, sound_title, metadata)

    def _metadata(
        self, record: Mapping[str, object], names: tuple[str, ...], place: Place
    ) -> dict[str, MetadataValue]:
        """The metadata of a record's other fields. Raises InputError for what is none."""
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
        found = layout(names, self.fields, place)
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
