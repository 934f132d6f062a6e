"""A text without repeats has the same terms, each once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.text import each_term_once, load_analyzer

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
def test_each_term_comes_once(name: str, pieces: list[str]) -> None:
    analyzer = load_analyzer(name)
    text = " ".join(pieces)
    once = each_term_once(text, analyzer)
    tokens = analyzer.tokens(once)
    assert set(tokens) == set(analyzer.tokens(text))
    # Characters of a script without spaces come with each pair that they are in.
    repeats = Counter(tokens)
    assert all(count == 1 or (not term.isascii() and count <= 4) for term, count in repeats.items())
    given = analyzer.tokens(text)
    if len(given) == len(set(given)):
        assert once == text
