"""Rankings without texts, and the ranking of given candidates."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support import HashEncoder, make_documents

from leanseek import Document, Index, Ranked, Searcher
from leanseek.errors import UsageError

DOCUMENTS = make_documents(300, 5)
QUERIES = ["statin trial", "wing slipstream layer", "kinase", "nothingknown", " ", "glucose insulin query"]
MODES = ["sparse", "dense", "hybrid"]


@pytest.fixture(scope="module", params=[None, 3], ids=["whole", "chunked"])
def searcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """Two segments with deletions in both, and documents that were replaced."""
    folder = tmp_path_factory.mktemp("ranking") / "index"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=request.param)
    index.add(DOCUMENTS[:130], cache=False)
    index.add(DOCUMENTS[120:], cache=False, on_duplicate="replace")
    index.delete([document.id for document in DOCUMENTS[::7]])
    return Searcher.open(folder, encoder=HashEncoder())


LIVE = sorted({document.id for document in DOCUMENTS} - {document.id for document in DOCUMENTS[::7]})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("condition", [None, 'year > 2000 and tags = "a"'])
def test_a_ranking_is_the_search_without_texts(searcher: Searcher, mode: str, condition: str | None) -> None:
    for k in (3, 400):
        ranked = searcher.rank_batch(iter(QUERIES), k, mode=mode, filter=condition)
        hits = searcher.search_batch(QUERIES, k, mode=mode, filter=condition)
        assert ranked == [[Ranked(hit.id, hit.score) for hit in some] for some in hits]
    assert ranked[0] and not ranked[4]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("condition", [None, "year > 2000"])
@pytest.mark.parametrize("fusion", ["convex", "zscore", "dbsf", "rrf"])
def test_all_documents_as_candidates_rank_as_in_an_exhaustive_search(
    searcher: Searcher, mode: str, condition: str | None, fusion: str
) -> None:
    asked = Searcher.open(searcher._generation.snapshot.folder, encoder=HashEncoder(), fusion=fusion)
    everything = [random.Random(number).sample(LIVE, len(LIVE)) for number in range(len(QUERIES))]
    ranked = asked.rank_batch(QUERIES, 1000, mode=mode, filter=condition, candidates=everything)
    found = asked.rank_batch(QUERIES, 1000, mode=mode, filter=condition, depth=100_000)
    for some, others in zip(ranked, found, strict=True):
        assert some[: len(others)] == others
        # Only the sparse side leaves documents out: those that share no term.
        assert mode == "sparse" or len(some) == len(others)
        assert some[len(others) :] == [Ranked(id, 0.0) for id in sorted(id for id, _ in some[len(others) :])]


@pytest.mark.parametrize("mode", ["sparse", "dense"])
def test_a_candidate_has_the_score_that_a_search_gives_it(searcher: Searcher, mode: str) -> None:
    candidates = [random.Random(number).sample(LIVE, 40) for number in range(len(QUERIES))]
    ranked = searcher.rank_batch(QUERIES, 25, mode=mode, candidates=candidates)
    found = searcher.rank_batch(QUERIES, 1000, mode=mode)
    for query, some, ids, others in zip(QUERIES, ranked, candidates, found, strict=True):
        scores = dict(others)
        expected = [Ranked(id, scores.get(id, 0.0)) for id in ids] if query.strip() else []
        assert some == sorted(expected, key=lambda one: (-one.score, one.id))[:25]


@pytest.mark.parametrize("mode", MODES)
def test_order_and_repetition_of_candidates_change_nothing(searcher: Searcher, mode: str) -> None:
    ids = LIVE[10:60]
    [one] = searcher.rank_batch(["statin wing"], mode=mode, candidates=[ids])
    [other] = searcher.rank_batch(["statin wing"], mode=mode, candidates=[[*ids[::-1], *ids[:7]]])
    assert one == other and sorted(id for id, _ in one) == sorted(ids)


def test_candidates_that_the_index_lacks_are_left_out_and_told(searcher: Searcher) -> None:
    deleted = DOCUMENTS[0].id
    ids = ["nobody", LIVE[3], deleted, "nobody"]
    [ranked] = searcher.rank_batch(["statin"], candidates=[ids])
    assert [id for id, _ in ranked] == [LIVE[3]]
    assert searcher.missing(ids) == ["nobody", deleted]
    assert searcher.rank_batch(["statin", "wing"], candidates=[[], [LIVE[3]]])[0] == []
    assert searcher.rank_batch(["statin"], candidates=[[]]) == [[]]
    with pytest.raises(
        UsageError, match=r"none of the 2 candidates .*'nobody', 'nothing'.*another collection"
    ):
        searcher.rank_batch(["statin", "wing"], candidates=[["nobody"], ["nothing", "nobody"]])


def test_wrong_candidates(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="2 queries and 1 lists"):
        searcher.rank_batch(["a", "b"], candidates=[["d1"]])
    with pytest.raises(UsageError, match="not a string"):
        searcher.rank_batch(["a"], candidates=["d1"])
    with pytest.raises(UsageError, match="depth"):
        searcher.rank_batch(["a"], depth=1000, candidates=[["d1"]])


def test_the_best_part_of_a_candidate_counts(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None, chunk_words=4)
    index.add(
        [
            Document("a", "Wings lift here. Engines push there. Kinases bind enzymes tightly."),
            Document("b", "Kinases are proteins. Something else follows. And so on."),
        ]
    )
    searcher = Searcher.open(tmp_path / "index")
    [ranked] = searcher.rank_batch(["kinases enzymes"], candidates=[["b", "a"]])
    [hits] = searcher.search_batch(["kinases enzymes"])
    assert [id for id, _ in ranked] == ["a", "b"] == [hit.id for hit in hits]
    assert [score for _, score in ranked] == [hit.score for hit in hits]


def test_progress_is_told(searcher: Searcher) -> None:
    told: list[tuple[str, int, int | None]] = []
    searcher.rank_batch(QUERIES[:2], 5, progress=lambda *step: told.append(step))
    assert told == [("searching", 1, 2), ("searching", 2, 2)]
