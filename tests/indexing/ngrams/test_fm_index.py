"""The FM-index against looking at every place of the texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.indexing.array_columns import column_path, together_path
from leanseek.indexing.arrays import write_array
from leanseek.indexing.ngrams import FMIndex
from leanseek.indexing.ngrams import fm_index as module
from leanseek.indexing.ngrams.fm_index import write_fm_index

pytest.importorskip("leanseek._ngrams", reason="leanseek._ngrams was not compiled here")

TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=6) | st.lists(
    st.lists(st.integers(0, 700), max_size=9), max_size=6
)


def indexed(texts: list[list[int]]) -> FMIndex:
    with TemporaryDirectory() as folder:
        write_fm_index(Path(folder), "test", texts)
        return FMIndex(Path(folder), "test")


def places(texts: list[list[int]], ngram: list[int]) -> list[tuple[int, int]]:
    """The passage and the place of each occurrence."""
    return [
        (number, at)
        for number, text in enumerate(texts)
        for at in range(len(text) - len(ngram) + 1)
        if text[at : at + len(ngram)] == ngram
    ]


@settings(deadline=None)
@given(texts=TEXTS, data=st.data())
def test_ngrams_are_those_of_a_plain_scan(texts: list[list[int]], data: st.DataObject) -> None:
    index = indexed(texts)
    assert [text.tolist() for text in index.texts()] == texts
    assert index.lengths.tolist() == [len(text) for text in texts]
    known = [text for text in texts if text]
    ngram = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    inside: bool = data.draw(st.booleans())
    if known and inside:
        text = data.draw(st.sampled_from(known))
        start = data.draw(st.integers(0, len(text) - 1))
        ngram = text[start : start + data.draw(st.integers(1, 12))]
    found = index.find(ngram)
    expected = places(texts, ngram)
    assert found.times == len(expected)
    located = index.locate(found)
    assert list(zip(located.passages.tolist(), located.tokens.tolist(), strict=True)) == expected
    after = Counter(texts[one][at + len(ngram)] for one, at in expected if at + len(ngram) < len(texts[one]))
    tokens, counts = index.next_tokens(found)
    assert tokens.tolist() == sorted(after)
    assert counts.tolist() == [after[token] for token in sorted(after)]


def test_every_token_goes_on_from_nothing() -> None:
    index = indexed([[5, 2, 5], [], [2]])
    tokens, counts = index.next_tokens(index.everything)
    assert (tokens.tolist(), counts.tolist()) == ([2, 5], [2, 2])


def test_ngrams_do_not_cross_passages() -> None:
    index = indexed([[1, 2], [3]])
    assert index.find([1, 2]).times == 1
    assert index.find([2, 3]).times == 0


def test_a_large_text_that_repeats_is_sorted_as_it_should_be() -> None:
    generator = np.random.default_rng(7)
    unit = generator.integers(0, 50, 400).tolist()
    index = indexed([unit * 5, [0] * 3000, unit])
    assert index.find(unit).times == 6
    assert index.find([0] * 2999).times == 2
    assert index.locate(index.find([0] * 3000)).passages.tolist() == [1]


@pytest.mark.parametrize("token", [-5, -1, 3, 2**31 - 1])
def test_a_token_that_no_text_has_is_found_nowhere(token: int) -> None:
    index = indexed([[0, 1, 2]])
    assert index.find([token]).times == index.find([0, token]).times == 0


def test_too_many_tokens_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    write_fm_index(tmp_path, "test", [[1], []])
    with pytest.raises(UsageError, match="4 tokens are too many"):
        write_fm_index(tmp_path, "test", [[1], [2]])


def test_files_that_do_not_fit_together_are_damage(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    write_fm_index(tmp_path, "test", [generator.integers(0, 40_000, 600_000).tolist()])
    assert not together_path(tmp_path, "test").exists(), "large columns have files of their own"
    write_array(column_path(tmp_path, "test", "marks"), np.zeros(8, np.uint64))
    with pytest.raises(IndexDamagedError, match="does not fit"):
        FMIndex(tmp_path, "test")
