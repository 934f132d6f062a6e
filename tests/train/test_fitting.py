"""Mixing what was learned with what training started from, and whose checkpoints are continued from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leanseek.errors import UsageError
from leanseek.train.crossencoder.recipe import Recipe
from leanseek.train.fitting import Schedule, keep_own, mix

torch = pytest.importorskip("torch")


def test_each_weight_is_a_share_of_what_was_learned_and_the_rest_of_the_start() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    start = {name: torch.zeros_like(weights) for name, weights in model.state_dict().items()}
    learned = {name: weights.clone() for name, weights in model.state_dict().items()}
    learned["1.num_batches_tracked"].fill_(7)
    model.load_state_dict(learned)
    mix(model, start, 0.25)
    for name, weights in model.state_dict().items():
        expected = 0.25 * learned[name] if weights.is_floating_point() else learned[name]
        assert torch.allclose(weights, expected), name


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_told(share: float) -> None:
    with pytest.raises(UsageError, match="more than 0 and at most 1"):
        Recipe(mix=share)


ROWS = [{"text": "a"}, {"text": "b"}]
SAME: tuple[Any, ...] = ((3, 2), ROWS, ROWS[:1], Schedule())


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        (SAME, True),
        (((3, 3), *SAME[1:]), False),
        ((SAME[0], [*ROWS, {"text": "c"}], *SAME[2:]), False),
        ((*SAME[:2], ROWS[1:], SAME[3]), False),
        ((*SAME[:3], Schedule(epochs=2.0)), False),
    ],
)
def test_checkpoints_are_those_of_the_same_training_or_removed(
    then: tuple[Any, ...], kept: bool, tmp_path: Path
) -> None:
    for place, (size, learn, held_out, schedule) in enumerate((SAME, then)):
        keep_own(tmp_path / "of", torch.nn.Linear(*size), learn, held_out, schedule)
        if place == 0:
            (tmp_path / "of" / "checkpoint-7").mkdir()
    assert (tmp_path / "of" / "checkpoint-7").exists() == kept
