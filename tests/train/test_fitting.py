"""Mixing what was learned with what training started from."""

from __future__ import annotations

import pytest

from leanseek.errors import UsageError
from leanseek.train.crossencoder.recipe import Recipe
from leanseek.train.fitting import mix

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
