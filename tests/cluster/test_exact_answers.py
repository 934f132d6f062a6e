"""Every answer of a cluster is that of one index of the same documents: ids, order, and the bits of all numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document, Searcher, SparseSettings
from leanseek.cluster import ClusterSearcher, InProcess
from leanseek.encode.batches import Deadline
from leanseek.errors import FilterError, LeanseekError, UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank import ByScore, Judged
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import Hit, Progress, content

QUERIES = [
    "statin trial",
    "wing slipstream layer",
    "kinase kinase receptor",
    "matrix",
    "glucose insulin query term vector",
    "unheard words",
    "",
]
SHARDS = (1, pytest.param(2, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow))
FUSIONS = ("agreement", "convex", "minmax", "zscore", "dbsf", "rrf", "rrf(k=7)", "theoretical+zscore")
FILTERS = (None, "year >= 2005", 'year < 2000 and tags contains "a"', "title is null or year = 1993")


class Pair(NamedTuple):
    """One index, and the same documents as shards."""

    one: Path
    shards: InProcess

    def searchers(self, **options: Any) -> tuple[Searcher, ClusterSearcher]:
        options = {"encoder": HashEncoder(), "learned": HashExpander(), "relevance": None, **options}
        return Searcher.open(self.one, **options), ClusterSearcher(self.shards, **options)


def bits(value: Any) -> Any:
    """What is compared: numbers by their bits."""
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, list | tuple):
        return [bits(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: bits(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


DOCUMENTS = make_documents(500, 5)
GONE = [document.id for document in DOCUMENTS[::9]]


@pytest.fixture(scope="module", params=SHARDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster: Any, one_index: Any
) -> Iterator[Pair]:
    """Deleted documents on both sides, and several segments."""
    folder = tmp_path_factory.mktemp("pair")
    one = one_index(folder / "one", [DOCUMENTS[:350], DOCUMENTS[350:]], GONE)
    shards = cluster(folder / "shards", DOCUMENTS, request.param, GONE)
    yield Pair(one, shards)
    shards.close()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(pair: Pair, fusion: str) -> None:
    one, many = pair.searchers(fusion=fusion)
    assert bits(one.rank_batch(QUERIES, 100)) == bits(many.rank_batch(QUERIES, 100))
    assert bits(one.search_batch(QUERIES, 7, explain=True)) == bits(
        many.search_batch(QUERIES, 7, explain=True)
    )


@pytest.mark.parametrize("mode", ["sparse", "dense", "learned", "hybrid"])
@pytest.mark.parametrize("filter", FILTERS)
def test_every_mode_with_filters(pair: Pair, mode: str, filter: str | None) -> None:
    one, many = pair.searchers()
    for depth in (None, 15):
        options: Any = {"mode": mode, "filter": filter, "depth": depth}
        assert bits(one.rank_batch(QUERIES, 12, **options)) == bits(many.rank_batch(QUERIES, 12, **options))
    for query in QUERIES:
        options = {"mode": mode, "filter": filter, "collapse": True}
        assert bits(one.answer(query, 15, **options)) == bits(many.answer(query, 15, **options))


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_all_shards_in_one_process(pair: Pair, mode: str, relevance: RelevanceModel) -> None:
    """There they are asked as one index; everywhere else here as by two hosts."""
    together = InProcess(pair.shards._snapshots, settings=pair.shards.epoch.settings)
    options: Any = {"encoder": HashEncoder(), "learned": HashExpander(), "mode": mode}
    options["relevance"] = relevance if mode == "hybrid" else None
    many = ClusterSearcher(together, **options)
    with Searcher.open(pair.one, **options) as one:
        for filter in FILTERS[:2]:
            for query in QUERIES:
                asked: Any = {"filter": filter, "explain": True}
                assert bits(one.answer(query, 15, **asked)) == bits(many.answer(query, 15, **asked))


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_probabilities(pair: Pair, mode: str, relevance: RelevanceModel) -> None:
    one, many = pair.searchers(relevance=relevance)
    told = set()
    for query in QUERIES:
        for options in ({}, {"min_probability": 0.2}, {"relevant_only": True}, {"filter": FILTERS[1]}):
            found: Any = one.answer(query, 30, mode=mode, **options)  # type: ignore[arg-type]
            assert bits(found) == bits(many.answer(query, 30, mode=mode, **options))  # type: ignore[arg-type]
            told |= {hit.probability for hit in found.hits}
    assert len(told) > 100


@pytest.mark.parametrize("expand", ["rm3(terms=3)", "rocchio", "dense-prf", "description"])
def test_expanded_queries(pair: Pair, expand: str, relevance: RelevanceModel) -> None:
    one, many = pair.searchers(relevance=relevance)
    options: Any = {"expand": expand, "explain": True}
    for query in QUERIES:
        assert bits(one.answer(query, 20, **options)) == bits(many.answer(query, 20, **options))
    named: Any = {"relevant": [hit.id for hit in one.search(QUERIES[1], 2)]}
    assert bits(one.answer(QUERIES[0], **named, **options)) == bits(
        many.answer(QUERIES[0], **named, **options)
    )
    assert one.describe(QUERIES[0], **named) == many.describe(QUERIES[0], **named)


def test_operators_and_reasons(pair: Pair) -> None:
    one, many = pair.searchers()
    for query in (
        'statin "heart trial"',
        "wing -layer +shock",
        '"no such words" wing',
        "statin -statin",
        "the",
        "wing NOT slipstream",
    ):
        for options in ({}, {"mode": "sparse"}, {"filter": "year > 2500"}, {"filter": "year > 2000"}):
            assert bits(one.answer(query, 5, **options)) == bits(many.answer(query, 5, **options))  # type: ignore[arg-type]


def test_candidates_are_ranked_without_a_search(pair: Pair, relevance: RelevanceModel) -> None:
    chance = np.random.default_rng(4)
    given = [
        [DOCUMENTS[place].id for place in chance.integers(0, len(DOCUMENTS), 40)] + ["nobody"]
        for _ in QUERIES
    ]
    for mode in ("sparse", "dense", "learned", "hybrid"):
        one, many = pair.searchers(relevance=relevance if mode in ("dense", "hybrid") else None)
        for options in ({}, {"filter": FILTERS[1]}):
            expected = one.rank_batch(QUERIES, candidates=given, mode=mode, **options)  # type: ignore[arg-type]
            assert any(expected)
            assert bits(expected) == bits(many.rank_batch(QUERIES, candidates=given, mode=mode, **options))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="none of the 1 candidates"):
        many.rank_batch(["wing"], candidates=[["nobody"]])


def test_documents_and_their_names(pair: Pair) -> None:
    one, many = pair.searchers()
    wanted = [document.id for document in DOCUMENTS[:60]] + ["nobody", DOCUMENTS[0].id]
    assert one.missing(wanted) == many.missing(wanted)
    assert one.fields == many.fields
    for filter in FILTERS:
        assert sorted(one.ids(filter=filter)) == many.ids(filter=filter)
        assert one.documents(wanted, filter=filter) == many.documents(wanted, filter=filter)
    for query in QUERIES[:4]:
        assert bits(one.context(query, 120)) == bits(many.context(query, 120))


@pytest.mark.parametrize("filter", ["yaer > 3", 'year = "old"', "tags > 4", "year >"])
def test_mistakes_in_filters_are_told_alike(pair: Pair, filter: str) -> None:
    one, many = pair.searchers()
    with pytest.raises(FilterError) as expected:
        one.search("wing", filter=filter)
    with pytest.raises(FilterError) as found:
        many.search("wing", filter=filter)
    assert str(found.value) == str(expected.value)


class Hidden(ByScore):
    """Scores texts by their product with the vector of a text that no query names."""

    fingerprint, notes, name = "hidden", (), "hidden"
    vector = HashEncoder()._vector("enzyme protein glucose")

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        encoder = HashEncoder()
        return [
            Judged(
                np.array(
                    [float(encoder._vector(content(hit.title, hit.text)) @ self.vector) for hit in given]
                )
            )
            for given in hits
        ]


@pytest.mark.parametrize("adaptive", [False, True])
def test_re_ranking(pair: Pair, adaptive: bool, relevance: RelevanceModel) -> None:
    depth: Any = 40 if adaptive else "auto"
    one, many = pair.searchers(reranker=Hidden(), rerank_depth=depth, adaptive=adaptive, relevance=relevance)
    for query in QUERIES[:3]:
        assert bits(one.answer(query, 20)) == bits(many.answer(query, 20))
    assert bits(one.rank_batch(QUERIES[1:4], 90)) == bits(many.rank_batch(QUERIES[1:4], 90))


def test_local_statistics_would_be_wrong(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the comparison above notices shards that go by what they hold themselves."""
    one, many = pair.searchers(mode="sparse")
    assert bits(one.rank_batch(QUERIES, 10)) == bits(many.rank_batch(QUERIES, 10))
    monkeypatch.setattr(Snapshot, "under", lambda self, statistics: self)
    differ = bits(one.rank_batch(QUERIES, 10)) != bits(many.rank_batch(QUERIES, 10))
    assert differ == (len(pair.shards.epoch.shards) > 1)


def test_many_at_once(pair: Pair) -> None:
    """Queries of different statistics at the same time, each answered as if alone."""
    one, many = pair.searchers()
    expected = [bits(one.answer(query, 9, explain=True)) for query in QUERIES]
    with ThreadPoolExecutor(8) as threads:
        found = list(
            threads.map(lambda turn: bits(many.answer(QUERIES[turn % 7], 9, explain=True)), range(42))
        )
    assert all(answer == expected[turn % 7] for turn, answer in enumerate(found))


def long_documents(count: int) -> list[Document]:
    """Of one to eight parts each, some with the same text as another."""
    chance = np.random.default_rng(8)
    pieces = make_documents(count * 12, 17)
    return [
        Document(
            f"long{number}",
            "\n".join(
                pieces[place].text + "."
                for place in chance.integers(0, len(pieces), chance.integers(1, 14)).tolist()
            ),
            metadata={"year": 1990 + number % 30},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("shards", SHARDS[1:])
def test_documents_in_parts(
    tmp_path: Path, shards: int, cluster: Any, one_index: Any, relevance: RelevanceModel
) -> None:
    documents = long_documents(80)
    documents += [Document(f"copy{number}", documents[number].text) for number in range(25)]
    gone = [document.id for document in documents[::11]]
    options: Any = {"chunk_words": 12, "chunk_overlap": 3}
    pair = Pair(
        one_index(tmp_path / "one", [documents[:30], documents[30:]], gone, **options),
        cluster(tmp_path / "shards", documents, shards, gone, **options),
    )
    one, many = pair.searchers(relevance=relevance)
    for query in QUERIES[:3]:
        for mode, collapse in (("sparse", False), ("dense", True), ("hybrid", False), ("hybrid", True)):
            asked: Any = {"mode": mode, "collapse": collapse, "depth": 30}
            assert bits(one.answer(query, 30, **asked)) == bits(many.answer(query, 30, **asked))
        assert bits(one.context(query, 200)) == bits(many.context(query, 200))
    assert bits(one.rank_batch(QUERIES, 90, depth=90)) == bits(many.rank_batch(QUERIES, 90, depth=90))
    assert bits(one.answer("statin -heart", 9)) == bits(many.answer("statin -heart", 9))
    wanted = [document.id for document in documents[:30]]
    assert one.documents(wanted) == many.documents(wanted)
    given = [wanted] * 3
    assert bits(one.rank_batch(QUERIES[:3], candidates=given)) == bits(
        many.rank_batch(QUERIES[:3], candidates=given)
    )


def test_an_empty_cluster(tmp_path: Path, cluster: Any, one_index: Any) -> None:
    pair = Pair(one_index(tmp_path / "one", []), cluster(tmp_path / "shards", [], 3))
    one, many = pair.searchers()
    assert bits(one.answer("wing")) == bits(many.answer("wing"))
    assert bits(one.answer("wing", filter="year > 3")) == bits(many.answer("wing", filter="year > 3"))
    assert many.ids() == []


def test_what_does_not_belong_together_is_refused(tmp_path: Path, cluster: Any, one_index: Any) -> None:
    first = one_index(tmp_path / "a", [DOCUMENTS[:9]])
    other = one_index(tmp_path / "b", [DOCUMENTS[:9]], sparse=SparseSettings(k1=2.0))
    foreign = one_index(tmp_path / "c", [DOCUMENTS[:9]], sparse=SparseSettings(backend="bm25s"))
    with pytest.raises(UsageError, match="other settings"):
        InProcess.open([first, other])
    with pytest.raises(UsageError, match=r"bm25s.*--sparse bm25"):
        InProcess.open([foreign])
    with pytest.raises(UsageError, match="at least one shard"):
        InProcess([])
    shards = InProcess.open([first])
    with pytest.raises(UsageError, match="partial is 'maybe'"):
        ClusterSearcher(shards, partial="maybe")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="deadline"):
        ClusterSearcher(shards, deadline=0)
    searcher = ClusterSearcher(shards, relevance=None, encoder=HashEncoder(), learned=HashExpander())
    searcher.close()
    with pytest.raises(LeanseekError, match="closed"):
        searcher.search("wing")
