"""The filters of other systems, as conditions: those of OpenAI's vector stores and of Dify's knowledge bases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from leanseek.errors import FilterError
from leanseek.filters.leaves import Comparison, Contains, Membership, TextOperator
from leanseek.filters.nodes import And, Element, Filter, IsNull, Not, Or, number_element
from leanseek.filters.parser import MAX_CONDITIONS, MAX_DEPTH

Made = Callable[[str, Any], Filter]


def compared(operator: Any) -> Made:
    """What makes comparisons with an operator of ours."""
    return lambda field, value: Comparison(field, operator, element_of(value, field))


def _among(negated: bool) -> Made:
    def made(field: str, values: Any) -> Filter:
        listed = values if isinstance(values, list) else str(values).split(",")
        if not listed:
            raise FilterError(f"the list of values for {field!r} is empty")
        found: Filter = Membership(field, tuple(element_of(value, field) for value in listed))
        return Not(found) if negated else found

    return made


def _text(operator: TextOperator, negated: bool = False) -> Made:
    def made(field: str, value: Any) -> Filter:
        if not isinstance(value, str):
            raise FilterError(f"what {field!r} {operator} must be a string, not {value!r}")
        found = Contains(field, value, operator)
        return Not(found) if negated else found

    return made


OPENAI: Final[Mapping[str, Made]] = {
    "eq": compared("="),
    "ne": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    "gt": compared(">"),
    "gte": compared(">="),
    "lt": compared("<"),
    "lte": compared("<="),
    "in": _among(False),
    "nin": _among(True),
}

DIFY: Final[Mapping[str, Made]] = {
    "is": compared("="),
    "=": compared("="),
    "is not": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    "≠": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    ">": compared(">"),
    "≥": compared(">="),
    "<": compared("<"),
    "≤": compared("<="),
    "before": compared("<"),
    "after": compared(">"),
    "contains": _text("contains"),
    "not contains": _text("contains", negated=True),
    "start with": _text("starts with"),
    "end with": _text("ends with"),
    "in": _among(False),
    "not in": _among(True),
    "empty": lambda field, value: IsNull(field),
    "not empty": lambda field, value: IsNull(field, negated=True),
}


def element_of(value: Any, field: str) -> Element:
    """A string, number or boolean as a value of a condition. Raises FilterError for anything else."""
    if isinstance(value, bool):
        return Element(int(value), "bool")
    if isinstance(value, int | float) and value == value:
        return number_element(value)
    if isinstance(value, str):
        return Element(value, "string")
    raise FilterError(f"{field!r} is compared with {value!r}; give a string, a number, true or false")


def from_openai(filters: Any) -> Filter:
    """The condition of an OpenAI filter, `{"type": "eq", "key", "value"}` or `{"type": "and", "filters": […]}`.

    As there, `ne` and `nin` also hold for documents that do not have the field. Raises FilterError.
    """
    return _openai(filters, 0)


def _openai(filters: Any, depth: int) -> Filter:
    if not isinstance(filters, dict) or not isinstance(filters.get("type"), str):
        raise FilterError('a filter is an object such as {"type": "eq", "key": "lang", "value": "en"}')
    kind = filters["type"]
    if kind in ("and", "or"):
        operands = filters.get("filters")
        if not isinstance(operands, list) or not operands or filters.keys() - {"type", "filters"}:
            raise FilterError(f"a filter of type {kind!r} has a list of filters, and nothing else")
        if depth >= MAX_DEPTH:
            raise FilterError(f"filters may be nested {MAX_DEPTH} deep")
        return joined(kind, [_openai(one, depth + 1) for one in operands])
    if filters.keys() - {"type", "key", "value"} or not isinstance(filters.get("key"), str):
        raise FilterError(f"a filter of type {kind!r} has a key and a value, and nothing else")
    return made_by(OPENAI, kind, filters["key"], filters.get("value"))


def from_dify(condition: Any) -> Filter | None:
    """The condition of Dify's `metadata_condition`; None where it has no conditions. Raises FilterError."""
    conditions = condition.get("conditions") if isinstance(condition, dict) else None
    if not isinstance(condition, dict) or not isinstance(conditions, list | None):
        raise FilterError("metadata_condition is an object with a list of conditions")
    found: list[Filter] = []
    for one in conditions or []:
        names = one.get("name") if isinstance(one, dict) else None
        names = names if isinstance(names, list) else [names]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise FilterError("each condition of metadata_condition has a name and a comparison_operator")
        operator = str(one.get("comparison_operator"))
        found.append(joined("or", [made_by(DIFY, operator, name, one.get("value")) for name in names]))
    logical = condition.get("logical_operator") or "and"
    if logical not in ("and", "or"):
        raise FilterError(f"logical_operator is {logical!r}; it must be 'and' or 'or'")
    return joined(logical, found) if found else None


def made_by(table: Mapping[str, Made], operator: str, field: str, value: Any) -> Filter:
    """The condition that a table has for an operator. Raises FilterError for one that it does not have."""
    if operator not in table:
        raise FilterError(f"{operator!r} is not among the operators here: {', '.join(table)}")
    return table[operator](field, value)


def joined(operator: str, operands: Sequence[Filter]) -> Filter:
    """All, or any, of one or more conditions. Raises FilterError for too many."""
    if len(operands) > MAX_CONDITIONS:
        raise FilterError(f"{len(operands):,} conditions; there may be {MAX_CONDITIONS:,}")
    if len(operands) == 1:
        return operands[0]
    return And(tuple(operands)) if operator == "and" else Or(tuple(operands))
