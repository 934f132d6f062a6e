"""Documents like a document: all passages of one against all passages of the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.cluster import ClusterIndex, ClusterSearcher
from leanseek.errors import UsageError
from leanseek.indexing.creation import make_plan
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher import likeness
from leanseek.searcher.likeness import BLOCKS, block_likeness, spread

WORDS = "wing shock orbit rocket enzyme protein kinase insulin statin heart trial placebo".split()


def long_documents(count: int, seed: int) -> list[Document]:
    """Documents of one to nine passages of six words."""
    random = np.random.default_rng(seed)
    return [
        Document(f"l{seed}-{number}", " ".join(random.choice(WORDS, random.integers(3, 54))))
        for number in range(count)
    ]


def documents() -> list[Document]:
    return [*make_documents(40, 3), *long_documents(60, 1), Document("copy", long_documents(1, 1)[0].text)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("similarity") / "index"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=6)
    for part in (documents()[:50], documents()[50:]):
        index.add(part, cache=False)
    index.delete(["l1-20"])
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder())


def by_hand(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The definition, one pair of passages after the other."""
    there = [max(float(e @ f) for f in theirs) for e in mine]
    back = [max(float(e @ f) for e in mine) for f in theirs]
    return (sum(there) / len(there) + sum(back) / len(back)) / 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_likeness_is_that_of_the_definition(mine: int, sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((mine + sum(sizes), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blocks, others = vectors[:mine], vectors[mine:]
    starts = np.cumsum([0, *sizes])[:-1].astype(np.int64)
    scores, nearest = block_likeness(blocks, others, starts)
    for place, theirs in enumerate(np.split(others, starts[1:])):
        assert scores[place] == pytest.approx(by_hand(blocks, theirs), abs=1e-6)
        # It is the same from the other side.
        back, _ = block_likeness(theirs, blocks, np.zeros(1, np.int64))
        assert back[0] == pytest.approx(scores[place], abs=1e-6)
        row = nearest[place] - starts[place]
        assert 0 <= row < len(theirs)
        assert (blocks @ theirs[row]).max() == pytest.approx((blocks @ theirs.T).max(), abs=1e-6)


def test_an_index_finds_what_comparing_every_document_finds(path: Path, searcher: Searcher) -> None:
    snapshot = Snapshot.open(path)
    vectors = {one: snapshot.vectors(np.array(parts)) for one, parts in snapshot.find(snapshot.ids()).items()}
    for asked in ("l1-3", "l1-40", "d5"):
        expected = {one: by_hand(vectors[asked], v) for one, v in vectors.items() if one != asked}
        found = searcher.similar(asked, 12)
        assert [hit.rank for hit in found] == list(range(1, 13))
        assert "l1-20" not in {hit.id for hit in found}, "it is deleted"
        assert [hit.score for hit in found] == pytest.approx(sorted(expected.values())[::-1][:12], abs=1e-6)
        assert all(hit.score == pytest.approx(expected[hit.id], abs=1e-6) for hit in found)
        order = [(-hit.score, hit.id) for hit in found]
        assert order == sorted(order)
    snapshot.close()


def test_a_copy_comes_first_and_a_text_is_taken_as_the_index_takes_it(searcher: Searcher) -> None:
    first = searcher.similar("l1-0", 3)
    assert first[0].id == "copy"
    assert first[0].score == pytest.approx(1)
    text = long_documents(1, 1)[0].text
    by_text = searcher.similar(text=text, k=4)
    assert [hit.id for hit in by_text] == ["copy", "l1-0", *(hit.id for hit in first[1:])]
    titled = make_documents(40, 3)[5]
    assert searcher.similar(text=titled.text, title=titled.title, k=1)[0].score == pytest.approx(1)


def test_a_hit_shows_its_nearest_passage(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=3)
    index.add(
        [
            Document("a", "wing wing wing. shock shock shock. orbit orbit orbit."),
            Document("b", "heart heart heart. orbit orbit orbit. trial trial trial."),
        ],
        cache=False,
    )
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        [hit] = searcher.similar("a", explain=True)
    assert hit.id == "b"
    assert hit.text == "orbit orbit orbit."
    assert hit.passage is not None
    assert hit.passage.number == 1
    assert hit.explanation is not None
    assert hit.explanation.snippet.text == hit.text


def test_the_whole_of_a_document_counts(tmp_path: Path) -> None:
    """Same beginning and nothing else, against another beginning and the same rest."""
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=3)
    index.add(
        [
            Document("asked", "wing wing wing. shock shock shock. orbit orbit orbit."),
            Document("beginning", "wing wing wing. heart heart heart. trial trial trial."),
            Document("rest", "heart heart heart. shock shock shock. orbit orbit orbit."),
            Document("part", "shock shock shock. orbit orbit orbit."),
        ],
        cache=False,
    )
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        assert [hit.id for hit in searcher.similar("asked")] == ["part", "rest", "beginning"]


def test_a_filter_keeps_documents(searcher: Searcher) -> None:
    found = searcher.similar("d5", 100, filter="year >= 2000")
    admitted = set(searcher.ids(filter="year >= 2000")) - {"d5"}
    assert {hit.id for hit in found} == admitted


def test_many_passages_of_few_documents_do_not_hide_others(tmp_path: Path) -> None:
    """More passages of one document than are looked at first."""
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=3)
    book = " ".join(["wing shock orbit."] * 3 * likeness.DEPTH)
    others = [Document(f"o{number}", f"heart trial {WORDS[number]}.") for number in range(6)]
    index.add([Document("book", book), Document("asked", "wing shock orbit."), *others], cache=False)
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        found = searcher.similar("asked", 5)
        assert found[0].id == "book"
        assert len(found) == 5
        # Of a long document so many passages are compared, from all of it.
        assert searcher.similar("book", 1)[0].id == "asked"
    rows = spread(np.arange(1000))
    assert (len(rows), rows[0], rows[-1]) == (BLOCKS, 0, 999)
    assert len(set(rows.tolist())) == BLOCKS
    assert spread(np.arange(3)).tolist() == [0, 1, 2]


def test_without_passages_it_is_the_cosine(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(30, 1), cache=False)
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        whole = {one.id: f"{one.title} {one.text}".strip() for one in make_documents(30, 1)}
        vectors = dict(zip(whole, HashEncoder().encode_documents(list(whole.values())).vectors, strict=True))
        for hit in searcher.similar("d7", 29):
            assert hit.score == pytest.approx(float(vectors[hit.id] @ vectors["d7"]), abs=1e-6)


def test_a_cluster_gives_the_same(path: Path, searcher: Searcher, tmp_path: Path) -> None:
    kept = [one for one in documents() if one.id != "l1-20"]
    ClusterIndex.build(tmp_path / "cluster", kept, make_plan(encoder=HashEncoder(), chunk_words=6), 3)
    with ClusterSearcher.open(tmp_path / "cluster", encoder=HashEncoder()) as cluster:
        for asked in ("l1-3", "d5"):
            assert cluster.similar(asked) == searcher.similar(asked)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either the id"),
        ({"id": "d1", "text": "wing"}, "either the id"),
        ({"id": "nowhere"}, "no document 'nowhere'"),
        ({"id": "d1", "title": "Wing"}, "title goes with text"),
        ({"id": "d1", "k": 0}, "k is 0"),
    ],
)
def test_what_is_refused(searcher: Searcher, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        searcher.similar(**given)  # type: ignore[arg-type]


def test_a_blank_text_and_an_index_without_vectors(path: Path, searcher: Searcher, tmp_path: Path) -> None:
    assert searcher.similar(text=" \n") == []
    with Searcher.open(path, mode="sparse") as sparse, pytest.raises(UsageError, match="opened without"):
        sparse.similar("d1")
    Index.create(tmp_path / "empty", encoder=HashEncoder()).add([Document("alone", "wing")], cache=False)
    with Searcher.open(tmp_path / "empty", encoder=HashEncoder()) as empty:
        assert empty.similar("alone") == []
    Index.create(tmp_path / "words", encoder=None).add(make_documents(3))
    with Searcher.open(tmp_path / "words") as words, pytest.raises(UsageError, match="has none"):
        words.similar("d1")
