"""Hits and answers as JSON and back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leanseek.records import answer_of, answer_record, hit_of, hit_record, remarks_record
from leanseek.types import (
    Answer,
    AttentionExplanation,
    Constraint,
    ExpandedTerm,
    Explanation,
    Hit,
    Nothing,
    Operator,
    Passage,
    Reached,
    Snippet,
    Stage,
    Standing,
    TokenAttention,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(0, 10**6)
texts = st.text(max_size=20)
spans = st.lists(st.tuples(whole, whole), max_size=3).map(tuple)
stages = st.none() | st.builds(Stage, st.none() | whole, st.none() | numbers)
snippets = st.builds(Snippet, texts, spans)
terms = st.lists(texts, max_size=3).map(tuple)
tokens = st.lists(st.builds(TokenAttention, whole, whole, numbers), max_size=3).map(tuple)
expanded = st.lists(st.builds(ExpandedTerm, texts, numbers, st.booleans()), max_size=2).map(tuple)
learned: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
    {"learned": st.builds(Stage, st.none() | whole, st.none() | numbers), "expanded": expanded}
)


def explained(kind: Any, *parts: Any) -> st.SearchStrategy[Any]:
    """Explanations of a kind, of indexes with and without a learned side."""
    return st.builds(lambda side, *own: kind(*own, **side), learned, stages, stages, terms, snippets, *parts)


explanations = explained(Explanation) | explained(AttentionExplanation, tokens, tokens)
scalars = texts | whole | numbers | st.booleans()
hits = st.builds(
    Hit,
    rank=whole,
    id=texts,
    score=numbers,
    title=texts,
    text=texts,
    metadata=st.dictionaries(texts, scalars | st.none() | st.lists(scalars, max_size=3), max_size=3),
    passage=st.none() | st.builds(Passage, whole, whole, whole),
    explanation=st.none() | explanations,
    probability=st.none() | numbers,
    history=st.lists(st.builds(Standing, texts, whole, numbers), max_size=3).map(tuple),
    copies=terms,
)


def through_json(record: Any) -> Any:
    return json.loads(json.dumps(record, allow_nan=False))


@given(hits)
def test_a_hit_comes_back_from_json(hit: Hit) -> None:
    assert hit_of(through_json(hit_record(hit))) == hit


@given(
    st.lists(hits, max_size=2),
    st.none() | numbers,
    whole,
    st.none() | hits,
    st.none() | st.builds(Reached, whole, whole),
    st.none() | st.builds(Nothing, st.sampled_from(["filter", "no_match"]), texts),
    whole,
    st.lists(st.builds(Operator, texts, texts, st.booleans(), st.none() | whole), max_size=2).map(tuple),
    st.lists(st.builds(Constraint, texts, texts, whole, whole, numbers, st.none() | whole), max_size=2).map(
        tuple
    ),
)
def test_an_answer_comes_back_from_json(
    found: list[Hit],
    threshold: float | None,
    left_out: int,
    nearest: Hit | None,
    reached: Reached | None,
    nothing: Nothing | None,
    lost: int,
    operators: tuple[Operator, ...],
    constraints: tuple[Constraint, ...],
) -> None:
    left_out = left_out if threshold is not None else 0
    answer = Answer(
        found, threshold, left_out, nearest, reached, nothing, lost, operators, constraints=constraints
    )
    assert answer_of(through_json(answer_record(answer))) == answer


def test_a_terminal_is_told_of_a_threshold_only_where_it_left_nothing() -> None:
    hit = Hit(1, "a", 1.0, "", "text", {})
    assert remarks_record(Answer([hit], threshold=0.5, left_out=3)) == {}
    told = remarks_record(
        Answer([], threshold=0.5, left_out=3, nearest=hit, nothing=Nothing("threshold", "none"))
    )
    assert told["hits"] == 0 and told["threshold"] == 0.5 and told["nearest"]["id"] == "a"
