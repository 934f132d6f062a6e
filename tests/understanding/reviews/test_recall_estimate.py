"""The estimate of recall: against simulated reviews whose rest is known, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.understanding.reviews import RecallEstimate, estimate_recall
from leanseek.understanding.reviews.recall_estimate import at_most, likeliest


def drawn(
    rng: np.random.Generator, slope: float, offset: float
) -> RecallEstimate | tuple[RecallEstimate, bool]:
    """A review of 1,000 documents whose log odds are a line, of which a random part of the best is read."""
    scores = np.sort(rng.standard_normal(1000))[::-1]
    relevant = rng.random(1000) < 1 / (1 + np.exp(-(slope * scores + offset)))
    read = int(rng.integers(100, 900))
    estimate = estimate_recall(scores[:read], relevant[:read], scores[read:])
    total = int(relevant.sum())
    return estimate, bool(relevant[:read].sum() >= 0.95 * total)


def test_a_confidence_comes_true_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    said, true = [], []
    for _ in range(400):
        estimate, reached = drawn(rng, rng.uniform(1.0, 3.0), rng.uniform(-5.0, -2.0))
        if 0.02 < estimate.confidence < 0.98:
            said.append(estimate.confidence)
            true.append(reached)
    assert len(said) > 80
    assert abs(np.mean(said) - np.mean(true)) < 0.1
    high = [reached for confidence, reached in zip(said, true, strict=True) if confidence > 0.8]
    assert np.mean(high) > 0.75


def test_what_is_to_be_expected_is_about_what_is_there() -> None:
    rng = np.random.default_rng(1)
    expected = there = 0.0
    for _ in range(100):
        scores = np.sort(rng.standard_normal(1000))[::-1]
        relevant = rng.random(1000) < 1 / (1 + np.exp(-(2.0 * scores - 3.0)))
        expected += estimate_recall(scores[:300], relevant[:300], scores[300:]).unread
        there += relevant[300:].sum()
    assert 0.8 < expected / there < 1.3


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.booleans(), max_size=40),
    unread=st.integers(0, 60),
    target=st.floats(0.5, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_review_has_an_estimate(labels: list[bool], unread: int, target: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    relevant = np.array(labels, np.bool_)
    one = estimate_recall(rng.standard_normal(len(labels)), relevant, rng.standard_normal(unread), target)
    assert 0.0 <= one.confidence <= 1.0 and 0.0 <= one.recall <= 1.0 and 0.0 <= one.unread <= unread
    assert (one.candidates, one.read, one.found) == (len(labels) + unread, len(labels), relevant.sum())
    if not unread:
        assert one.confidence == 1.0 and one.reached(1.0)
    elif not relevant.any():
        assert one.confidence == 0.0 and one.recall == 0.0 and not one.reached()


def test_a_higher_recall_is_less_sure() -> None:
    rng = np.random.default_rng(2)
    scores = np.sort(rng.standard_normal(400))[::-1]
    relevant = rng.random(400) < 1 / (1 + np.exp(-3 * scores + 3))
    sure = [
        estimate_recall(scores[:250], relevant[:250], scores[250:], target).confidence
        for target in (0.7, 0.8, 0.9, 0.95, 1.0)
    ]
    assert sure == sorted(sure, reverse=True) and sure[0] > sure[-1]


def test_the_line_is_that_of_scikit_learn_where_there_are_many_labels() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(20000)
    relevant = (rng.random(20000) < 1 / (1 + np.exp(-1.5 * scores + 2))).astype(float)
    model = linear_model.LogisticRegression(C=np.inf).fit(scores[:, None], relevant)
    line, spread = likeliest(scores, relevant)
    assert line == pytest.approx([model.coef_[0, 0], model.intercept_[0]], abs=5e-3)
    assert 0 < spread[0, 0] < 1e-2


def test_poisson_probabilities() -> None:
    stats = pytest.importorskip("scipy.stats")
    means = np.array([0.0, 1e-9, 0.3, 4.0, 900.0])
    for count in (0, 1, 7, 300):
        assert at_most(count, means) == pytest.approx(stats.poisson.cdf(count, means), abs=1e-12)


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5, float("nan")])
def test_a_target_that_is_none(target: float) -> None:
    with pytest.raises(UsageError, match=r"above 0 and at most 1"):
        estimate_recall(np.zeros(1), np.ones(1, np.bool_), np.zeros(1), target)
