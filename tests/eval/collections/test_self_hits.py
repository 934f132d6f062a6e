"""Queries that are documents: told by name and by content, and never by a number that two have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leanseek.eval.collections.collection_files import SELF_HIT_DOCUMENTS, SELF_HIT_IDS, has_self_hits
from leanseek.types import Document, Query


def asked(queries: list[Query], documents: list[Document], name: str = "mine") -> bool:
    return has_self_hits(name, lambda: queries, lambda: documents)


@pytest.mark.parametrize("name", ["arguana", "quora", "ArguAna"])
def test_two_are_known_by_name(name: str) -> None:
    def unread() -> Iterator[Document]:
        raise AssertionError("nothing need be read")

    assert has_self_hits(name, lambda: [], unread)


def test_arguments_that_are_documents() -> None:
    documents = [Document(f"d{n}", f"Text {n}\n goes on", f"Title {n}") for n in range(20)]
    assert asked([Query("d3", "Text 3 goes on"), Query("d7", "TEXT 7 goes on")], documents)
    assert asked([Query("d3", "Title 3 Text 3  goes on")], documents)
    assert asked([Query("d3", "title 3")], documents)


def test_numbers_in_common_are_no_self_hits() -> None:
    documents = [Document(str(n), f"text {n}") for n in range(100)]
    assert not asked([Query(str(n), f"question {n}") for n in range(100)], documents)
    assert not asked([Query("5", "text 5"), *(Query(str(n), "other") for n in range(6, 20))], documents)
    assert not asked([Query("5", "")], [Document("5", "", "x")])
    assert not asked([], documents)


def test_no_more_is_read_than_needed() -> None:
    drawn = 0

    def documents() -> Iterator[Document]:
        nonlocal drawn
        while True:  # a corpus without end
            yield Document(f"d{drawn}", f"text {drawn}")
            drawn += 1

    assert has_self_hits("x", lambda: [Query(f"d{n}", f"text {n}") for n in range(1000)], documents)
    assert drawn < SELF_HIT_IDS + 2
    drawn = 0
    assert not has_self_hits("x", lambda: [Query("q", "text")], documents)
    assert drawn <= SELF_HIT_DOCUMENTS
