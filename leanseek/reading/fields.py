"""The fields of a record: which are its id, text and title; the others become metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from leanseek.reading.streams import Place

ID_NAMES: Final = ("_id", "id", "docid", "doc_id", "pid", "docno", "document_id", "passage_id", "uid")
TEXT_NAMES: Final = ("text", "contents", "content", "body", "passage", "segment", "document", "abstract")
TITLE_NAMES: Final = ("title", "headline", "heading")
ROW_NUMBERS: Final = "#"
"""In place of an id field: records get ids of their file and their number in it, such as `members.csv#2`."""
_SHOWN: Final = 12
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fields:
    """The names of the fields that hold a record's id, text and title; None: found by the usual names.

    Usual names are compared without regard to case, in the order of `ID_NAMES`, `TEXT_NAMES`, `TITLE_NAMES`.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None


class Layout(NamedTuple):
    """The fields of one kind of record; `rest` is what becomes metadata.

    `id` is None where records are numbered, `text` where all fields make up the text.
    """

    id: str | None
    text: str | None
    title: str | None
    rest: tuple[str, ...]


def layout(
    names: Sequence[str], fields: Fields, place: Place, numbered: bool = False, composed: bool = False
) -> Layout:
    """Assign a record's fields to id, text, title and rest. Raises InputError without an id or a text field.

    `numbered` records need no id field, and `composed` ones no text field.
    """
    id_name = text_name = None
    if fields.id == ROW_NUMBERS and ROW_NUMBERS not in names:
        numbered, fields = True, replace(fields, id=None)
    if not numbered or fields.id in names or (fields.id is None and _usual(names, ID_NAMES) is not None):
        id_name = _field(names, fields.id, ID_NAMES, "id", place)
    if (
        not composed
        or fields.text in names
        or (fields.text is None and _usual(names, TEXT_NAMES) is not None)
    ):
        text_name = _field(names, fields.text, TEXT_NAMES, "text", place)
    title_name = fields.title if fields.title in names else None
    if fields.title is None:
        title_name = _usual(names, TITLE_NAMES)
    rest = tuple(name for name in names if name not in (id_name, text_name, title_name))
    return Layout(id_name, text_name, title_name, rest)


def names_fields(names: Sequence[str], fields: Fields) -> bool:
    """Whether these cells of a first row are a header: they name an id field and a text field."""
    id_name = fields.id if fields.id in names else _usual(names, ID_NAMES)
    text_name = fields.text if fields.text in names else _usual(names, TEXT_NAMES)
    return id_name is not None and text_name is not None


def listed(names: Sequence[str]) -> str:
    """The names for a message, cut where they are long or many."""
    shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:37]}...") for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return (f"{shown} and {more} more" if more > 0 else shown) or "no fields at all"


def _field(names: Sequence[str], given: str | None, usual: Sequence[str], part: str, place: Place) -> str:
    if given is not None:
        if given in names:
            return given
        raise place.error(f"no field {given!r} (the --{part}-field given); the record has {listed(names)}")
    found = _usual(names, usual)
    if found is None:
        raise place.error(
            f"no {part} field (looked for {', '.join(usual)}); the record has {listed(names)}; "
            f"name the right one with --{part}-field, or {part}_field= in Python"
            + (f"; --id-field '{ROW_NUMBERS}' numbers the records" if part == "id" else "")
        )
    return found


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    plain = {name.strip().casefold(): name for name in reversed(names)}
    return next((plain[name] for name in usual if name in plain), None)


def shortened(name: str) -> str:
    """A name for a message."""
    return name if len(name) <= 80 else f"{name[:79]}…"


def valid(text: str) -> str:
    """The text with lone surrogates turned into U+FFFD and without NUL; itself where it has neither."""
    if "\0" in text:
        text = text.replace("\0", "")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _SURROGATE.sub("\ufffd", text)
    return text
