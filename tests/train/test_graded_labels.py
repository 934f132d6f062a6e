"""What a cross-encoder is fitted to, where judgments have grades."""

from __future__ import annotations

import math

import pytest

from leanseek.train.crossencoder.recipe import row
from leanseek.train.mining import Group


def softmax(labels: list[float]) -> list[float]:
    total = sum(map(math.exp, labels))
    return [math.exp(label) / total for label in labels]


def test_the_target_is_in_proportion_to_the_grades() -> None:
    best, fair, *others = softmax(row(Group("q", ["a", "b", "c", "d"], 9, grades=[3, 1]))["labels"])
    assert best == pytest.approx(3 * fair)
    assert best + fair == pytest.approx(1.0, abs=1e-4) and max(others) < 1e-4


def test_without_grades_the_target_is_the_positive() -> None:
    assert row(Group("q", ["a", "b", "c"], 9))["labels"] == [10.0, 0.0, 0.0]
