"""What values become as metadata: one rule for the records of files and for documents made in Python.

Types of other libraries are recognised by what they can do, so that none of them is imported.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import operator
import os
import re
from collections import UserString
from collections.abc import Mapping, Sequence, Set, ValuesView
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from itertools import chain
from numbers import Rational, Real
from typing import Any, Final, SupportsIndex, cast

import numpy as np

from leanseek.reading.fields import valid
from leanseek.types import MetadataValue, Scalar

EMBEDDING: Final = 32
"""From so many floats on, a list is taken for a vector."""
_ARRAY: Final = 1000
"""From so many numbers on, nested lists are taken for an array."""
_STEPS: Final = 1_000_000
"""The most values that one document's metadata may be made of, which ends what refers to itself again and again."""
_DEEPEST: Final = 64
_INTEGER_BITS: Final = 4096
"""Python reads no integers back that are much longer."""
_UINT64: Final = 1 << 64
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-][0-9]+)")
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_ARRAYS: Final = "holds arrays or long lists of numbers, which are left out of the metadata"
_INFINITE: Final = "holds an infinite number, which cannot be stored"
_MISSING: Final = {"NAType", "NaTType", "MaskedConstant"}
"""The classes of pandas.NA, pandas.NaT and numpy.ma.masked."""
_JSON: Final = {type(None), bool, int, float, str, list, dict}
_WRITTEN: Final = {"uuid", "ipaddress"}
"""The modules whose objects are what `str` gives."""
_STANDS_FOR: Final = ("_asdict", "model_dump", "isoformat", "tolist", "to_list", "as_py", "__index__")
"""The methods by which objects give something plainer: named tuples, pydantic, dates, arrays, polars, pyarrow."""


class MetadataError(ValueError):
    """A value that cannot be stored as it is; the message follows the field's name: "holds a function, …"."""

    field = ""


class LeftOutError(MetadataError):
    """An array, such as an embedding: no filter and no reader needs it."""


class InfiniteError(LeftOutError):
    """An infinite number, which JSON does not have."""


class MetadataBuilder:
    """The metadata of one document, field by field, in `values`.

    `left_out` has the reason for each field that was left out, or is null for an infinite number.
    """

    def __init__(self) -> None:
        self.values: dict[str, MetadataValue] = {}
        self.left_out: dict[str, LeftOutError] = {}
        self._steps = 0

    def add(self, name: str, value: object) -> None:
        """Add a field: an object under dotted names, anything else as the value it stands for.

        Strings, numbers, booleans and None stay as they are; NaN, NA and NaT are None. Enum members are their
        values, dates and times ISO strings (in UTC where they have a zone), time spans seconds, UUIDs and paths
        strings, bytes UTF-8 text. Arrays, series, tuples and other sequences are lists, sets sorted lists, all
        without their Nones; a list that holds lists or objects is JSON text. Mappings, dataclasses, pydantic and
        attrs models and named tuples are objects. A name that is there keeps its value.

        Raises MetadataError for any other object, and for a decimal that no float equals.
        """
        self._add(valid(name), value, 0)

    def _add(self, name: str, value: object, depth: int) -> None:
        try:
            value = self._opened(value)
            if not isinstance(value, dict):
                self.values.setdefault(name, self._value(value))
                return
            _check_depth(depth)
            parts = [(f"{name}.{_key(key)}" if name else _key(key), part) for key, part in value.items()]
        except InfiniteError as error:
            self.values.setdefault(name, None)
            self.left_out[name] = error
            return
        except LeftOutError as error:
            self.left_out[name] = error
            return
        except MetadataError as error:
            error.field = error.field or name
            raise
        for below, part in parts:
            self._add(below, part, depth + 1)

    def _value(self, value: object) -> MetadataValue:
        """The value of a field, of one that `_opened` gave."""
        if not isinstance(value, list):
            return _sound(value)
        if _is_array(value):
            raise LeftOutError(_ARRAYS)
        items = self._json(value, 0)
        scalars = [item for item in items if not isinstance(item, (list, dict))]
        if len(scalars) < len(items):
            return json.dumps(items, ensure_ascii=False)
        return [item for item in scalars if item is not None]

    def _json(self, items: list[object], depth: int) -> list[Any]:
        """The items as JSON has them."""
        _check_depth(depth)
        found: list[Any] = []
        for item in items:
            self._step()
            plain = self._opened(item)
            if isinstance(plain, dict):
                found.append(
                    dict(zip(map(_key, plain), self._json(list(plain.values()), depth + 1), strict=True))
                )
            else:
                found.append(self._json(plain, depth + 1) if isinstance(plain, list) else _sound(plain))
        return found

    def _opened(self, value: object) -> object:
        """The value as one of the types of JSON; what is inside a list or a dict is not opened."""
        while type(value) not in _JSON:
            self._step()
            try:
                value = self._sorted(value) if isinstance(value, Set) else _unwrapped(value)
            except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
                if isinstance(error, MetadataError):
                    raise
                raise MetadataError(f"holds a {type(value).__name__} that cannot be read: {error}") from error
        return value

    def _sorted(self, items: Set[object]) -> list[object]:
        """The items of a set, whose own order is another in every process: numbers, strings, and what has parts."""
        found = [item for item in self._json(list(items), 0) if item is not None]
        parts = {id(item): json.dumps(item) for item in found if isinstance(item, (list, dict))}
        rank: dict[type, int] = {str: 1, list: 2, dict: 2}
        return sorted(found, key=lambda item: (rank.get(type(item), 0), parts.get(id(item), item)))

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise MetadataError(f"holds more than {_STEPS:,} values, or itself")


def cell_value(cell: str) -> MetadataValue:
    """A cell of a text table: None where empty, a number or a boolean where it is written as one, else the string.

    "12", "-3", "0.50", "1.5e3" and "1e-05" are numbers; "007", "+1", "1,000", "12e4", "inf" and integers
    beyond 64 bits are strings. "true", "True", "TRUE" and so on are booleans.
    """
    if not cell:
        return None
    if _INTEGER.fullmatch(cell):
        number = int(cell)
        return number if -(_UINT64 >> 1) <= number < _UINT64 else cell
    if _DECIMAL.fullmatch(cell):
        real = float(cell)
        return real if math.isfinite(real) else cell
    return _TRUTH[cell] if cell in _TRUTH else valid(cell)


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise MetadataError("is nested too deeply, or holds itself")


def _key(key: object) -> str:
    """The name of a field that a mapping has."""
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return valid(str.__str__(key))
    if hasattr(type(key), "__index__"):
        return str(operator.index(cast(SupportsIndex, key)))
    raise MetadataError(f"has {key!r:.40} for the name of a field ({type(key).__name__}); a name is a string")


def _sound(value: object) -> Scalar | None:
    """A scalar of JSON as it can be stored."""
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise InfiniteError(_INFINITE)
        return None if math.isnan(value) else value
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        raise MetadataError("holds an integer of more than 1,200 digits; give a string or a float")
    return value  # type: ignore[return-value]


def _is_array(items: list[object]) -> bool:
    """Whether a list is a vector, or rows of numbers, rather than values that somebody looks up."""
    nested = bool(items) and all(isinstance(item, (list, tuple, np.ndarray)) for item in items)
    numbers = list(chain.from_iterable(items)) if nested else items  # type: ignore[arg-type]
    if len(numbers) < EMBEDDING:
        return False
    floats = sum(isinstance(number, (float, np.floating)) for number in numbers)
    if 2 * floats < len(numbers) and not (nested and len(numbers) >= _ARRAY):
        return False
    return all(isinstance(number, (int, float, np.number)) or number is None for number in numbers)


def _unwrapped(value: object) -> object:
    """What a value of another type stands for: one of a type of JSON, or of a type that is nearer to it.

    Raises MetadataError where it stands for none, and whatever the value's own methods raise.
    """
    kind = type(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, type):
        raise MetadataError(f"holds the class {value.__name__}, which is no metadata")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, UserString):
        return value.data
    if isinstance(value, int):
        return operator.index(value)
    if isinstance(value, float):
        return float(value)
    if kind.__name__ in _MISSING:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode(errors="replace")
    if isinstance(value, datetime.datetime) and value.utcoffset() is not None:
        with suppress(OverflowError):  # within a day of year 1 or 9999
            return value.astimezone(datetime.UTC).isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, np.generic):
        return _numpy_scalar(value)
    if isinstance(value, np.ndarray) and _is_vector(value):
        raise LeftOutError(_ARRAYS)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Rational):
        return int(value.numerator) if value.denominator == 1 else float(value)
    if isinstance(value, Real):
        return float(value)
    if any(base.__module__ in _WRITTEN for base in kind.__mro__):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if attributes := getattr(kind, "__attrs_attrs__", None):
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    if (method := next((name for name in _STANDS_FOR if hasattr(kind, name)), None)) is not None:
        given = getattr(value, method)()
        if type(given) is not kind:
            return given
    elif isinstance(value, (Sequence, ValuesView)):
        if len(value) > _STEPS:
            raise MetadataError(f"holds {len(value):,} values; at most {_STEPS:,} can be stored")
        return list(value)
    elif hasattr(kind, "__array__"):
        return np.asarray(value)
    raise MetadataError(
        f"holds a {kind.__name__} (of {kind.__module__}), which is no metadata: give a string, a number, a boolean, "
        "a date, a list of these, or a mapping"
    )


def _numpy_scalar(value: np.generic) -> object:
    if isinstance(value, np.datetime64):
        text = str(np.datetime_as_string(value))
        return None if np.isnat(value) else text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, np.timedelta64):
        return None if np.isnat(value) else float(value / np.timedelta64(1, "s"))
    if isinstance(value, np.complexfloating):
        raise MetadataError("holds a complex number, which is no metadata; give its parts as two fields")
    return float(value) if isinstance(value, np.longdouble) else value.item()


def _decimal(value: Decimal) -> int | float | None:
    if value.is_nan():
        return None
    if value.is_infinite():
        raise InfiniteError(_INFINITE)
    if value.adjusted() < _INTEGER_BITS and value == value.to_integral_value():
        return int(value)
    real = float(value)
    if math.isinf(real) or Decimal(repr(real)) != value:
        raise MetadataError(
            f"holds the decimal {value!s:.60}, which no floating-point number is; give it as a string, or rounded"
        )
    return real


def _is_vector(array: np.ndarray[Any, Any]) -> bool:
    """`_is_array` of an array's list, without making it."""
    return array.size >= EMBEDDING and (
        array.dtype.kind in "fc" or (array.ndim > 1 and array.size >= _ARRAY and array.dtype.kind in "iu")
    )
