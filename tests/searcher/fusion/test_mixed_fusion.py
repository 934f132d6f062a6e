"""A scale of its own for each side, and the fusion that an index brings with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek.errors import IndexFormatError, UsageError
from leanseek.indexing.index import Index
from leanseek.indexing.settings import FusionSettings, IndexSettings
from leanseek.searcher.fusion.methods import ConvexFusion, MixedFusion, Side
from leanseek.searcher.fusion.registry import load_fusion, own_fusion
from leanseek.searcher.searcher import Searcher

LEARNED = FusionSettings("theoretical+zscore", 0.05, 40, 0.5, 0.02, 0.01)

score_lists = st.lists(
    st.tuples(st.floats(0, 30, width=32), st.floats(-1, 1, width=32)), min_size=0, max_size=30
)


def sides(pairs: list[tuple[float, float]]) -> tuple[Side, Side]:
    sparse, dense = np.array(pairs, dtype=np.float32).reshape(-1, 2).T
    everything = np.ones(len(pairs), dtype=np.bool_)
    return Side(sparse.copy(), everything), Side(dense.copy(), everything)


@given(score_lists, st.floats(0, 1))
def test_both_sides_on_one_scale_are_the_fusion_of_that_name(
    pairs: list[tuple[float, float]], weight: float
) -> None:
    both = sides(pairs)
    for scale, name in (("theoretical", "convex"), ("minmax", "minmax"), ("zscore", "zscore")):
        mixed = load_fusion(f"{scale}+{scale}", weight).fuse(*both)
        assert mixed.tolist() == load_fusion(name, weight).fuse(*both).tolist()


def test_each_side_has_its_own_scale() -> None:
    both = sides([(0.0, 0.5), (4.0, 0.9), (8.0, -0.2)])
    sparse, dense = (side.scores.astype(np.float64) for side in both)
    z = (dense - dense.mean()) / dense.std()
    expected = 0.7 * sparse / 8.0 + 0.3 * z
    np.testing.assert_allclose(MixedFusion("theoretical", "zscore", 0.3).fuse(*both), expected, rtol=1e-5)
    z = (sparse - sparse.mean()) / sparse.std()
    expected = 0.5 * z + 0.5 * (dense + 0.2) / 1.1
    np.testing.assert_allclose(load_fusion(" ZScore+MinMax ").fuse(*both), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "spec", ["zscore+", "zscore+rrf", "+minmax", "minmax+minmax+minmax", "zscore + minmax"]
)
def test_unknown_scales_are_refused_with_those_there_are(spec: str) -> None:
    with pytest.raises(UsageError, match=r"theoretical\+zscore, each one of theoretical, minmax, zscore"):
        load_fusion(spec)


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(60), cache=False)
    index.choose_fusion(lambda: LEARNED)
    return tmp_path / "index"


def ranking(path: Path, **options: object) -> list[tuple[str, float]]:
    with Searcher.open(path, encoder=HashEncoder(), **options) as searcher:  # type: ignore[arg-type]
        return [(hit.id, hit.score) for hit in searcher.search("statin trial wing", k=20)]


def test_searches_fuse_by_what_the_index_has_learned(learned: Path) -> None:
    own = ranking(learned)
    assert own == ranking(learned, fusion="theoretical+zscore", dense_weight=0.05)
    assert own != ranking(learned, fusion="convex")


def test_an_explicit_fusion_or_weight_wins(learned: Path) -> None:
    usual = ranking(learned, fusion=ConvexFusion())
    assert ranking(learned, fusion="convex") == usual
    assert ranking(learned, dense_weight=0.8) == usual
    assert ranking(learned, dense_weight=0.1) == ranking(learned, fusion=ConvexFusion(0.1))


def test_a_searcher_moves_on_to_what_is_learned_later(learned: Path) -> None:
    with (
        Searcher.open(learned, encoder=HashEncoder()) as own,
        Searcher.open(learned, encoder=HashEncoder(), fusion="rrf") as given,
    ):
        assert own.fusion == MixedFusion("theoretical", "zscore", 0.05)
        Index.open(learned, encoder=HashEncoder()).choose_fusion(lambda: None)
        assert own.refresh() and given.refresh()
        assert own.fusion == ConvexFusion(0.8)
        assert given.fusion == load_fusion("rrf")


def test_a_fusion_of_a_newer_version_is_told_and_can_be_overruled(learned: Path) -> None:
    Index.open(learned, encoder=HashEncoder()).choose_fusion(lambda: replace(LEARNED, fusion="neural"))
    with pytest.raises(IndexFormatError, match=r"'neural'.*pip install --upgrade leanseek.*--fusion convex"):
        ranking(learned)
    assert ranking(learned, fusion="convex")


def test_without_anything_learned_the_default_is_taken() -> None:
    assert own_fusion(IndexSettings()) == ConvexFusion(0.8)
