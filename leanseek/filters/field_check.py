"""What a filter names, compared with what an index has: misspelt fields, and values that no element can match."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from leanseek.errors import FilterError, InputError
from leanseek.filters.conditions import Operator
from leanseek.filters.leaves import Comparison, Membership, Range
from leanseek.filters.nodes import BUILT_IN, Element, Filter, IsNull, Kind, Leaf, quote, quote_name

PLURALS: Final[Mapping[Kind, str]] = {
    "number": "numbers",
    "string": "strings",
    "bool": "booleans",
    "moment": "dates and times",
}
_SHOWN: Final = 20
_COMPARED: Final = 10_000
_LONGEST: Final = 60


class FieldSource(Protocol):
    """One segment's metadata fields."""

    def fields(self) -> Sequence[str]:
        """The names of the fields."""
        ...

    def knows(self, field: str) -> bool:
        """Whether a document has the field, be it null in all of them."""
        ...

    def kinds(self, field: str) -> Mapping[Kind, Element]:
        """The kinds of elements that the field has, each with an example."""
        ...


def check_fields(condition: Filter, sources: Sequence[FieldSource]) -> None:
    """Refuse a condition that can only be a mistake.

    Raises FilterError for a field that none of the sources has, and for a value of a kind that the field never
    holds; the message shows the nearest name, or the condition as it should be.
    """
    held: dict[str, dict[Kind, Element]] = {}
    for leaf in condition.leaves():
        if leaf.field in BUILT_IN:
            continue
        if leaf.field not in held:
            kinds: dict[Kind, Element] = {}
            for source in sources:
                kinds = {**source.kinds(leaf.field), **kinds}
            held[leaf.field] = kinds
        if not held[leaf.field]:
            if not any(source.knows(leaf.field) for source in sources):
                names = {name for source in sources for name in source.fields()}
                raise FilterError(unknown_field(leaf.field, names))
        elif not isinstance(leaf, IsNull) and leaf.kinds().isdisjoint(held[leaf.field]):
            raise _mismatch(leaf, held[leaf.field])


def check_known(field: str, sources: Sequence[FieldSource], what: str) -> None:
    """Raise InputError for a field that none of the sources has; `what` names it."""
    if field not in BUILT_IN and not any(source.knows(field) for source in sources):
        names = {name for source in sources for name in source.fields()}
        raise InputError(unknown_field(field, names, what))


def unknown_field(field: str, names: set[str], what: str = "The filter") -> str:
    """What is said of a field that is none of the `names`; `what` names it."""
    import difflib

    known = [*BUILT_IN, *sorted(names - set(BUILT_IN))]
    given = _cut(field).casefold()
    # Names of another length cannot be near; comparing very many would take longer than the search.
    alike = [name for name in known if abs(len(name) - len(given)) <= max(2, len(given) // 2)][:_COMPARED]
    plain = {name.casefold(): name for name in reversed(alike)}
    near = [plain[name] for name in difflib.get_close_matches(given, plain, 3)]
    meant = f"; did you mean {' or '.join(map(quote_name, near))}?" if near else "."
    shown = ", ".join(_cut(quote_name(name)) for name in known[:_SHOWN])
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return (
        f"{what} names the field {_cut(quote_name(field))}, which no document has{meant} "
        f"The fields are {shown}{more}."
    )


def _mismatch(leaf: Leaf, held: Mapping[Kind, Element]) -> FilterError:
    name = quote_name(leaf.field)
    what = " and ".join(PLURALS[kind] for kind in PLURALS if kind in held)
    return FilterError(
        f"The field {name} holds {what}, so {_cut(str(leaf))} never matches; "
        f"write {_cut(str(_suggestion(leaf, held)))}"
    )


def _suggestion(leaf: Leaf, held: Mapping[Kind, Element]) -> Leaf:
    """The condition that was probably meant."""
    kind = next(kind for kind in PLURALS if kind in held)
    example = _written(held[kind])
    if isinstance(leaf, Membership):
        values = [_converted(value, kind) for value in leaf.values]
        meant = [value for value in values if value is not None]
        if len(meant) < len(values):
            meant = [example]
        return Membership(leaf.field, tuple(dict.fromkeys(meant)), leaf.negated)
    if isinstance(leaf, Range) and kind != "bool":
        first, last = _converted(leaf.first, kind), _converted(leaf.last, kind)
        if first is not None and last is not None:
            return Range(leaf.field, first, last, leaf.negated)
    operator: Operator = "="
    value = None
    if isinstance(leaf, Comparison):
        value = _converted(leaf.value, kind)
        operator = leaf.operator if kind != "bool" or leaf.operator == "!=" else "="
    return Comparison(leaf.field, operator, example if value is None else value)


def _converted(value: Element, kind: Kind) -> Element | None:
    """The value as one of another kind, None where it is not written as one."""
    if kind == "string":
        return Element(quote(value), "string") if value.kind == "number" else None
    if kind == "bool":
        words = {"true": 1, "false": 0, "1": 1, "0": 0}
        told = words.get(str(value.value).casefold())
        return None if told is None else Element(told, "bool")
    if kind == "number" and isinstance(value.value, str):
        try:
            number = float(value.value)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        return Element(int(number) if number.is_integer() else number, "number")
    return None


def _written(example: Element) -> Element:
    """An element of an index as an expression has it."""
    return Element(str(example.text), "string") if example.kind == "moment" else example


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
