"""The filters of Python frameworks, as conditions: dicts as MongoDB has them (LangChain), Haystack's, LlamaIndex's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from leanseek.errors import FilterError
from leanseek.filters.foreign import Made, compared, element_of, joined, made_by
from leanseek.filters.leaves import Comparison, Contains, Membership
from leanseek.filters.moments import DAY, span
from leanseek.filters.nodes import BUILT_IN, And, Filter, IsNull, Not, Or
from leanseek.filters.parser import MAX_DEPTH

MONGO: Final[Mapping[str, Made]] = {
    "$eq": lambda field, value: _same(field, value),
    "$ne": lambda field, value: Not(_same(field, value)),
    "$gt": compared(">"),
    "$gte": compared(">="),
    "$lt": compared("<"),
    "$lte": compared("<="),
    "$in": lambda field, values: one_of(field, values),
    "$nin": lambda field, values: Not(one_of(field, values)),
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

LLAMAINDEX: Final[Mapping[str, Made]] = {
    "==": lambda field, value: _same(field, value),
    "!=": lambda field, value: Not(_same(field, value)),
    ">": compared(">"),
    ">=": compared(">="),
    "<": compared("<"),
    "<=": compared("<="),
    "in": lambda field, values: one_of(field, values),
    "nin": lambda field, values: Not(one_of(field, values)),
    "any": lambda field, values: one_of(field, values),
    "all": lambda field, values: _every(field, values),
    "contains": lambda field, value: _same(field, value),
    "text_match": lambda field, value: _text(field, value),
    "text_match_insensitive": lambda field, value: _text(field, value),
    "is_empty": lambda field, value: Or((IsNull(field), Comparison(field, "=", element_of("", field)))),
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
    return one_of(
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


def one_of(field: str, values: Any) -> Filter:
    """That a field has one of the values, None standing for a missing one. Raises FilterError for what is no list."""
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


def _every(field: str, values: Any) -> Filter:
    if not isinstance(values, list) or not values:
        raise FilterError(f"the values for {field!r} must be a list with one at least, not {values!r}")
    return joined("and", [_same(field, value) for value in values])


def _text(field: str, value: Any) -> Filter:
    if not isinstance(value, str):
        raise FilterError(f"the text for {field!r} must be a string, not {value!r}")
    return Contains(field, value)


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
        return made_by(HAYSTACK, filters["operator"], field, filters["value"])
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
            found.append(made_by(MONGO, str(operator), field, value))
    return joined("and", found)


def from_llamaindex(filters: Any, name: Callable[[str], str] = str) -> Filter:
    """The condition of LlamaIndex's `MetadataFilters`, one or more, in one another too; `name` makes a key our field.

    As there, `!=` and `nin` also hold for nodes that do not have the key, and `not` means none of the filters. Both
    text matches take A-Z for a-z.

    Raises FilterError.
    """
    return _llamaindex(filters, name, 0)


def _llamaindex(filters: Any, name: Callable[[str], str], depth: int) -> Filter:
    listed = getattr(filters, "filters", None)
    if listed is None:
        operator = getattr(filters, "operator", "==")
        if not isinstance(getattr(filters, "key", None), str):
            raise FilterError(f"a filter is LlamaIndex's MetadataFilters, not {filters!r:.60}")
        return made_by(
            LLAMAINDEX, str(getattr(operator, "value", operator)), name(filters.key), filters.value
        )
    if not listed:
        raise FilterError("MetadataFilters without filters; leave them out to admit every node")
    if depth >= MAX_DEPTH:
        raise FilterError(f"filters may be nested {MAX_DEPTH} deep")
    condition = getattr(filters.condition, "value", filters.condition) or "and"
    if condition not in ("and", "or", "not"):
        raise FilterError(f"the condition is {condition!r}; it must be 'and', 'or' or 'not'")
    found = [_llamaindex(one, name, depth + 1) for one in listed]
    return Not(joined("or", found)) if condition == "not" else joined(condition, found)
