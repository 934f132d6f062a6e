"""How metadata values compare, in Python and in SQLite alike."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from leanseek.types import MetadataValue, Scalar

Kind: TypeAlias = Literal["number", "string", "bool"]

_INT64 = range(-(2**63), 2**63)


class Element(NamedTuple):
    """One comparable value: what a row of the metadata table holds in `value` and `kind`.

    A number is an int of at most 64 bits or a float that is not NaN, a bool is 0 or 1.
    """

    value: str | int | float
    kind: Kind


def number_element(number: int | float) -> Element:
    """The comparable form of a number other than NaN.

    An int beyond 64 bits becomes the nearest float (an infinity beyond 1.8e308), as SQLite has no larger.
    """
    if isinstance(number, int) and number not in _INT64:
        try:
            number = float(number)
        except OverflowError:
            number = math.inf if number > 0 else -math.inf
    return Element(number, "number")


def _element(value: Scalar) -> Element | None:
    """The comparable form of one scalar, None for NaN: it equals nothing, and so counts as missing."""
    if isinstance(value, str):
        return Element(value, "string")
    if isinstance(value, bool):
        return Element(int(value), "bool")
    return None if value != value else number_element(value)


def elements(value: MetadataValue) -> tuple[Element, ...]:
    """The comparable elements of a field: none for None, NaN or an empty list.

    A store writes one row per element, with these values and kinds, so that a filter evaluated in SQLite
    agrees with `Filter.matches`.
    """
    scalars = value if isinstance(value, list) else () if value is None else (value,)
    found = (_element(scalar) for scalar in scalars if scalar is not None)
    return tuple(item for item in found if item is not None)
