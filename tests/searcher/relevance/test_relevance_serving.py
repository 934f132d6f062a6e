"""What a search tells a relevance model, and what it does with the probabilities."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Document, Hit, Index, Searcher, SparseSettings
from leanseek.encode.backends import int8_fingerprint
from leanseek.errors import LeanseekError, UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.answer import answers
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.ranking import Ranking
from leanseek.searcher.relevance.features import Evidence
from leanseek.searcher.relevance.judge import Judge, cut, packaged
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.searcher.request import Generation, QueryEncoder, Request
from leanseek.text import load_analyzer

DOCUMENTS = make_documents(1400, 11)
GONE = [document.id for document in DOCUMENTS[::7]]
LIVE = [document for document in DOCUMENTS if document.id not in set(GONE)]
ENGLISH = load_analyzer("english")
QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "matrix", "glucose insulin query"]


class Spy(RelevanceModel):
    """Says how probable a cosine is by one curve for all, and remembers what it was asked."""

    def __init__(self, fingerprint: str = HashEncoder.fingerprint, middle: float = 0.5) -> None:
        object.__setattr__(self, "fingerprint", fingerprint)
        object.__setattr__(self, "middle", middle)
        object.__setattr__(self, "seen", [])

    def threshold(self, mode: str) -> float:
        return {"dense": 0.6, "hybrid": 0.7}[mode]

    def probabilities(self, evidence: Evidence) -> np.ndarray:
        self.seen.append(evidence)  # type: ignore[attr-defined]
        lexical = 0.0 if evidence.sparse is None else evidence.sparse.scores.astype(np.float64) / 5
        logits = 12 * (evidence.dense.cosines.astype(np.float64) - self.middle) + lexical  # type: ignore[attr-defined]
        chances: np.ndarray = 1 / (1 + np.exp(-logits))
        return chances


class OtherEncoder(HashEncoder):
    """Of another kind, for an index that is made anew."""

    name = "test-other-encoder"
    fingerprint = "ab" * 32


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments, with deletions."""
    folder = tmp_path_factory.mktemp("judged") / "index"
    index = Index.create(folder, encoder=HashEncoder())
    index.add(DOCUMENTS[:500], cache=False)
    index.add(DOCUMENTS[500:], cache=False)
    index.delete(GONE)
    return folder


@pytest.fixture
def spy() -> Spy:
    return Spy()


@pytest.fixture
def searcher(path: Path, spy: Spy) -> Iterator[Searcher]:
    with Searcher.open(path, encoder=HashEncoder(), relevance=spy) as opened:
        yield opened


def text(document: Document) -> str:
    return f"{document.title} {document.text}".strip()


def cosines(query: str, documents: list[Document]) -> dict[str, float]:
    encoder = HashEncoder()
    vectors = encoder.encode_documents([text(document) for document in documents]).vectors
    scores = vectors @ encoder.encode_queries([query]).vectors[0]
    return {document.id: float(score) for document, score in zip(documents, scores, strict=True)}


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("condition", [None, "year >= 2001"])
@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_the_evidence_is_what_the_index_says_of_the_query(
    searcher: Searcher, spy: Spy, mode: str, condition: str | None
) -> None:
    there = [d for d in LIVE if condition is None or int(str(d.metadata["year"])) >= 2001]
    for query in QUERIES:
        by_vector = cosines(query, there)
        by_terms = {
            hit.id: hit.score for hit in searcher.search(query, 1400, mode="sparse", filter=condition)
        }
        spy.seen.clear()  # type: ignore[attr-defined]
        hits = searcher.search(query, 10, mode=mode, filter=condition)
        [evidence] = spy.seen  # type: ignore[attr-defined]
        assert evidence.size == len(there)
        np.testing.assert_array_equal(evidence.dense.query, HashEncoder().encode_queries([query]).vectors[0])
        expected = sorted(by_vector.values(), reverse=True)[:1000]
        np.testing.assert_allclose(evidence.dense.listed, expected, atol=1e-5)
        np.testing.assert_allclose(evidence.dense.cosines, [by_vector[hit.id] for hit in hits], atol=1e-5)
        if mode == "dense":
            assert evidence.sparse is None
        else:
            assert evidence.sparse.listed.tolist() == sorted(by_terms.values(), reverse=True)[:1000]
            assert evidence.sparse.scores.tolist() == [by_terms.get(hit.id, 0.0) for hit in hits]
            for term, idf in zip(ENGLISH.tokens(query), evidence.sparse.idf.tolist(), strict=True):
                holders = sum(term in ENGLISH.tokens(text(d)) for d in LIVE)
                rarity = math.log(1 + (len(LIVE) - holders + 0.5) / (holders + 0.5))
                assert idf == pytest.approx(rarity, rel=1e-5)
        assert [hit.probability for hit in hits] == [
            pytest.approx(
                sigmoid(
                    12 * (by_vector[hit.id] - 0.5) + (by_terms.get(hit.id, 0) / 5 if mode == "hybrid" else 0)
                ),
                abs=1e-3,
            )
            for hit in hits
        ]


@pytest.mark.parametrize("condition", [None, "year >= 2001"])
def test_a_word_said_often_is_no_better_evidence(searcher: Searcher, spy: Spy, condition: str | None) -> None:
    often, once = "statin trial statin wing trial statin heart statin", "statin trial wing heart"
    seen = {}
    for query in (often, once):
        spy.seen.clear()  # type: ignore[attr-defined]
        hits = searcher.search(query, 1400, filter=condition, literal=True)
        [evidence] = spy.seen  # type: ignore[attr-defined]
        scores = dict(zip((hit.id for hit in hits), evidence.sparse.scores.tolist(), strict=True))
        seen[query] = (evidence.sparse.listed.tolist(), evidence.sparse.idf.tolist(), scores)
    assert seen[often] == seen[once]
    # The order of a literal search is BM25's, for which a term counts as often as it is said.
    assert searcher.search(often, 5, mode="sparse", literal=True) != searcher.search(once, 5, mode="sparse")


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
@pytest.mark.parametrize("often", ["statin " * 20, "statin trial" + " statin" * 19, "statin trial " * 20])
def test_saying_it_twenty_times_changes_no_probability(searcher: Searcher, mode: str, often: str) -> None:
    once = "statin trial" if "trial" in often else "statin"
    assert searcher.search(often, 20, mode=mode) == searcher.search(once, 20, mode=mode)


def test_operators_leave_fewer_passages_to_judge(searcher: Searcher, spy: Spy) -> None:
    searcher.search("wing trial -statin")
    [evidence] = spy.seen  # type: ignore[attr-defined]
    assert evidence.size == sum("statin" not in ENGLISH.tokens(text(document)) for document in LIVE)


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_probabilities_change_neither_order_nor_scores(path: Path, searcher: Searcher, mode: str) -> None:
    plain = Searcher.open(path, encoder=HashEncoder(), relevance=None)
    for query in QUERIES:
        for depth in (30, 100):
            judged = searcher.search(query, 20, mode=mode, depth=depth)
            bare = plain.search(query, 20, mode=mode, depth=depth)
            assert [(hit.id, hit.score) for hit in judged] == [(hit.id, hit.score) for hit in bare]
            assert all(hit.probability is None for hit in bare)
            assert all(hit.probability is not None for hit in judged)


def test_a_reduced_index_finds_the_same_with_and_without(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "lean", encoder=HashEncoder(), dense="lean")
    index.add(DOCUMENTS, cache=False)
    judged = Searcher.open(tmp_path / "lean", encoder=HashEncoder(), relevance=(spy := Spy()))
    plain = Searcher.open(tmp_path / "lean", encoder=HashEncoder(), relevance=None)
    for query in QUERIES:
        hits = judged.search(query, 10, depth=12)
        assert [(h.id, h.score) for h in hits] == [(h.id, h.score) for h in plain.search(query, 10, depth=12)]
        listed = spy.seen[-1].dense.listed  # type: ignore[attr-defined]
        assert len(listed) == 1000 and np.all(np.diff(listed) <= 0)


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_a_least_probability_keeps_the_first_that_reach_it_of_the_same_candidates(
    searcher: Searcher, mode: str
) -> None:
    left_out = 0
    for query in QUERIES:
        everything = searcher.search(query, 40, mode=mode, depth=40)
        for least in (0.0, 0.5, 0.9, 0.99):
            expected = [hit for hit in everything if (hit.probability or 0) >= least][:5]
            hits = searcher.search(query, 5, mode=mode, depth=40, min_probability=least)
            # Below the first 40 there are further candidates of the other side.
            assert [(h.id, h.score, h.probability) for h in hits[: len(expected)]] == [
                (h.id, h.score, h.probability) for h in expected
            ]
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            assert all((hit.probability or 0) >= least for hit in hits)
            assert len(hits) == len(expected) or mode == "hybrid"
            left_out += len(expected) < 5
    assert left_out > 3


def test_an_irrelevant_candidate_does_not_take_a_place(path: Path) -> None:
    class Odd(Spy):
        def probabilities(self, evidence: Evidence) -> np.ndarray:
            return np.arange(len(evidence.dense.cosines)) % 2 * 0.8

    searcher = Searcher.open(path, encoder=HashEncoder(), relevance=Odd())
    ranking = searcher.search("statin trial", 20, mode="dense")
    hits = searcher.search("statin trial", 7, mode="dense", min_probability=0.5)
    assert [hit.id for hit in hits] == [hit.id for hit in ranking[1:14:2]]


def test_relevant_only_is_the_models_threshold_for_the_mode(searcher: Searcher) -> None:
    for mode, least in (("dense", 0.6), ("hybrid", 0.7)):
        for query in QUERIES:
            assert searcher.search(query, 50, mode=mode, relevant_only=True) == searcher.search(
                query, 50, mode=mode, min_probability=least
            )
            assert searcher.answer(query, mode=mode, relevant_only=True).threshold == least


def test_an_empty_answer_says_what_came_nearest(path: Path) -> None:
    searcher = Searcher.open(path, encoder=HashEncoder(), relevance=Spy(middle=5.0))
    for mode in ("hybrid", "dense"):
        answer = searcher.answer("wing layer", 3, mode=mode, depth=50, min_probability=0.5, explain=True)
        assert answer.hits == [] == searcher.search("wing layer", 3, mode=mode, min_probability=0.5)
        shown = searcher.search("wing layer", 50, mode=mode, depth=50)
        assert answer.nearest is not None and answer.nearest.explanation is not None
        assert answer.nearest.probability == max(hit.probability or 0 for hit in shown)
        assert shown[answer.nearest.rank - 1].id == answer.nearest.id
        assert answer.left_out == 50 if mode == "dense" else 50 <= answer.left_out <= 100
    full = searcher.answer("wing layer", 3)
    assert (full.threshold, full.left_out, full.nearest) == (None, 0, None) and len(full.hits) == 3
    for query, condition in (("  ", None), ("wing", "year > 3000")):
        nothing = searcher.answer(query, min_probability=0.5, filter=condition)
        assert nothing.hits == [] and nothing.nearest is None and nothing.left_out == 0


def test_what_came_nearest_tells_its_place_in_the_ranking(path: Path) -> None:
    snapshot = Snapshot.open(path)
    scores, chances = np.array([3.0, 2.0, 1.0], np.float32), np.array([0.1, 0.3, 0.2])
    ranking = Ranking(np.array([4, 0, 2]), scores, None, None, True, chances)
    judge = Judge(Spy(), 3, 0.5)
    generation = Generation(snapshot, QueryEncoder(None), "dense", load_fusion("convex"), None)
    request = Request(generation, ["wing"], 3, "dense", 3, None, None, judge, None, False, None)
    [answer] = answers(request, [ranking])
    assert answer.hits == [] and answer.nearest is not None
    [identifier] = snapshot.passages.ids(np.array([0]))
    assert (answer.nearest.id, answer.nearest.rank, answer.nearest.probability) == (identifier, 2, 0.3)
    snapshot.close()


@pytest.mark.parametrize("mode", [None, "dense"])
@pytest.mark.parametrize("least", [None, 0.6])
def test_judged_one_at_a_time_equals_a_batch_equals_threads(
    searcher: Searcher, mode: str | None, least: float | None
) -> None:
    queries = [f"{one} {other}" for one in QUERIES for other in QUERIES] + ["", "  "]

    def ask(query: str) -> list[Hit]:
        return searcher.search(query, 5, mode=mode, filter="year > 1995", min_probability=least)

    batch = searcher.search_batch(queries, 5, mode=mode, filter="year > 1995", min_probability=least)
    assert batch == [ask(query) for query in queries]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, queries)) == batch
    assert batch[-1] == batch[-2] == []
    assert any(hit.probability is not None for hits in batch for hit in hits)
    assert asyncio.run(searcher.asearch(queries[0], 3, min_probability=0.6)) == searcher.search(
        queries[0], 3, min_probability=0.6
    )


def test_runs_can_leave_out_what_is_improbable_and_judge_nothing_else(searcher: Searcher, spy: Spy) -> None:
    bare = searcher.rank_batch(QUERIES, 50)
    assert spy.seen == []  # type: ignore[attr-defined]
    kept = searcher.rank_batch(QUERIES, 50, relevant_only=True)
    for query, ranked, everything in zip(QUERIES, kept, bare, strict=True):
        assert ranked == [
            (hit.id, hit.score) for hit in searcher.search(query, 50, relevant_only=True)
        ] and set(ranked[:1]) <= set(everything)
    assert 0 < sum(map(len, kept)) < sum(map(len, bare))


def test_given_candidates_are_judged_as_found_ones_are(searcher: Searcher) -> None:
    for mode in ("hybrid", "dense"):
        found = searcher.search(QUERIES[0], 60, mode=mode, depth=60)
        wanted = [hit.id for hit in found if (hit.probability or 0) >= 0.6]
        [ranked] = searcher.rank_batch(
            QUERIES[:1], candidates=[[hit.id for hit in found]], mode=mode, min_probability=0.6
        )
        assert sorted(hit.id for hit in ranked) == sorted(wanted) and 0 < len(wanted) < 60


def chunked(path: Path, encoder: HashEncoder) -> Path:
    words = ["wing"] * 40 + ["enzyme"] * 3
    long = " ".join(f"Sentence {n} is about the {word}." for n, word in enumerate(words))
    index = Index.create(path, encoder=encoder, chunk_words=12, chunk_overlap=6)
    shorts = [Document(f"short{n}", f"The wing number {n}.") for n in range(5)]
    index.add([Document("long", long, "A long report"), *shorts], cache=False)
    return path


def test_a_documents_probability_is_that_of_its_best_passage(tmp_path: Path) -> None:
    searcher = Searcher.open(
        chunked(tmp_path / "index", HashEncoder()), relevance=Spy(), encoder=HashEncoder()
    )
    for mode in ("hybrid", "dense"):
        hits = searcher.search("wing enzyme", 6, mode=mode, depth=6)
        assert len({hit.id for hit in hits}) == 6
        for hit in hits:
            least = hit.probability or 0.0
            assert hit.id in {
                h.id for h in searcher.search("wing enzyme", 6, mode=mode, min_probability=least)
            }
            above = searcher.search("wing enzyme", 6, mode=mode, min_probability=min(least + 1e-9, 1.0))
            assert hit.id not in {h.id for h in above}


def test_a_context_holds_only_what_is_probable(tmp_path: Path) -> None:
    path = chunked(tmp_path / "index", HashEncoder())
    searcher = Searcher.open(path, relevance=Spy(), encoder=HashEncoder())
    everything = searcher.context("wing enzyme", max_tokens=2000)
    least = max(cited.probability or 0 for cited in everything.passages)
    some = searcher.context("wing enzyme", max_tokens=2000, min_probability=least)
    assert 0 < len(some.passages) < len(everything.passages) and some.tokens < everything.tokens
    assert all(cited.probability is not None and cited.probability >= least for cited in some.passages)
    none = Searcher.open(path, relevance=Spy(middle=5.0), encoder=HashEncoder()).context(
        "wing enzyme", min_probability=0.5
    )
    assert (none.text, none.passages, none.tokens, none.left_out) == ("", (), 0, 0)


def test_what_cannot_be_asked_is_told(path: Path, searcher: Searcher) -> None:
    for wrong in (-0.1, 1.1, float("nan"), True, "0.5"):
        with pytest.raises(UsageError, match="from 0 to 1"):
            searcher.search("statin", min_probability=wrong)  # type: ignore[arg-type]
    for ask in (searcher.search, searcher.context, searcher.answer):
        with pytest.raises(UsageError, match="one of the two"):
            ask("statin", min_probability=0.5, relevant_only=True)
        with pytest.raises(UsageError, match=r"needs the dense side.*hybrid or dense"):
            ask("statin", mode="sparse", min_probability=0.5)
    with pytest.raises(UsageError, match="needs the dense side"):
        searcher.rank_batch(["statin"], mode="sparse", relevant_only=True)
    assert all(hit.probability is None for hit in searcher.search("statin", mode="sparse"))
    for relevance in (None, "auto"):
        without = Searcher.open(path, encoder=HashEncoder(), relevance=relevance)
        assert without.search("statin")[0].probability is None
        with pytest.raises(UsageError, match="leanseek train relevance"):
            without.search("statin", relevant_only=True)
    for wrong_choice in (5, ["default"], HashEncoder()):
        with pytest.raises(UsageError, match="auto, default"):
            Searcher.open(path, encoder=HashEncoder(), relevance=wrong_choice)  # type: ignore[arg-type]


def test_a_model_for_another_encoder_is_refused(path: Path, tmp_path: Path) -> None:
    packaged().save(tmp_path / "copy.safetensors")
    for choice in ("default", tmp_path / "copy.safetensors", packaged(), Spy("cd" * 32)):
        with pytest.raises(LeanseekError, match=f"{HashEncoder.fingerprint[:12]}.*train relevance"):
            Searcher.open(path, encoder=HashEncoder(), relevance=choice)
    with pytest.raises(LeanseekError, match="no such file"):
        Searcher.open(path, encoder=HashEncoder(), relevance=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="search is sparse"):
        Searcher.open(path, mode="sparse", relevance="default")


def test_a_model_judges_the_vectors_of_the_same_weights_in_8_bits(tmp_path: Path) -> None:
    class EightBits(HashEncoder):
        name = "test-hash-encoder-8"
        fingerprint = int8_fingerprint(HashEncoder.fingerprint)

    Index.create(tmp_path / "index", encoder=EightBits()).add(DOCUMENTS[:20], cache=False)
    searcher = Searcher.open(tmp_path / "index", encoder=EightBits(), relevance=Spy())
    assert searcher.search("wing")[0].probability is not None


def test_a_sparse_index_has_no_probabilities(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None, sparse=SparseSettings())
    index.add(DOCUMENTS[:50])
    assert Searcher.open(tmp_path / "index").search("wing")[0].probability is None
    with pytest.raises(UsageError, match="index again with an encoder"):
        Searcher.open(tmp_path / "index", relevance="default")


def test_an_empty_index_has_nothing_to_judge(tmp_path: Path) -> None:
    Index.create(tmp_path / "empty", encoder=HashEncoder())
    searcher = Searcher.open(tmp_path / "empty", encoder=HashEncoder(), relevance=Spy())
    for mode in ("hybrid", "dense"):
        answer = searcher.answer("statin", mode=mode, relevant_only=True)
        assert (answer.hits, answer.left_out, answer.nearest) == ([], 0, None)


class DefaultsTwin(HashEncoder):
    """Not the default encoder, but what an index of it looks like."""

    name = "test-twin"
    dimensions = 384

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = packaged().fingerprint


def test_the_packaged_model_judges_an_index_of_its_encoder(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=DefaultsTwin())
    index.add(DOCUMENTS[:200], cache=False)
    found: list[list[list[Hit]]] = []
    for choice in ("auto", "default", packaged()):
        with Searcher.open(tmp_path / "index", encoder=DefaultsTwin(), relevance=choice) as searcher:
            found.append(searcher.search_batch(QUERIES) + searcher.search_batch(QUERIES, mode="dense"))
    assert found[0] == found[1] == found[2]
    chances = [hit.probability for hits in found[0] for hit in hits]
    assert all(chance is not None and 0 <= chance <= 1 for chance in chances) and len(set(chances)) > 5


def test_refreshing_to_another_encoder_leaves_no_stranger_to_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leanseek.indexing.creation import make_plan
    from leanseek.searcher import request as serving

    monkeypatch.setattr(serving, "recorded_encoder", lambda recorded, device, for_queries: OtherEncoder())
    path = tmp_path / "index"
    Index.create(path, encoder=DefaultsTwin()).add(DOCUMENTS[:50], cache=False)
    auto = Searcher.open(path, encoder=DefaultsTwin())
    strict = Searcher.open(path, encoder=DefaultsTwin(), relevance="default")
    assert auto.search("wing")[0].probability is not None
    Index.make(path, DOCUMENTS[:60], make_plan(encoder=OtherEncoder()), cache=False)
    assert auto.refresh() and auto.search("wing")[0].probability is None
    generation = strict.generation
    with pytest.raises(LeanseekError, match="train relevance"):
        strict.refresh()
    assert strict.generation == generation and strict.search("wing")[0].probability is not None


@given(
    st.lists(st.floats(0, 1), max_size=30),
    st.one_of(st.none(), st.floats(0, 1)),
    st.integers(1, 12),
)
def test_a_cut_keeps_the_order(chances: list[float], threshold: float | None, k: int) -> None:
    count = len(chances)
    ranking = Ranking(
        np.arange(count) * 7, np.zeros(count, np.float32), None, None, True, np.array(chances, np.float64)
    )
    kept, left_out, nearest = cut(ranking, threshold, k)
    passing = [place for place in range(count) if threshold is None or chances[place] >= threshold]
    assert kept.ordinals.tolist() == [place * 7 for place in passing[:k]]
    assert left_out == count - len(passing)
    if count and not passing:
        assert nearest == chances.index(max(chances))
    else:
        assert nearest is None
