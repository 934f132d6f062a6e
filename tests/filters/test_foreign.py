"""The filters of other systems, against a plain reading of what they mean there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import FilterError
from leanseek.filters import from_dify, from_mongo, from_openai, parse_filter

FIELDS = ("n", "s", "b")
numbers = st.integers(-3, 3)
strings = st.sampled_from(["a", "b", "ab", "B"])
documents = st.fixed_dictionaries({}, optional={"n": numbers, "s": strings, "b": st.booleans()})
COMPARED = {
    "eq": lambda have, want: have == want,
    "ne": lambda have, want: have != want,
    "gt": lambda have, want: have > want,
    "gte": lambda have, want: have >= want,
    "lt": lambda have, want: have < want,
    "lte": lambda have, want: have <= want,
}
leaves = st.one_of(
    st.builds(
        lambda kind, value: {"type": kind, "key": "n", "value": value}, st.sampled_from([*COMPARED]), numbers
    ),
    st.builds(
        lambda kind, value: {"type": kind, "key": "s", "value": value}, st.sampled_from(["eq", "ne"]), strings
    ),
    st.builds(
        lambda kind, value: {"type": kind, "key": "b", "value": value},
        st.sampled_from(["eq", "ne"]),
        st.booleans(),
    ),
    st.builds(
        lambda kind, values: {"type": kind, "key": "n", "value": values},
        st.sampled_from(["in", "nin"]),
        st.lists(numbers, min_size=1, max_size=3),
    ),
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda kind, filters: {"type": kind, "filters": filters},
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def meant(tree: dict[str, Any], document: dict[str, Any]) -> bool:
    """What OpenAI's documentation says of a filter, on one document."""
    kind = tree["type"]
    if kind in ("and", "or"):
        return (all if kind == "and" else any)(meant(one, document) for one in tree["filters"])
    if tree["key"] not in document:
        return kind in ("ne", "nin")
    have, want = document[tree["key"]], tree["value"]
    if kind in ("in", "nin"):
        return (have in want) == (kind == "in")
    return bool(COMPARED[kind](have, want))


@settings(max_examples=1000, deadline=None)
@given(trees, documents)
def test_openai_filters_mean_what_they_mean_there(tree: dict[str, Any], document: dict[str, Any]) -> None:
    condition = from_openai(tree)
    assert condition.matches(document) == meant(tree, document)
    assert parse_filter(str(condition)).matches(document) == meant(tree, document)


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], {}, {"type": "eq"}, {"type": "eq", "key": 1, "value": 1}, {"type": "eq", "key": "a", "value": {}},
        {"type": "and", "filters": []}, {"type": "and", "filters": {}}, {"type": "eq", "key": "a", "value": None},
        {"type": "like", "key": "a", "value": "b"}, {"type": "eq", "key": "a", "value": 1, "extra": 2},
        {"type": "in", "key": "a", "value": []}, {"type": "eq", "key": "a", "value": float("nan")},
    ],
)  # fmt: skip
def test_openai_filters_that_are_none(wrong: Any) -> None:
    with pytest.raises(FilterError):
        from_openai(wrong)


def test_filters_nested_too_deeply() -> None:
    deep: Any = {"type": "eq", "key": "a", "value": 1}
    for _ in range(100):
        deep = {"type": "and", "filters": [deep, deep]} if _ < 1 else {"type": "and", "filters": [deep]}
    with pytest.raises(FilterError, match="nested"):
        from_openai(deep)


@pytest.mark.parametrize(
    ("operator", "value", "documents"),
    [
        ("is", "ab", {1}), ("is not", "ab", {2, 3, 4}), ("contains", "b", {1, 2}), ("not contains", "b", {3, 4}),
        ("in", ["ab", "c"], {1, 3}), ("in", "ab,c", {1, 3}), ("not in", ["ab"], {2, 3, 4}), ("empty", None, {4}),
        ("not empty", None, {1, 2, 3}),
    ],
)  # fmt: skip
def test_dify_operators_on_texts(operator: str, value: Any, documents: set[int]) -> None:
    held = {1: {"s": "ab"}, 2: {"s": "b"}, 3: {"s": "c"}, 4: {}}
    condition = from_dify({"conditions": [{"name": ["s"], "comparison_operator": operator, "value": value}]})
    assert (
        condition is not None
        and {one for one, fields in held.items() if condition.matches(fields)} == documents
    )


@pytest.mark.parametrize(
    ("operator", "documents"),
    [("=", {2}), ("≠", {1, 3, 4}), (">", {3}), ("≥", {2, 3}), ("<", {1}), ("≤", {1, 2})],
)
def test_dify_operators_on_numbers(operator: str, documents: set[int]) -> None:
    held: dict[int, dict[str, int]] = {1: {"n": 1}, 2: {"n": 2}, 3: {"n": 3}, 4: {}}
    condition = from_dify({"conditions": [{"name": "n", "comparison_operator": operator, "value": 2}]})
    assert (
        condition is not None
        and {one for one, fields in held.items() if condition.matches(fields)} == documents
    )


def test_dify_conditions_together() -> None:
    one = {"name": ["a", "b"], "comparison_operator": "is", "value": "x"}
    other = {"name": ["c"], "comparison_operator": "after", "value": "2024-01-01"}
    both = from_dify({"logical_operator": "and", "conditions": [one, other]})
    either = from_dify({"logical_operator": "or", "conditions": [one, other]})
    assert both is not None and either is not None
    for fields, expected in (
        ({"b": "x", "c": "2024-05-01"}, (True, True)),
        ({"a": "x"}, (False, True)),
        ({}, (False, False)),
    ):
        assert (both.matches(fields), either.matches(fields)) == expected
    assert from_dify({"conditions": []}) is None and from_dify({"conditions": None}) is None
    for wrong in ([], {"conditions": {}}, {"conditions": [1]}, {"conditions": [{"name": []}]},
                  {"logical_operator": "xor", "conditions": [one]},
                  {"conditions": [{"name": "a", "comparison_operator": "start with", "value": "x"}]}):  # fmt: skip
        with pytest.raises(FilterError):
            from_dify(wrong)


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
