"""The filters of Python frameworks, against a plain reading of what they mean there."""

from __future__ import annotations

from typing import Any

import pytest
from filters.test_foreign import COMPARED, FIELDS, numbers, strings
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import FilterError
from leanseek.filters import from_mongo, parse_filter

listed = st.fixed_dictionaries(
    {}, optional={"n": numbers | st.lists(numbers, max_size=2), "s": strings | st.none(), "b": st.booleans()}
)
conditions = st.one_of(
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), numbers, min_size=1, max_size=2),
    st.dictionaries(
        st.sampled_from(["$eq", "$ne"]), numbers | strings | st.booleans() | st.none(), min_size=1
    ),
    st.dictionaries(
        st.sampled_from(["$in", "$nin"]),
        st.lists(numbers | strings | st.none(), max_size=3),
        min_size=1,
        max_size=2,
    ),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    numbers | strings | st.booleans() | st.none(),
)
mongo_trees = st.recursive(
    st.dictionaries(
        st.sampled_from(FIELDS),
        conditions | st.fixed_dictionaries({"$not": conditions.filter(lambda one: isinstance(one, dict))}),
        max_size=2,
    ),
    lambda inner: st.builds(
        lambda kind, filters: {kind: filters[0] if kind == "$not" else filters},
        st.sampled_from(["$and", "$or", "$nor", "$not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Whether two scalars are equal to a database, which knows that true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def mongo_meant(tree: dict[str, Any], document: dict[str, Any]) -> bool:
    """What MongoDB's manual says of a filter, on one document; an empty list counts as missing here."""
    return all(mongo_part(key, value, document) for key, value in tree.items())


def mongo_part(key: str, value: Any, document: dict[str, Any]) -> bool:
    if key == "$not":
        return not mongo_meant(value, document)
    if key.startswith("$"):
        found = [mongo_meant(one, document) for one in value]
        return {"$and": all(found), "$or": any(found), "$nor": not any(found)}[key]
    have = document.get(key)
    items = have if isinstance(have, list) else [] if have is None else [have]
    if not isinstance(value, dict):
        value = {"$eq": value}
    return all(mongo_condition(items, operator, want) for operator, want in value.items())


def mongo_condition(items: list[Any], operator: str, want: Any) -> bool:
    if operator == "$not":
        return not all(mongo_condition(items, inner, value) for inner, value in want.items())
    if operator == "$exists":
        return bool(items) == want
    if operator in ("$eq", "$ne", "$in", "$nin"):
        wanted = want if isinstance(want, list) else [want]
        held = items or [None]
        return any(same(one, other) for one in held for other in wanted) == (operator in ("$eq", "$in"))
    compared = COMPARED[operator[1:]]
    return any(not isinstance(one, str | bool) and compared(one, want) for one in items)


@settings(max_examples=1000, deadline=None)
@given(mongo_trees, listed)
def test_mongo_filters_mean_what_they_mean_there(tree: dict[str, Any], document: dict[str, Any]) -> None:
    condition = from_mongo(tree)
    assert condition.matches(document) == mongo_meant(tree, document)
    assert parse_filter(str(condition)).matches(document) == mongo_meant(tree, document)


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], "n = 1", {"$eq": 1}, {"$and": []}, {"$and": {}}, {"$not": []}, {"$or": [1]}, {"n": {}}, {"n": [1]},
        {"n": {"$near": 1}}, {"n": {"eq": 1}}, {"n": {"$in": 1}}, {"n": {"$in": "ab"}}, {"n": {"$exists": 1}},
        {"n": {"$gt": None}}, {"n": {"$eq": float("nan")}}, {1: 1}, {"": 1}, {"$and": [[]]}, {"n": {"$not": 1}},
    ],
)  # fmt: skip
def test_mongo_filters_that_are_none(wrong: Any) -> None:
    with pytest.raises(FilterError):
        from_mongo(wrong)


def test_mongo_filters_nested_too_deeply() -> None:
    for wrap in (lambda one: {"$not": one}, lambda one: {"$and": [one]}):
        deep: Any = {"a": 1}
        for _ in range(5000):
            deep = wrap(deep)
        with pytest.raises(FilterError, match="nested"):
            from_mongo(deep)
    within: Any = {"$eq": 1}
    for _ in range(5000):
        within = {"$not": within}
    with pytest.raises(FilterError, match="nested"):
        from_mongo({"a": within})


def test_keys_of_mongo_filters_can_be_renamed() -> None:
    tree = {"$or": [{"id": 1}, {"$not": {"id": {"$gt": 2}}}]}
    assert {leaf.field for leaf in from_mongo(tree, lambda name: f"m.{name}").leaves()} == {"m.id"}
