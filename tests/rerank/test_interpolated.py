"""A re-ranker mixed with the order that hits came in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import zscore

from leanseek.encode.batches import Deadline
from leanseek.errors import UsageError
from leanseek.rerank import Blend, ByScore, Cascade, Interpolated, Judged, load_reranker
from leanseek.rerank.adaptive import check_scorer
from leanseek.rerank.registry import parts, reads_windows
from leanseek.types import Hit, Progress

finite = st.floats(-100, 100).map(lambda value: round(value, 2))


class Says(ByScore):
    """Gives the scores it was made with."""

    name, fingerprint, notes = "says", "says", ("a note",)

    def __init__(self, scores: Sequence[float], probabilities: Sequence[float] | None = None) -> None:
        self.judged = Judged(
            np.array(scores, np.float64), np.array(probabilities) if probabilities is not None else None
        )

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        return [self.judged for _ in queries]


def came_with(scores: Sequence[float]) -> list[Hit]:
    return [Hit(rank, f"d{rank:02}", score, "", "text", {}) for rank, score in enumerate(scores, 1)]


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=12), st.floats(0, 1))
def test_the_scores_are_mixed_z_scores(pairs: list[tuple[float, float]], weight: float) -> None:
    before, said = np.array(pairs).T
    [found] = Interpolated(Says(said), weight).judge(["q"], [came_with(before.tolist())])
    parts = [np.zeros(len(one)) if len(set(one)) == 1 else zscore(one) for one in (before, said)]
    np.testing.assert_allclose(found.scores, (1 - weight) * parts[0] + weight * parts[1], atol=1e-6)


def test_its_ends_are_the_search_and_the_re_ranker() -> None:
    hits = came_with([3.0, 2.0, 1.0])
    for weight, expected in ((0.0, ["d01", "d02", "d03"]), (1.0, ["d02", "d03", "d01"])):
        found = Interpolated(Says([-1.0, 9.0, 4.0]), weight).rerank("q", hits)
        assert [hit.id for hit in found] == expected


def test_scores_that_are_all_the_same_count_for_nothing() -> None:
    # The mean of three times 0.1 is not 0.1: the rounding must not become a z-score.
    [found] = Interpolated(Says([0.1, 0.1, 0.1]), 0.5).judge(["q"], [came_with([0.1, 0.1, 0.1])])
    assert found.scores.tolist() == [0.0, 0.0, 0.0]


def test_what_was_not_judged_stays_below_and_counts_for_nothing() -> None:
    hits = came_with([5.0, 4.0, 1000.0])
    mixed = Interpolated(Says([1.0, 2.0, math.nan], [0.1, 0.9, math.nan]), 0.6)
    [found] = mixed.rerank_batch(["q"], [hits])
    assert [hit.id for hit in found.hits] == ["d02", "d01", "d03"] and (found.reached, found.asked) == (2, 3)
    assert [hit.probability for hit in found.hits] == [0.9, 0.1, None]
    assert found.hits[0].score == pytest.approx(0.2)
    nothing = Interpolated(Says([math.nan] * 3)).rerank("q", hits)
    assert [hit.id for hit in nothing] == [hit.id for hit in hits]
    assert Interpolated(Says([])).rerank("q", []) == []


def test_by_name_it_takes_the_other_s_options() -> None:
    pytest.importorskip("sentence_transformers")
    found = load_reranker("interpolated:cross-encoder:torch:leanseek/joint-MiniLM-L6", "cpu", long="firstp")
    assert isinstance(found, Interpolated)
    assert found.name == "interpolated:cross-encoder:torch:leanseek/joint-MiniLM-L6"
    assert found.fingerprint != Interpolated(found.reranker, 0.5).fingerprint != found.reranker.fingerprint
    assert "0.5" in Interpolated(found.reranker, 0.5).name


def test_it_reads_long_passages_as_the_other_does() -> None:
    assert reads_windows("interpolated:cross-encoder:MODEL")
    assert not reads_windows("interpolated:late-interaction") and not reads_windows("interpolated")


def test_what_cannot_be_mixed_is_told() -> None:
    with pytest.raises(UsageError, match="interpolated:cross-encoder"):
        load_reranker("interpolated")
    with pytest.raises(UsageError, match="'nothing' is not a re-ranker"):
        load_reranker("interpolated:nothing")
    with pytest.raises(UsageError, match="from 0 to 1"):
        Interpolated(Says([]), 1.5)
    with pytest.raises(UsageError, match="a single one"):
        Interpolated(Cascade([(Says([]), 5)]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="in a mix"):
        check_scorer(Interpolated(Says([])))


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=12))
def test_a_blend_is_the_mean_of_z_scores(pairs: list[tuple[float, float]]) -> None:
    one, other = np.array(pairs).T
    hits = came_with(list(range(len(pairs), 0, -1)))
    [found] = Blend([Says(one), Says(other)]).judge(["q"], [hits])
    parts = [np.zeros(len(said)) if len(set(said)) == 1 else zscore(said) for said in (one, other)]
    np.testing.assert_allclose(found.scores, np.mean(parts, axis=0), atol=1e-6)


class Trusts(Says):
    """Trusts itself as much as it was told."""

    def __init__(self, scores: Sequence[float], trust: float) -> None:
        super().__init__(scores)
        self.told = trust

    def trust(self, hits: Sequence[Hit]) -> float:
        return self.told


def test_who_does_not_trust_itself_counts_for_less() -> None:
    hits = came_with([3.0, 2.0, 1.0])
    before, said = zscore([3.0, 2.0, 1.0]), zscore([1.0, 5.0, 9.0])
    for trust in (0.0, 0.5, 1.0):
        [found] = Interpolated(Trusts([1.0, 5.0, 9.0], trust), 0.6).judge(["q"], [hits])
        np.testing.assert_allclose(found.scores, (1 - 0.6 * trust) * before + 0.6 * trust * said)
    blend = Blend([Trusts([1.0, 5.0, 9.0], 0.25), Trusts([3.0, 2.0, 1.0], 0.75)])
    np.testing.assert_allclose(blend.judge(["q"], [hits])[0].scores, 0.25 * said + 0.75 * before)
    assert blend.trust(hits) == 0.5
    nobody = Blend([Trusts([1.0, 5.0, 9.0], 0.0), Trusts([3.0, 2.0, 1.0], 0.0)])
    np.testing.assert_allclose(nobody.judge(["q"], [hits])[0].scores, (said + before) / 2)


def test_a_blend_scores_what_all_have_scored() -> None:
    hits = came_with([3.0, 2.0, 1.0])
    blend = Blend(
        [Says([math.nan, 1.0, 2.0], [math.nan, 0.2, 0.3]), Says([5.0, 2.0, math.nan], [0.9, 0.8, 0.7])]
    )
    [found] = blend.judge(["q"], [hits])
    assert np.isnan(found.scores).tolist() == [True, False, True] and found.scores[1] == 0
    assert found.probabilities is not None and found.probabilities[1] == 0.2
    assert blend.name == "says+says" and blend.notes == ("a note",) and not blend.alone
    assert Interpolated(blend).weight == 0.5 and Interpolated(Says([1.0])).weight == 0.35


def test_a_blend_needs_several_that_score() -> None:
    with pytest.raises(UsageError, match="at least two"):
        Blend([Says([1.0])])
    with pytest.raises(UsageError, match="at least two"):
        Blend([Says([1.0]), Cascade([(Says([1.0]), 3)])])  # type: ignore[list-item]


def test_names_are_joined_by_plus() -> None:
    assert parts("cross-encoder+learned:splade") == ["cross-encoder", "learned:splade"]
    assert parts("cross-encoder:/models/c++/learned") == ["cross-encoder:/models/c++/learned"]
    assert parts("cross-encoder:a+b+learned") == ["cross-encoder:a+b", "learned"]
    assert parts("cross-encoder:a+learned-models") == ["cross-encoder:a+learned-models"]
    assert reads_windows("interpolated:learned+cross-encoder")
    assert not reads_windows("interpolated:learned+late-interaction")
    loaded = load_reranker("interpolated:cross-encoder+learned", long="firstp")
    assert isinstance(loaded, Interpolated) and isinstance(loaded.reranker, Blend)
    again = load_reranker(loaded.name, long="firstp")
    assert again.name == loaded.name and again.fingerprint == loaded.fingerprint
