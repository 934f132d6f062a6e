"""A text in which nothing is said twice has the same terms, each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.text import load_analyzer, said_once

PIECES = [
    "pump",
    "Pumps",
    "the",
    "re-seal",
    "café",
    "水泵水泵房",
    "½",
    "AT&T",
    "3.14",
    "getUserById",
    "x",
    ",",
    "\n",
]


@pytest.mark.parametrize("name", ["english", "simple", "lucene", "german"])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_each_term_is_said_once(name: str, pieces: list[str]) -> None:
    analyzer = load_analyzer(name)
    text = " ".join(pieces)
    once = said_once(text, analyzer)
    tokens = analyzer.tokens(once)
    assert set(tokens) == set(analyzer.tokens(text))
    assert len(tokens) == len(set(tokens))
    if len(analyzer.tokens(text)) == len(tokens):
        assert once == text
