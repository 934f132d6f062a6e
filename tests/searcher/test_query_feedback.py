"""Queries that are expanded by what they find, or by documents that are named: in every mode, and what is refused."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support import Curve, HashEncoder, HashExpander

from leanseek import Document, Index, Searcher, SparseSettings
from leanseek.errors import UsageError
from leanseek.records import answer_of, answer_record
from leanseek.searcher import SearchOptions
from leanseek.text import load_analyzer
from leanseek.types import content

CHANCE = random.Random(3)
NAMES = [f"w{first}{second}" for first in "abcdefghij" for second in "klmnopqrstuvwxy"]
LONG = "x" * 21
DOCUMENTS = [
    Document(
        f"d{number}",
        " ".join(NAMES[int(CHANCE.paretovariate(0.7)) % len(NAMES)] for _ in range(CHANCE.randint(5, 40)))
        + CHANCE.choice(["", f" {LONG}", " naïve", " q"]),
        title=CHANCE.choice(["", NAMES[CHANCE.randrange(len(NAMES))]]),
        metadata={"year": 1990 + number % 20},
    )
    for number in range(240)
]
TEXTS = {one.id: content(one.title, one.text) for one in DOCUMENTS}
QUERIES = ["wbk wck wbk", "wdl wem", "wfn unheard"]
ANALYZER = load_analyzer("lucene")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SparseSettings(analyzer="lucene")
    folder = tmp_path_factory.mktemp("feedback") / "index"
    index = Index.create(folder, encoder=HashEncoder(), learned=HashExpander(), sparse=settings)
    index.add(DOCUMENTS[:100], cache=False)
    index.add(DOCUMENTS[100:], cache=False)
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder(), learned=HashExpander())


class Bm25:
    """BM25 of Lucene over the documents, in float64, for queries with weights."""

    def __init__(self, k1: float, b: float) -> None:
        self.counts = {id: Counter(ANALYZER.tokens(text)) for id, text in TEXTS.items()}
        lengths = {id: sum(counts.values()) for id, counts in self.counts.items()}
        mean = sum(lengths.values()) / len(lengths)
        self.norms = {id: k1 * (1 - b + b * length / mean) for id, length in lengths.items()}
        self.df = Counter(term for counts in self.counts.values() for term in counts)

    def search(self, query: dict[str, float]) -> list[tuple[str, float]]:
        scores = {}
        for id, counts in self.counts.items():
            total = 0.0
            for term, weight in query.items():
                if counts[term]:
                    df = self.df[term]
                    idf = math.log(1 + (len(self.counts) - df + 0.5) / (df + 0.5))
                    total += weight * idf * counts[term] / (counts[term] + self.norms[id])
            if total:
                scores[id] = total
        return sorted(scores.items(), key=lambda one: (-one[1], one[0]))


def rm3(
    bm25: Bm25, query: str, documents: int = 10, terms: int = 10, weight: float = 0.5
) -> dict[str, float]:
    """Anserini's relevance model, written down from its description."""

    def prune(vector: dict[str, float]) -> dict[str, float]:
        return dict(sorted(vector.items(), key=lambda one: (-one[1], one[0]))[:terms])

    own = Counter(ANALYZER.tokens(query))
    best = bm25.search(dict(own))[:documents]
    vectors = []
    for id, _ in best:
        fit = {
            term: float(count)
            for term, count in bm25.counts[id].items()
            if 2 <= len(term) <= 20
            and all(char in "abcdefghijklmnopqrstuvwxyz0123456789" for char in term)
            and bm25.df[term] / len(TEXTS) <= 0.1
        }
        vectors.append(prune(fit))
    vocabulary = {term for vector in vectors for term in vector}
    model = prune(
        {
            term: sum(
                vector.get(term, 0.0) / sum(vector.values()) * score
                for vector, (_, score) in zip(vectors, best, strict=True)
                if vector
            )
            for term in vocabulary
        }
    )
    total = sum(model.values())
    model = {term: value / total for term, value in model.items()}
    size = sum(own.values())
    return {
        term: weight * own.get(term, 0) / size + (1 - weight) * model.get(term, 0.0)
        for term in {*own, *model}
    }


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    ("spec", "parameters"),
    [("rm3", {}), ("rm3(hits=4, terms=25, weight=.3)", {"documents": 4, "terms": 25, "weight": 0.3})],
)
def test_rm3_is_that_of_anserini(
    searcher: Searcher, query: str, spec: str, parameters: dict[str, float]
) -> None:
    settings = searcher.settings.sparse
    assert settings is not None
    bm25 = Bm25(settings.k1, settings.b)
    expected = rm3(bm25, query, **parameters)  # type: ignore[arg-type]
    answer = searcher.answer(query, 240, mode="sparse", expand=spec)
    assert answer.expansion is not None
    assert answer.expansion.method == "rm3"
    assert dict(answer.expansion.terms) == pytest.approx({one: w for one, w in expected.items() if w > 0})
    weights = [weight for _, weight in answer.expansion.terms]
    assert weights == sorted(weights, reverse=True)
    found = bm25.search(expected)
    assert {hit.id: hit.score for hit in answer.hits} == pytest.approx(dict(found), rel=1e-4)
    assert {hit.id for hit in answer.hits} > {
        id for id, _ in bm25.search(dict(Counter(ANALYZER.tokens(query))))
    }


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("expand", "documents", "weights"),
    [("dense-prf", 3, (1.0, 1.0)), ("dense-prf(hits=5)", 5, (1.0, 1.0)), ("rocchio(hits=4)", 4, (1.0, 0.75))],
)
def test_the_vector_moves_to_the_best_hits(
    searcher: Searcher, expand: str, documents: int, weights: tuple[float, float]
) -> None:
    encoder = HashEncoder()
    query = encoder.encode_queries([QUERIES[0]]).vectors[0].astype(float)
    vectors = dict(
        zip(TEXTS, encoder.encode_documents(list(TEXTS.values())).vectors.astype(float), strict=True)
    )
    best = [hit.id for hit in searcher.search(QUERIES[0], documents, mode="dense")]
    share = documents if expand.startswith("dense") else 1
    moved = unit(weights[0] * query + share * weights[1] * np.mean([vectors[one] for one in best], axis=0))
    expected = {id: float(vector @ moved) for id, vector in vectors.items()}
    answer = searcher.answer(QUERIES[0], 240, depth=240, mode="dense", expand=expand)
    assert {hit.id: hit.score for hit in answer.hits} == pytest.approx(expected, abs=1e-5)
    assert answer.expansion is not None
    assert answer.expansion.relevant == tuple(best)
    assert answer.expansion.terms == ()


def test_rocchio_moves_from_the_irrelevant(searcher: Searcher) -> None:
    """Both sides: α·q + β·mean(R) - γ·mean(N) of vectors of length 1, and no term below 0."""
    relevant, irrelevant = ["d7", "d9"], ["d11"]
    answer = searcher.answer(
        QUERIES[1], 240, mode="hybrid", expand="rocchio(gamma=2)", relevant=relevant, irrelevant=irrelevant
    )
    assert answer.expansion is not None
    counts = Bm25(0.9, 0.4)

    def vector(id: str) -> dict[str, float]:
        fit = {
            term: count
            for term, count in counts.counts[id].items()
            if 2 <= len(term) <= 20 and term.isascii() and counts.df[term] <= 24
        }
        best = dict(sorted(fit.items(), key=lambda one: (-one[1], one[0]))[:10])
        length = math.sqrt(sum(count * count for count in best.values()))
        return {term: count / length for term, count in best.items()}

    own = Counter(ANALYZER.tokens(QUERIES[1]))
    total: Counter[str] = Counter()
    for share, weights in (
        (1 / math.sqrt(2), dict(own)),
        (0.375, vector("d7")),
        (0.375, vector("d9")),
        (-2.0, vector("d11")),
    ):
        for term, weight in weights.items():
            total[term] += share * weight
    assert dict(answer.expansion.terms) == pytest.approx({term: w for term, w in total.items() if w > 0})
    assert answer.expansion.relevant == ("d7", "d9")
    assert answer.expansion.irrelevant == ("d11",)
    encoder = HashEncoder()
    query = encoder.encode_queries([QUERIES[1]]).vectors[0].astype(float)
    seven, nine, eleven = encoder.encode_documents([TEXTS[id] for id in ("d7", "d9", "d11")]).vectors.astype(
        float
    )
    moved = unit(query + 0.75 * (seven + nine) / 2 - 2 * eleven)
    explained = searcher.search(
        QUERIES[1], 5, expand="rocchio(gamma=2)", relevant=relevant, irrelevant=irrelevant, explain=True
    )
    for hit in explained:
        assert hit.explanation is not None
        assert hit.explanation.dense is not None
        [document] = encoder.encode_documents([TEXTS[hit.id]]).vectors
        assert hit.explanation.dense.score == pytest.approx(float(document @ moved), abs=1e-5)


@pytest.mark.parametrize("mode", ["hybrid", "sparse", "dense"])
@pytest.mark.parametrize("expand", ["rm3", "rocchio", "dense-prf", "description"])
def test_all_ways_of_searching_agree(searcher: Searcher, mode: str, expand: str) -> None:
    if {mode, expand} in ({"sparse", "dense-prf"}, {"dense", "rm3"}):
        with pytest.raises(
            UsageError, match=f"{expand} expands the query of the .* and this search is {mode}"
        ):
            searcher.search(QUERIES[0], mode=mode, expand=expand)
        return
    options: SearchOptions = {"mode": mode, "expand": expand}
    lists = searcher.search_batch(QUERIES, 20, **options)
    ranked = searcher.rank_batch(QUERIES, 20, **options)
    for query, hits, pairs in zip(QUERIES, lists, ranked, strict=True):
        assert hits == searcher.search(query, 20, **options)
        assert [(hit.id, hit.score) for hit in hits] == [tuple(pair) for pair in pairs]
        assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
    plain = [[hit.id for hit in hits] for hits in searcher.search_batch(QUERIES, 20, mode=mode)]
    assert [[hit.id for hit in hits] for hits in lists] != plain
    answer = searcher.answer(QUERIES[0], **options)
    assert answer_of(answer_record(answer)) == answer
    [given] = searcher.rank_batch(QUERIES[:1], candidates=[[hit.id for hit in lists[0]]], **options)
    assert [id for id, _ in given] == [hit.id for hit in lists[0]]
    worded = searcher.search(queries=QUERIES, k=20, **options)
    assert {hit.id for hit in worded} & {hit.id for hit in lists[1]}
    assert worded != searcher.search(queries=QUERIES, k=20, mode=mode)


def test_probabilities_are_those_of_the_query_as_typed(path: Path) -> None:
    searcher = Searcher.open(path, encoder=HashEncoder(), learned=HashExpander(), relevance=Curve())
    expected = {hit.id: hit.probability for hit in searcher.search(QUERIES[0], 240, depth=240, mode="hybrid")}
    for expand in ("rm3", "rocchio", "description"):
        hits = searcher.search(QUERIES[0], 30, mode="hybrid", expand=expand)
        assert {hit.id: hit.probability for hit in hits} == pytest.approx(
            {hit.id: expected[hit.id] for hit in hits}
        )
        named = searcher.search(QUERIES[0], 9, expand=expand, relevant=["d7"])
        assert all(hit.probability == pytest.approx(expected[hit.id]) for hit in named)


def test_a_filter_holds_for_what_is_learned(searcher: Searcher) -> None:
    answer = searcher.answer(QUERIES[0], filter="year < 1995", expand="rm3", mode="sparse")
    assert answer.expansion is not None
    years = {one.id: one.metadata["year"] for one in DOCUMENTS}
    assert all(years[id] < 1995 for id in answer.expansion.relevant)  # type: ignore[operator]
    outside = next(id for id, year in years.items() if year == 2000)
    with pytest.raises(
        UsageError, match=f"no document '{outside}', .* relevant, or the filter leaves it out"
    ):
        searcher.search(QUERIES[0], filter="year < 1995", expand="rm3", relevant=[outside])


def test_nothing_to_learn_from_leaves_the_query(searcher: Searcher) -> None:
    for expand in ("rm3", "rocchio", "description"):
        answer = searcher.answer("unheard", mode="sparse", expand=expand)
        assert answer.hits == []
        assert answer.expansion is not None
        assert answer.expansion.relevant == ()
    assert searcher.search("  ", expand="rm3") == []


def test_documents_of_several_passages_are_one(tmp_path: Path) -> None:
    index = Index.create(
        tmp_path / "i", encoder=HashEncoder(), chunk_words=10, sparse=SparseSettings(analyzer="lucene")
    )
    index.add(DOCUMENTS, cache=False)
    longest = max(TEXTS, key=lambda id: len(TEXTS[id].split()))
    with Searcher.open(tmp_path / "i", encoder=HashEncoder()) as searcher:
        answer = searcher.answer(QUERIES[0], expand="rocchio(terms=99)", relevant=[longest])
        assert answer.expansion is not None
        assert answer.expansion.relevant == (longest,)
        common = {id for id, _ in answer.expansion.terms}
        assert common >= {one for one in set(ANALYZER.tokens(TEXTS[longest])) if one in ("wbk", "wck")}
        description = searcher.describe(QUERIES[0], relevant=[longest])
        assert {one.id for one in description.sentences} == {longest}
        context = searcher.context(QUERIES[0], 200, expand=["window:1", "rm3"])
        assert context.passages
        assert context == searcher.context(QUERIES[0], 200, expand=("rm3", "window:1"))


def test_a_description_sets_the_relevant_apart(searcher: Searcher) -> None:
    found = searcher.describe(QUERIES[0], relevant=["d7", "d9"], irrelevant=["d11", "d12"])
    assert found.relevant == ("d7", "d9")
    assert found.irrelevant == ("d11", "d12")
    assert 1 <= len(found.sentences) <= 3
    assert all(one.text in TEXTS[one.id] and one.id in ("d7", "d9") for one in found.sentences)
    irrelevant = {term for id in ("d11", "d12") for term in ANALYZER.tokens(TEXTS[id])}
    assert found.terms[0].term not in irrelevant
    expansion = searcher.answer(
        QUERIES[0], expand="description", relevant=["d7", "d9"], irrelevant=["d11", "d12"]
    ).expansion
    assert expansion is not None
    assert expansion.sentences == found.sentences
    own = sum(Counter(ANALYZER.tokens(QUERIES[0])).values())
    assert sum(weight for _, weight in expansion.terms) == pytest.approx(own + 3)
    by_search = searcher.describe(QUERIES[0], mode="sparse")
    best = [hit.id for hit in searcher.search(QUERIES[0], 50, mode="sparse")]
    assert list(by_search.relevant) == best[:3]
    assert list(by_search.irrelevant) == best[19:50]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expand": "rm4"}, "expand is 'rm4'; give"),
        ({"expand": "rm3(depth=3)"}, "rm3 has no parameter 'depth'; it has hits, terms, weight"),
        ({"expand": "rm3(terms=0)"}, "terms of rm3 is '0'; it must be a whole number, at least 1"),
        ({"expand": "rm3(weight=nan)"}, "weight of rm3 is 'nan'; it must be a number, 0 or more"),
        ({"expand": "rm3(weight=1.5)"}, "weight of rm3 is 1.5; it must be from 0 to 1"),
        ({"expand": ["rm3", "rocchio"]}, "expand has rm3 and rocchio; give one of them"),
        ({"expand": 3}, "expand is 3; give a string"),
        ({"expand": "document"}, "expand='document' is for the passages of a context"),
        ({"expand": "rm3", "relevant": ["d1", "none"]}, "the index has no document 'none', which is named as relevant"),
        ({"expand": "rocchio", "irrelevant": ["none"]}, "no document 'none', which is named as irrelevant"),
        ({"expand": "rm3", "irrelevant": ["d1"]}, "rm3 learns from relevant documents alone"),
        ({"expand": "rocchio", "relevant": ["d1"], "irrelevant": ["d1"]}, "'d1' is named as relevant and as irr"),
        ({"expand": "rm3", "relevant": "d1"}, "relevant is 'd1'; give a list of document ids"),
        ({"relevant": ["d1"]}, "give expand too"),
        ({"expand": "rm3", "mode": "learned"}, "this search is learned"),
    ],
)  # fmt: skip
def test_what_is_refused(searcher: Searcher, options: SearchOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace(")", r"\)")):
        searcher.search(QUERIES[0], **options)


def test_documents_are_named_for_one_query(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="those of one query"):
        searcher.rank_batch(QUERIES, expand="rm3", relevant=["d1"])
    with pytest.raises(UsageError, match="nothing in the index is relevant to 'unheard'"):
        searcher.describe("unheard", mode="sparse")
    with pytest.raises(UsageError, match="nothing in the index is relevant to ''"):
        searcher.describe("")


def test_other_back_ends_do_not_weigh_terms(tmp_path: Path) -> None:
    pytest.importorskip("rank_bm25")
    Index.create(tmp_path / "i", encoder=None, sparse=SparseSettings(backend="rank-bm25")).add(DOCUMENTS[:20])
    with (
        Searcher.open(tmp_path / "i") as searcher,
        pytest.raises(UsageError, match="which the sparse back end rank-bm25 does not; index again"),
    ):
        searcher.search(QUERIES[0], expand="rm3")
