"""Emphatic repeats are reduced to one; what a language repeats stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.understanding import without_repeats


@pytest.mark.parametrize(
    ("query", "once"),
    [
        (" ".join(["pump"] * 20), "pump"),
        ("pump freezes" + " pump" * 19, "pump freezes"),
        ("pump, Pump! PUMP", "pump,"),
        (" ".join(["pump freezes"] * 20), "pump freezes"),
        (" ".join(["why does the pump freeze"] * 3) + " today", "why does the pump freeze today"),
        ("why does it " + "freeze " * 20 + "in winter", "why does it freeze in winter"),
        ("Pumpe läuft " * 5, "Pumpe läuft"),
    ],
)
def test_repeats_are_each_term_once(query: str, once: str) -> None:
    assert without_repeats(query) == once


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "pump  freezes",
        "New York, New York",
        "Duran Duran",
        "the cat that had had a cat and the other cat",
        "pump and pump and a pump",
        "call 555 555 555",
        "0 0 0 0",
        "- - - -",
    ],
)
def test_what_stays(query: str) -> None:
    assert without_repeats(query) == query


words = st.lists(st.sampled_from("pump freezes in a cold winter night 7".split()), min_size=1, max_size=12)


@given(words, st.integers(3, 20))
def test_any_query_repeated_as_a_whole(query: list[str], times: int) -> None:
    once = without_repeats(" ".join(query))
    if any(word != "7" for word in query) and once == " ".join(query) and len(set(query)) == len(query):
        assert without_repeats(" ".join(query * times)) == once
    assert set(without_repeats(" ".join(query * times)).split()) == set(query)


@pytest.mark.parametrize(
    "unit", ["a ", "a b ", "a a b ", " ".join(map(chr, range(97, 122))) + " ", "- ", "a. "]
)
def test_time_is_linear_in_the_query(unit: str) -> None:
    query = unit * (1_000_000 // len(unit))
    for text in (query, f"{query[:500_000]} {' '.join(map(str, range(80_000)))} {query[:10_000]}"):
        started = time.process_time()
        without_repeats(text)
        assert time.process_time() - started < 60
