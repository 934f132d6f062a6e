"""The filters of other systems, as conditions: OpenAI's, Dify's, Haystack's, and dicts as MongoDB has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from leanseek.errors import FilterError
from leanseek.filters.moments import DAY, span
from leanseek.filters.nodes import (
    BUILT_IN,
    And,
    Comparison,
    Contains,
    Element,
    Filter,
    IsNull,
    Membership,
    Not,
    Or,
    number_element,
)
from leanseek.filters.parser import MAX_CONDITIONS, MAX_DEPTH

Made = Callable[[str, Any], Filter]


def _compared(operator: Any) -> Made:
    return lambda field, value: Comparison(field, operator, element_of(value, field))


def _among(negated: bool) -> Made:
    def made(field: str, values: Any) -> Filter:
        listed = values if isinstance(values, list) else str(values).split(",")
        if not listed:
            raise FilterError(f"the list of values for {field!r} is empty")
        found: Filter = Membership(field, tuple(element_of(value, field) for value in listed))
        return Not(found) if negated else found

    return made


def _contains(negated: bool) -> Made:
    def made(field: str, value: Any) -> Filter:
        if not isinstance(value, str):
            raise FilterError(f"what {field!r} contains must be a string, not {value!r}")
        return Not(Contains(field, value)) if negated else Contains(field, value)

    return made


OPENAI: Final[Mapping[str, Made]] = {
    "eq": _compared("="),
    "ne": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    "gt": _compared(">"),
    "gte": _compared(">="),
    "lt": _compared("<"),
    "lte": _compared("<="),
    "in": _among(False),
    "nin": _among(True),
}

DIFY: Final[Mapping[str, Made]] = {
    "is": _compared("="),
    "=": _compared("="),
    "is not": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    "≠": lambda field, value: Not(Comparison(field, "=", element_of(value, field))),
    ">": _compared(">"),
    "≥": _compared(">="),
    "<": _compared("<"),
    "≤": _compared("<="),
    "before": _compared("<"),
    "after": _compared(">"),
    "contains": _contains(False),
    "not contains": _contains(True),
    "in": _among(False),
    "not in": _among(True),
    "empty": lambda field, value: IsNull(field),
    "not empty": lambda field, value: IsNull(field, negated=True),
}


MONGO: Final[Mapping[str, Made]] = {
    "$eq": lambda field, value: _same(field, value),
    "$ne": lambda field, value: Not(_same(field, value)),
    "$gt": _compared(">"),
    "$gte": _compared(">="),
    "$lt": _compared("<"),
    "$lte": _compared("<="),
    "$in": lambda field, values: _any_of(field, values),
    "$nin": lambda field, values: Not(_any_of(field, values)),
    "$exists": lambda field, value: _exists(field, value),
}

HAYSTACK: Final[Mapping[str, Made]] = {
    "==": lambda field, value: _same(field, _first_moment(field, value)),
    "!=": lambda field, value: Not(_same(field, _first_moment(field, value))),
    ">": lambda field, value: _ordered(">", field, value),
    ">=": lambda field, value: _ordered(">=", field, value),
    "<": lambda field, value: _ordered("<", field, value),
    "<=": lambda field, value: _ordered("<=", field, value),
    "in": lambda field, values: _among_moments(field, values),
    "not in": lambda field, values: Not(_among_moments(field, values)),
}


def _ordered(operator: Any, field: str, value: Any) -> Filter:
    """An order as Haystack has it: nothing is before or after None, and strings have none but as dates and times."""
    if value is None:
        return nothing(field)
    if isinstance(value, str) and (span(value) is None or len(value) < DAY):
        raise FilterError(
            f"{field!r} {operator} {value!r}: only numbers and ISO dates such as '2024-05-01' have an order"
        )
    return Comparison(field, operator, element_of(_first_moment(field, value), field))


def _among_moments(field: str, values: Any) -> Filter:
    return _any_of(
        field, [_first_moment(field, value) for value in values] if isinstance(values, list) else values
    )


def _first_moment(field: str, value: Any) -> Any:
    """A value of Haystack's as one of ours: there a date is its first moment, here all of its day."""
    day = isinstance(value, str) and len(value) == DAY and field not in BUILT_IN and span(value) is not None
    return f"{value}T00:00:00" if day else value


def nothing(field: str) -> Filter:
    """A condition that no document meets."""
    return And((IsNull(field), IsNull(field, negated=True)))


def _same(field: str, value: Any) -> Filter:
    return IsNull(field) if value is None else Comparison(field, "=", element_of(value, field))


def _any_of(field: str, values: Any) -> Filter:
    if not isinstance(values, list):
        raise FilterError(f"the values for {field!r} must be a list, not {values!r}")
    if not values:  # such as the groups of somebody who is in none
        return nothing(field)
    among = tuple(element_of(value, field) for value in values if value is not None)
    found: list[Filter] = [Membership(field, among)] if among else []
    return joined("or", [*found, IsNull(field)] if None in values else found)


def _exists(field: str, value: Any) -> Filter:
    if not isinstance(value, bool):
        raise FilterError(f"whether {field!r} exists must be true or false, not {value!r}")
    return IsNull(field, negated=value)


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
    return _made(OPENAI, kind, filters["key"], filters.get("value"))


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
        found.append(joined("or", [_made(DIFY, operator, name, one.get("value")) for name in names]))
    logical = condition.get("logical_operator") or "and"
    if logical not in ("and", "or"):
        raise FilterError(f"logical_operator is {logical!r}; it must be 'and' or 'or'")
    return joined(logical, found) if found else None


def from_mongo(filter: Any, name: Callable[[str], str] = str) -> Filter:
    """The condition of a dict in the manner of MongoDB, as LangChain's stores take it; {} admits every document.

    `{"year": {"$gte": 2015, "$lt": 2020}, "lang": "en"}`, joined by `$and`, `$or`, `$nor`, `$not`. As there, `$ne`,
    `$nin` and `None` also hold for documents that do not have the field. `name` makes a key our field.

    Raises FilterError.
    """
    return _mongo(filter, name, 0) or Or((IsNull("id"), IsNull("id", negated=True)))


def _mongo(filter: Any, name: Callable[[str], str], depth: int) -> Filter | None:
    if not isinstance(filter, Mapping) or not all(isinstance(key, str) and key for key in filter):
        raise FilterError(
            f'a filter is a dict such as {{"lang": "en", "year": {{"$gte": 2015}}}}, not {filter!r:.60}'
        )
    if depth >= MAX_DEPTH:
        raise FilterError(f"filters may be nested {MAX_DEPTH} deep")
    found: list[Filter] = []
    for key, value in filter.items():
        if key in ("$and", "$or", "$nor"):
            if not isinstance(value, list | tuple) or not value:
                raise FilterError(f"{key} has a list of filters, not {value!r:.60}")
            parts = [from_mongo(one, name) if not one else _mongo(one, name, depth + 1) for one in value]
            among = joined("and" if key == "$and" else "or", [one for one in parts if one is not None])
            found.append(Not(among) if key == "$nor" else among)
        elif key == "$not":
            found.append(Not(_mongo(value, name, depth + 1) or from_mongo({})))
        elif key.startswith("$"):
            raise FilterError(
                f"{key!r} is not among the operators here: $and, $or, $nor, $not, or a field's name"
            )
        elif isinstance(value, Mapping):
            found.append(_conditions(name(key), value, depth + 1))
        else:
            found.append(_same(name(key), value))
    return joined("and", found) if found else None


def from_haystack(filters: Any, name: Callable[[str], str] = str) -> Filter:
    """The condition of a Haystack filter: comparisons `{"field": "meta.year", "operator": ">=", "value": 2015}`, joined
    by `{"operator": "AND", "conditions": […]}`, OR, or NOT (not all of them).

    As there, `!=`, `not in` and `== None` also hold for documents that do not have the field. A field `meta.NAME`, or
    a bare name, is the metadata's, which `name` makes a field of ours; `id` is the document's.

    Raises FilterError.
    """
    return _haystack(filters, name, 0)


def _haystack(filters: Any, name: Callable[[str], str], depth: int) -> Filter:
    if not isinstance(filters, Mapping) or not isinstance(filters.get("operator"), str):
        raise FilterError(
            'a filter is a dict such as {"field": "meta.lang", "operator": "==", "value": "en"}, with an operator, '
            f"not {filters!r:.60}"
        )
    if "field" in filters:
        field = filters["field"]
        if not isinstance(field, str) or not field.removeprefix("meta.") or "value" not in filters:
            raise FilterError(f"a comparison has a field and a value; this one is {dict(filters)!r:.100}")
        if field in ("content", "blob", "embedding", "score", "sparse_embedding"):
            raise FilterError(f"documents are filtered by meta.NAME or id, not by {field!r}")
        field = field if field == "id" else name(field.removeprefix("meta."))
        return _made(HAYSTACK, filters["operator"], field, filters["value"])
    conditions = filters.get("conditions")
    if filters["operator"] not in ("AND", "OR", "NOT") or not isinstance(conditions, list) or not conditions:
        raise FilterError(
            f"a filter without a field has the operator AND, OR or NOT and a list of conditions, not {filters!r:.100}"
        )
    if depth >= MAX_DEPTH:
        raise FilterError(f"filters may be nested {MAX_DEPTH} deep")
    found = [_haystack(one, name, depth + 1) for one in conditions]
    if filters["operator"] == "NOT":
        return Not(joined("and", found))
    return joined(filters["operator"].lower(), found)


def _conditions(field: str, conditions: Mapping[Any, Any], depth: int) -> Filter:
    if not conditions:
        raise FilterError(f'{field!r} has no condition; give one such as {{"$eq": "en"}}')
    if depth >= MAX_DEPTH:
        raise FilterError(f"filters may be nested {MAX_DEPTH} deep")
    found: list[Filter] = []
    for operator, value in conditions.items():
        if operator == "$not" and isinstance(value, Mapping):
            found.append(Not(_conditions(field, value, depth + 1)))
        else:
            found.append(_made(MONGO, str(operator), field, value))
    return joined("and", found)


def _made(table: Mapping[str, Made], operator: str, field: str, value: Any) -> Filter:
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
