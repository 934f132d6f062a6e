"""Batches of texts, deadlines, and what is learned of time and memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.encode.batches import (
    Deadline,
    Limit,
    Pace,
    batches,
    onnx_batch_tokens,
    parse_budget,
    torch_batch_tokens,
)
from leanseek.errors import UsageError


@given(st.lists(st.integers(0, 600), max_size=80), st.integers(1, 4096))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    order = [lengths[i] for batch in found for i in batch]
    assert order == sorted(order, reverse=True)
    assert all(isinstance(batch, np.ndarray) for batch in found)


def test_batches_grow_with_the_threads_that_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def tokens(threads: str) -> int:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        return onnx_batch_tokens("cpu")

    one = tokens("1")
    assert [tokens(threads) for threads in ("2", "16", "64")] == [2 * one, 16 * one, 16 * one]
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert [tokens(unclear) for unclear in ("", "0", "4,2")] == [3 * one] * 3
    assert onnx_batch_tokens(None) == onnx_batch_tokens("cpu") < onnx_batch_tokens("cuda:1")
    assert torch_batch_tokens("cpu") < torch_batch_tokens("cuda") == torch_batch_tokens("mps")


def test_budgets() -> None:
    assert parse_budget("200ms") == 0.2
    assert parse_budget(" 1.5 s") == 1.5
    assert parse_budget("2m") == 120.0
    for wrong in ("200", "ms", "-1s", "1h", "nan s", ""):
        with pytest.raises(UsageError, match="200ms"):
            parse_budget(wrong)
    for wrong_seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="budget"):
            Deadline(wrong_seconds)


def test_a_deadline_follows_its_clock() -> None:
    now = [10.0]
    deadline = Deadline(2.0, clock=lambda: now[0])
    assert deadline.remaining() == 2.0 and deadline.allows(1.9) and not deadline.allows(2.0)
    now[0] = 12.5
    assert deadline.remaining() == -0.5 and not deadline.allows()


def test_a_pace_is_hopeful_or_cautious() -> None:
    hopeful, cautious = Pace(), Pace(cautious=True)
    for pace in (hopeful, cautious):
        assert pace.reach(10.0) is None
        pace.learn(10, 1.0)
        assert pace.reach(2.0) == pytest.approx(20)
    # A cautious pace foresees four times the largest work at most.
    assert hopeful.reach(100.0) == pytest.approx(1000) and cautious.reach(100.0) == 40
    hopeful.learn(10, 3.0)
    cautious.learn(10, 3.0)
    assert hopeful.reach(2.0) == pytest.approx(10) and cautious.reach(2.0) == pytest.approx(20 / 3)
    hopeful.learn(10, 0.5)
    cautious.learn(10, 0.75)
    assert hopeful.reach(1.0) == pytest.approx(20) and cautious.reach(1.0) == pytest.approx(20 / 3)


def test_a_pace_without_a_measurable_time_is_no_limit() -> None:
    pace = Pace()
    pace.learn(8, 0.0)
    assert pace.reach(1.0) == math.inf
    pace.learn(8, 4.0)
    assert pace.reach(1.0) == pytest.approx(2)


def test_a_limit_is_half_of_what_was_tried_and_never_grows() -> None:
    limit = Limit(100)
    assert limit.amount == 100 and not limit.halved
    for tried, amount in ((90, 45), (500, 45), (3, 1), (1, 1)):
        limit.halve(tried)
        assert limit.amount == amount and limit.halved
