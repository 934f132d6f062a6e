"""Metadata values: what a record's other fields become."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from leanseek.types import MetadataValue, Scalar

_INT64: Final = 1 << 63
_SCALARS: Final = (str, int, float, Decimal, bytes, datetime.date, datetime.time, datetime.timedelta)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-][0-9]+)")


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

    A name that is there already keeps its value.
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
