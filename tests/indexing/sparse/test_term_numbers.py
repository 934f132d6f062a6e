"""Terms as numbers: the native code gives what the analyser does, however a text is cut and remembered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.indexing.sparse import SparseBuilder
from leanseek.indexing.sparse.term_numbers import PlainTermNumbers, term_numbers
from leanseek.text import load_analyzer

WORDS = [
    "I", "A", "A,", "i", "the", "wings", "Wing's", "type", "of", "x-ray", "IL-6", "e.g.", "1,000.5", ".NET", "C++",
    "getUserById", "naïve", "茶道", "U.S.A.", "--", "a" * 50, "\ud800", "re\ud800port", "İstanbul", "I'm", "½",
]  # fmt: skip
SPACES = [
    " ",
    "\n",
    "\x1c",
    "\x85",
    "\xa0",
    "\u1680",
    "\u2003",
    "\u2028",
    "\u202f",
    "\u205f",
    "\u3000",
    "(",
    "\x00",
]
words = st.one_of(st.sampled_from(WORDS), st.text(max_size=6))
texts = st.lists(
    st.lists(st.tuples(words, st.sampled_from(SPACES)), max_size=8).map(
        lambda parts: "".join(map("".join, parts))
    ),
    max_size=6,
)


@pytest.mark.parametrize("spec", ["english", "simple", "german;stopwords=none", "turkish"])
@given(texts=texts)
@settings(max_examples=50, deadline=None)
def test_native_numbers_are_the_analysers(spec: str, texts: list[str]) -> None:
    pytest.importorskip("leanseek._terms")
    native, plain = term_numbers(load_analyzer(spec)), PlainTermNumbers(load_analyzer(spec))
    assert not isinstance(native, PlainTermNumbers)
    assert [native.add(text) for text in texts] == [plain.add(text) for text in texts]
    assert len(native) == len(plain)
    assert np.array_equal(native.numbers(), plain.numbers())
    assert native.names() == plain.names()


def test_many_distinct_chunks() -> None:
    """More than the native table takes before it starts anew, and than it first has room for."""
    pytest.importorskip("leanseek._terms")
    numbers = term_numbers(load_analyzer("simple;stopwords=none"), most=5000)
    count = 12_300
    for start in range(0, count, 1000):
        numbers.add(" ".join(map(str, range(start, min(start + 1000, count)))))
    numbers.add("7 x-9 7")
    assert len(numbers.names()) == count + 2
    assert numbers.numbers()[:count].tolist() == list(range(count))
    assert numbers.numbers()[count:].tolist() == [7, count, count + 1, 9, 7]


@pytest.mark.parametrize("spec", ["lucene", "english@1"])
def test_other_analysers_have_plain_numbers(spec: str) -> None:
    assert isinstance(term_numbers(load_analyzer(spec)), PlainTermNumbers)
    builder = SparseBuilder(load_analyzer(spec))
    builder.add("wings of wings")
    assert builder.tokens == 2
