"""Every fusion against independent implementations, and the rules that its docstring states."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import ranx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ranx.normalization import min_max_norm, zmuv_norm

from leanseek.errors import UsageError
from leanseek.searcher.fusion.methods import Side, ranks
from leanseek.searcher.fusion.registry import FUSIONS, load_fusion
from leanseek.types import BoolArray, Float32Array

NAMES = sorted(FUSIONS)
BY_SCORE = ["convex", "minmax", "zscore"]
# One value of a denormal float apart, and far beyond any BM25 score: nothing may divide by zero or overflow.
SCORES = st.one_of(
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from([0.0, -1.0, 1.0, 1e-45, 3e38, -3e38]),
    st.integers(-3, 3).map(float),
)


def side(scores: list[float], found: list[bool] | None = None) -> Side:
    flags = [True] * len(scores) if found is None else found
    return Side(np.array(scores, dtype=np.float32), np.array(flags, dtype=np.bool_))


@st.composite
def sides(draw: st.DrawFn, least: int = 0) -> tuple[Side, Side]:
    count = draw(st.integers(least, 30))
    floats = arrays.arrays(np.float32, count, elements=SCORES)
    flags = arrays.arrays(np.bool_, count)
    return Side(draw(floats), draw(flags)), Side(draw(floats), draw(flags))


def retrieved(rng: np.random.Generator, count: int, depth: int) -> tuple[Side, Side]:
    """What two exact searches give: BM25-like and cosine-like scores, distinct, each side's best found."""
    sparse = rng.gamma(2.0, 3.0, count).astype(np.float32)
    dense = rng.uniform(-0.2, 0.9, count).astype(np.float32)
    return (
        Side(sparse, np.argsort(np.argsort(-sparse)) < depth),
        Side(dense, np.argsort(np.argsort(-dense)) < depth),
    )


def run(scores: Float32Array, chosen: BoolArray) -> ranx.Run:
    """A ranx run of one query over documents named by position."""
    return ranx.Run({"q": {f"d{i:03}": float(scores[i]) for i in np.flatnonzero(chosen)}})


def fused_by_ranx(runs: list[ranx.Run], weights: tuple[float, float], count: int) -> Float32Array:
    fused = ranx.fuse(runs=runs, norm=None, method="wsum", params={"weights": weights})
    return np.array([fused["q"].get(f"d{i:03}", 0.0) for i in range(count)], dtype=np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_rrf_equals_ranx(seed: int) -> None:
    sparse, dense = retrieved(np.random.default_rng(seed), count=80, depth=40)
    runs = [run(one.scores, one.found) for one in (sparse, dense)]
    expected = ranx.fuse(runs=runs, norm=None, method="rrf", params={"k": 60})
    fused = load_fusion("rrf").fuse(sparse, dense)
    assert (fused > 0).sum() == len(expected["q"])
    for document, score in expected["q"].items():
        assert 2 * fused[int(document[1:])] == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("name", "norm"), [("minmax", min_max_norm), ("zscore", zmuv_norm)])
def test_normalised_sums_equal_ranx(name: str, norm, weight: float, seed: int) -> None:
    sparse, dense = retrieved(np.random.default_rng(seed), count=60, depth=30)
    whole = np.ones(60, dtype=np.bool_)
    runs = [norm(run(one.scores, whole)) for one in (sparse, dense)]
    expected = fused_by_ranx(runs, (1 - weight, weight), 60)
    np.testing.assert_allclose(load_fusion(name, weight).fuse(sparse, dense), expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(sides(least=1), st.floats(0, 1))
def test_convex_is_its_formula(pair: tuple[Side, Side], weight: float) -> None:
    sparse = np.abs(pair[0].scores.astype(np.float64))
    dense = np.clip(pair[1].scores.astype(np.float64), -1, 1)
    assume(sparse.max() > 0 and dense.max() > -1)
    expected = (1 - weight) * sparse / sparse.max() + weight * (dense + 1) / (dense.max() + 1)
    fused = load_fusion("convex", weight).fuse(
        Side(sparse.astype(np.float32), pair[0].found), Side(dense.astype(np.float32), pair[1].found)
    )
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [0.2, 0.5])
def test_dbsf_is_its_formula_over_each_list(weight: float) -> None:
    sparse, dense = retrieved(np.random.default_rng(7), count=70, depth=35)
    expected = np.zeros(70)
    for share, one in ((1 - weight, sparse), (weight, dense)):
        listed = [float(score) for score, found in zip(one.scores, one.found, strict=True) if found]
        mean = sum(listed) / len(listed)
        sigma = (sum((score - mean) ** 2 for score in listed) / len(listed)) ** 0.5
        low, high = mean - 3 * sigma, mean + 3 * sigma
        expected += share * np.maximum([(float(score) - low) / (high - low) for score in one.scores], 0)
    np.testing.assert_allclose(load_fusion("dbsf", weight).fuse(sparse, dense), expected, rtol=1e-5)


def test_dbsf_tells_outliers_apart() -> None:
    sparse = side([float(i % 5) for i in range(500)] + [400.0, 500.0])
    fused = load_fusion("dbsf").fuse(sparse, side([0.5] * 502))
    assert fused[501] > fused[500] > fused[:500].max()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(pair=sides(), weight=st.floats(0, 1))
def test_fused_scores_are_finite(name: str, pair: tuple[Side, Side], weight: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        fused = load_fusion(name, weight).fuse(*pair)
    assert fused.dtype == np.float32
    assert fused.shape == pair[0].scores.shape
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(pair=sides(least=2), weight=st.floats(0, 1), data=st.data())
def test_better_on_both_sides_is_never_below(
    name: str, pair: tuple[Side, Side], weight: float, data: st.DataObject
) -> None:
    best, worst = data.draw(st.permutations(range(len(pair[0].scores))))[:2]
    for one in pair:
        if one.scores[best] < one.scores[worst]:
            one.scores[[best, worst]] = one.scores[[worst, best]]
        # An exact search that found the worse of two found the better, and the first of two equal ones.
        if one.found[worst]:
            one.found[best] = True
    if name == "rrf":
        assume(best < worst)
    fused = load_fusion(name, weight).fuse(*pair)
    assert fused[best] >= fused[worst]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("convex", "agreement")])
@settings(deadline=None)
@given(pair=sides(), weight=st.floats(0, 1))
def test_swapping_sides_and_weights_changes_nothing(
    name: str, pair: tuple[Side, Side], weight: float
) -> None:
    sparse, dense = pair
    there = load_fusion(name, weight).fuse(sparse, dense)
    back = load_fusion(name, 1 - weight).fuse(dense, sparse)
    np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "rrf"])
@settings(deadline=None)
@given(pair=sides(), data=st.data())
def test_order_of_candidates_changes_nothing(name: str, pair: tuple[Side, Side], data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(pair[0].scores)))), dtype=np.int64)
    fusion = load_fusion(name)
    shuffled = fusion.fuse(*(Side(one.scores[order], one.found[order]) for one in pair))
    np.testing.assert_allclose(shuffled, fusion.fuse(*pair)[order], rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40))
def test_order_of_candidates_changes_no_ranks_but_those_of_equal_scores(
    seed: int, count: int, depth: int
) -> None:
    rng = np.random.default_rng(seed)
    pair = retrieved(rng, count, depth)
    assume(all(len(np.unique(one.scores)) == count for one in pair))
    order = rng.permutation(count)
    shuffled = load_fusion("rrf").fuse(*(Side(one.scores[order], one.found[order]) for one in pair))
    np.testing.assert_array_equal(shuffled, load_fusion("rrf").fuse(*pair)[order])


@pytest.mark.parametrize("name", BY_SCORE)
@settings(deadline=None)
@given(pair=sides())
def test_fusions_by_score_do_not_look_at_who_found_what(name: str, pair: tuple[Side, Side]) -> None:
    fusion = load_fusion(name)
    everyone = [Side(one.scores, np.ones_like(one.found)) for one in pair]
    np.testing.assert_array_equal(fusion.fuse(*pair), fusion.fuse(*everyone))


@pytest.mark.parametrize("name", NAMES)
def test_no_candidates(name: str) -> None:
    assert load_fusion(name).fuse(side([]), side([])).shape == (0,)


def test_scores_below_the_infimum_count_as_the_infimum() -> None:
    sparse = side([1e-30, 0.0, -3e38])
    assert load_fusion("convex", 0.0).fuse(sparse, side([0.0] * 3)).tolist() == [1.0, 0.0, 0.0]
    assert load_fusion("convex", 1.0).fuse(sparse, side([0.0, -1.0, -1.5])).tolist() == [1.0, 0.0, 0.0]
    assert load_fusion("convex", 0.0).fuse(side([-1.0, -2.0]), side([0.0, 0.0])).tolist() == [0.0, 0.0]


def test_dbsf_takes_what_an_approximate_search_missed_for_its_best() -> None:
    dense = side([3e38, 2.0, 1.0, -3e38], [False, True, True, False])
    fused = load_fusion("dbsf", 1.0).fuse(side([0.0] * 4, [False] * 4), dense)
    assert fused == pytest.approx([4 / 6, 4 / 6, 2 / 6, 0.0])


ONE_HIT = {"convex": 1.0, "agreement": 1.0, "minmax": 0.0, "zscore": 0.0, "dbsf": 0.5, "rrf": 1 / 61}


@pytest.mark.parametrize("name", NAMES)
def test_one_hit(name: str) -> None:
    fused = load_fusion(name).fuse(side([7.5]), side([0.4]))
    assert fused == pytest.approx([ONE_HIT[name]])


@pytest.mark.parametrize("name", NAMES)
def test_query_without_known_terms_is_ordered_by_the_dense_side(name: str) -> None:
    dense = [0.1, 0.9, -0.4, 0.3]
    fused = load_fusion(name).fuse(side([0.0] * 4, [False] * 4), side(dense))
    assert np.argsort(-fused).tolist() == np.argsort(-np.array(dense)).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_of_one_side_leave_the_order_to_the_other(name: str) -> None:
    sparse = [0.1] * 5
    dense = [0.5, 0.4, 0.3, 0.2, 0.1]
    fused = load_fusion(name).fuse(side(sparse), side(dense))
    assert all(a > b for a, b in pairwise(fused))


@pytest.mark.parametrize("name", BY_SCORE)
def test_equal_scores_on_both_sides_stay_equal(name: str) -> None:
    fused = load_fusion(name).fuse(side([0.1, 0.1, 0.1]), side([0.7, 0.7, 0.7]))
    assert len(set(fused.tolist())) == 1


@pytest.mark.parametrize("name", NAMES)
def test_negative_scores_keep_their_order(name: str) -> None:
    fused = load_fusion(name, 0.9).fuse(side([-1.0, -2.0, -3.0]), side([-0.1, -0.2, -0.3]))
    assert fused[0] > fused[1] > fused[2]


@pytest.mark.parametrize("name", NAMES)
def test_weights_at_their_ends_leave_one_side(name: str) -> None:
    sparse, dense = side([3.0, 2.0, 1.0]), side([0.1, 0.2, 0.3])
    assert np.argsort(-load_fusion(name, 0.0).fuse(sparse, dense)).tolist() == [0, 1, 2]
    assert np.argsort(-load_fusion(name, 1.0).fuse(sparse, dense)).tolist() == [2, 1, 0]


def test_rrf_gives_nothing_for_a_side_that_did_not_find_the_candidate() -> None:
    fused = load_fusion("rrf", 0.25).fuse(side([9.0, 8.0], [True, False]), side([0.1, 0.2], [True, True]))
    assert fused == pytest.approx([0.75 / 61 + 0.25 / 62, 0.25 / 61])


def test_rrf_takes_k() -> None:
    fused = load_fusion("RRF(k=2)").fuse(side([9.0, 8.0]), side([0.2, 0.1]))
    assert fused == pytest.approx([1 / 3, 1 / 4])


def test_ranks_follow_position_where_scores_are_equal() -> None:
    found = [True, True, False, True, True]
    assert ranks(side([1.0, 2.0, 9.0, 2.0, 1.0], found)).tolist() == [3, 1, 0, 2, 4]


@pytest.mark.parametrize("spec", ["", "sum", "rrf(k=0)", "rrf(k=-1)", "convex(k=3)", "rrf(60)", "rrf()"])
def test_unknown_fusions_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match=r"convex.*rrf\(k=N\)"):
        load_fusion(spec)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_their_range_are_refused(weight: float) -> None:
    with pytest.raises(UsageError, match="from 0"):
        load_fusion("convex", weight)


def test_default_is_eight_tenths_dense() -> None:
    assert load_fusion("convex") == load_fusion("convex", 0.8)
    assert load_fusion("rrf") == load_fusion("rrf(k=60)", 0.5)
