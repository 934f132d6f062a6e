"""The filters of other systems, against a plain reading of what they mean there."""

from __future__ import annotations

from operator import eq, ge, gt, le, lt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import FilterError
from leanseek.filters import from_dify, from_openai, parse_filter

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
        ("not empty", None, {1, 2, 3}), ("start with", "a", {1}), ("end with", "b", {1, 2}),
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
                  {"conditions": [{"name": "a", "comparison_operator": "regex", "value": "x"}]}):  # fmt: skip
        with pytest.raises(FilterError):
            from_dify(wrong)


dify_texts = st.sampled_from(["ab", "b", "AB", "", "c,d"])
dify_names = st.sampled_from(["s", "t", "n", "when"])
dify_conditions = st.one_of(
    st.tuples(
        st.sampled_from(["is", "is not", "contains", "not contains"]), st.sampled_from("st"), dify_texts
    ),
    st.tuples(
        st.sampled_from(["in", "not in"]), st.sampled_from("st"), st.lists(dify_texts, min_size=1, max_size=3)
    ),
    st.tuples(
        st.sampled_from(["=", "≠", ">", "≥", "<", "≤"]), st.just("n"), st.sampled_from([-1, 0, 1.5, 2])
    ),
    st.tuples(
        st.sampled_from(["before", "after"]),
        st.just("when"),
        st.sampled_from(["2024-01-01", "2024-05-01T10:00:00"]),
    ),
    st.tuples(st.sampled_from(["empty", "not empty"]), dify_names, st.none()),
)
dify_documents = st.fixed_dictionaries(
    {},
    optional={
        "s": dify_texts, "t": dify_texts, "n": st.sampled_from([-1, 0, 1.5, 2]),
        "when": st.sampled_from(["2023-12-31", "2024-01-01", "2024-03-01", "2024-05-01T09:59:59", "2025-01-01"]),
    },
)  # fmt: skip


def dify_meant(operator: str, name: str, value: Any, document: dict[str, Any]) -> bool:
    """What Dify's documentation says of a condition, on one document."""
    if operator in ("empty", "not empty"):
        return (name in document) == (operator == "not empty")
    if operator in ("is not", "not contains", "not in", "≠"):
        positive = {"is not": "is", "not contains": "contains", "not in": "in", "≠": "="}[operator]
        return not dify_meant(positive, name, value, document)
    if name not in document:
        return False
    have = document[name]
    if operator == "contains":
        return value.lower() in have.lower()
    if operator == "in":
        return have in value
    if operator in ("before", "after"):
        # A day alone is all of it: nothing in it is before or after it.
        start, end = (value + "T00:00:00", value + "T23:59:59") if len(value) == 10 else (value, value)
        first, last = (have + "T00:00:00", have + "T23:59:59") if len(have) == 10 else (have, have)
        return last < start if operator == "before" else first > end
    compare = {"is": eq, "=": eq, ">": gt, "≥": ge, "<": lt, "≤": le}[operator]
    return bool(compare(have, value))


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(dify_conditions, min_size=1, max_size=4), st.sampled_from(["and", "or", None]), dify_documents
)
def test_dify_filters_mean_what_they_mean_there(
    conditions: list[tuple[str, str, Any]], logical: str | None, document: dict[str, Any]
) -> None:
    given = {
        "logical_operator": logical,
        "conditions": [
            {"name": [name], "comparison_operator": operator, "value": value}
            for operator, name, value in conditions
        ],
    }
    condition = from_dify(given)
    assert condition is not None
    every = (dify_meant(operator, name, value, document) for operator, name, value in conditions)
    expected = any(every) if logical == "or" else all(every)
    assert condition.matches(document) == expected
    assert parse_filter(str(condition)).matches(document) == expected
