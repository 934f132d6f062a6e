"""The fields of a record: which are its id, text and title, and what the others become as metadata."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from leanseek.reading.streams import Place
from leanseek.types import MetadataValue, Scalar

ID_NAMES: Final = ("_id", "id", "docid", "doc_id", "pid", "docno", "document_id", "passage_id", "uid")
TEXT_NAMES: Final = ("text", "contents", "content", "body", "passage", "segment", "document", "abstract")
TITLE_NAMES: Final = ("title", "headline", "heading")
_SHOWN: Final = 12
_INT64: Final = 1 << 63
_SCALARS: Final = (str, int, float, Decimal, bytes, datetime.date, datetime.time, datetime.timedelta)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-][0-9]+)")


@dataclass(frozen=True, slots=True)
class Fields:
    """The names of the fields that hold a record's id, text and title; None: found by the usual names.

    Usual names are compared without regard to case, in the order of `ID_NAMES`, `TEXT_NAMES`, `TITLE_NAMES`.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None


class Layout(NamedTuple):
    """The fields of one kind of record; `rest` is what becomes metadata."""

    id: str
    text: str
    title: str | None
    rest: tuple[str, ...]


def layout(names: Sequence[str], fields: Fields, place: Place) -> Layout:
    """Assign a record's fields to id, text, title and rest. Raises InputError without an id or a text field."""
    id_name = _field(names, fields.id, ID_NAMES, "id", place)
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
        )
    return found


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    plain = {name.strip().casefold(): name for name in reversed(names)}
    return next((plain[name] for name in usual if name in plain), None)


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


def add_metadata(metadata: dict[str, MetadataValue], name: str, value: object) -> None:
    """Put a field into `metadata`: an object under dotted names, anything else as `metadata_value` has it.

    An existing name keeps its value.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            add_metadata(metadata, f"{name}.{key}" if name else str(key), inner)
    else:
        metadata.setdefault(valid(name), metadata_value(value))


def metadata_value(value: object) -> MetadataValue:
    """A scalar or None as it is, a list of scalars without its nulls, anything else as a JSON string.

    Numbers that are not finite become None, integers beyond 64 bits and dates strings, bytes text.
    """
    if isinstance(value, list):
        present = [item for item in value if item is not None]
        if all(isinstance(item, _SCALARS) for item in present):
            return [scalar for item in present if (scalar := _scalar(item)) is not None]
    elif value is None or isinstance(value, _SCALARS):
        return _scalar(value)
    return valid(json.dumps(value, ensure_ascii=False, default=str))


def cell_value(cell: str) -> MetadataValue:
    """A cell of a text table: None where empty, a number where it is written as one, else the string.

    "12", "-3", "0.50", "1.5e3" and "1e-05" are numbers; "007", "+1", "1,000", "12e4", "inf" and integers
    beyond 64 bits are strings.
    """
    if not cell:
        return None
    if _INTEGER.fullmatch(cell):
        number = int(cell)
        return number if -_INT64 <= number < _INT64 else cell
    if _DECIMAL.fullmatch(cell):
        real = float(cell)
        return real if math.isfinite(real) else cell
    return valid(cell)


def _scalar(value: object) -> Scalar | None:
    """The value as a scalar; None where it is not finite or no scalar at all."""
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, (float, Decimal)):
        real = float(value)
        return real if math.isfinite(real) else None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return valid(value.decode(errors="replace"))
    return None
