"""N-grams of an index, through adds, deletes and merges: against reading every document."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek import Index, Searcher
from leanseek.errors import UsageError
from leanseek.indexing import SparseSettings, verify
from leanseek.indexing.ngrams import NGrams, Occurrence
from leanseek.indexing.search_source import SearchSource
from leanseek.types import Document, Operator

pytest.importorskip("leanseek._ngrams", reason="leanseek._ngrams was not compiled here")

WORDS = "heat transfer of the plate, plates Heat-transfer x".split()
PHRASES = st.lists(st.sampled_from(["heat", "transfer", "of", "the", "plate"]), min_size=1, max_size=4)
CHOICE = random.Random(7)
TEXTS = {str(number): " ".join(CHOICE.choices(WORDS, k=CHOICE.randrange(12))) for number in range(40)}


def made(folder: Path, texts: dict[str, str], analyzer: str = "simple", ngrams: bool = True) -> Index:
    """An index of texts by ids, added in two goes."""
    bm25, generator = SparseSettings(analyzer=analyzer), "none" if ngrams else None
    index = Index.create(folder, encoder=None, sparse=bm25, ngrams=ngrams, generator=generator)
    documents = [Document(identifier, text) for identifier, text in texts.items()]
    for part in (documents[::2], documents[1::2]):
        index.add(part, background=False)
    return index


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[NGrams, dict[str, str]]]:
    """The n-grams of an index and what it holds, after adding, deleting and merging."""
    index = made(tmp_path_factory.mktemp("ngrams") / "index", TEXTS)
    left = {identifier: text for identifier, text in TEXTS.items() if int(identifier) % 3}
    found = {"added": (index.ngrams, TEXTS)}
    index.delete(TEXTS.keys() - left.keys())
    found["deleted"] = index.ngrams, left
    index.compact()
    found["merged"] = index.ngrams, left
    return found


@pytest.fixture(scope="module", params=["english", "simple", "german", "lucene"])
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[SearchSource]:
    """The same texts, indexed with and without n-grams."""
    texts = {**TEXTS, "cjk": "heat 熱伝達 Wärmeübertragung of the_plate"}
    folder = tmp_path_factory.mktemp("phrases")
    for name in ("with", "without"):
        with made(folder / name, texts, request.param, ngrams=name == "with") as index:
            index.delete(["3", "4"])
    return [Searcher.open(folder / name, mode="sparse").source for name in ("with", "without")]


def words_of(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def occurrences(texts: dict[str, str], words: list[str]) -> list[Occurrence]:
    return [
        Occurrence(identifier, 0, at)
        for identifier, text in sorted(texts.items())
        for at in range(len(words_of(text)))
        if words_of(text)[at : at + len(words)] == words
    ]


@pytest.mark.parametrize("stage", ["added", "deleted", "merged"])
@settings(max_examples=40, deadline=None)
@given(words=PHRASES)
def test_ngrams_are_kept_through_add_delete_and_merge(
    stages: dict[str, tuple[NGrams, dict[str, str]]], stage: str, words: list[str]
) -> None:
    ngrams, texts = stages[stage]
    expected = occurrences(texts, words)
    assert ngrams.locate(" ".join(words)) == expected
    assert ngrams.count(" ".join(words)) == len(expected)
    after = Counter(
        words_of(texts[one.id])[one.word + len(words)]
        for one in expected
        if one.word + len(words) < len(words_of(texts[one.id]))
    )
    assert ngrams.next_tokens(" ".join(words)) == sorted(after.items(), key=lambda one: (-one[1], one[0]))
    assert ngrams.words.total == sum(map(len, map(words_of, texts.values())))


@settings(max_examples=40, deadline=None)
@given(words=PHRASES)
def test_phrases_find_what_they_find_without_ngrams(sources: list[SearchSource], words: list[str]) -> None:
    masks = [
        [
            source.narrowed(None, [Operator("", one, excludes=False)])[0].tolist()
            for one in (" ".join(words), "熱伝達", "wärmeübertragung", "x", "heat 熱", "the_plate")
        ]
        for source in sources
    ]
    assert masks[0] == masks[1]


def test_the_most_frequent_phrases_are_checked_in_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.indexing.occurrence.LOCATED", 2)
    texts = ["heat transfer", "heat transfer again", "heat", "heat transfer heat transfer"]
    made(tmp_path / "index", dict(zip("0123", texts, strict=True))).close()
    with Searcher.open(tmp_path / "index") as searcher:
        assert sorted(hit.id for hit in searcher.search('"heat transfer"')) == ["0", "1", "3"]


def test_an_index_with_ngrams_says_so_and_verifies(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"1": "heat transfer"})
    assert index.settings.ngrams is not None
    assert index.settings.ngrams.generator is None
    assert index.ngrams.tokens is None
    assert verify(tmp_path / "index").sound
    named = next((tmp_path / "index").rglob("words.arrays"))
    named.write_bytes(named.read_bytes()[:-1] + b"\x07")
    assert not verify(tmp_path / "index").sound


def test_an_empty_index_has_no_occurrences(tmp_path: Path) -> None:
    ngrams = made(tmp_path / "index", {}).ngrams
    assert ngrams.count("heat") == 0
    assert ngrams.locate("heat") == []
    assert ngrams.next_tokens() == []


def test_a_text_without_words_is_refused(tmp_path: Path) -> None:
    ngrams = made(tmp_path / "index", {"1": "heat"}).ngrams
    with pytest.raises(UsageError, match="no words"):
        ngrams.count(" - ")


def test_an_index_without_ngrams_says_how_to_get_them(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"1": "heat"}, ngrams=False)
    with pytest.raises(UsageError, match="index again with --ngrams"):
        _ = index.ngrams
