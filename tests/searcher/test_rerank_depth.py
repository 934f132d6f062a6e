"""How deep to re-rank, by the probabilities of a ranking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.searcher.second_stage import RerankDepth
from leanseek.types import Hit

chances = st.lists(st.floats(0, 1), max_size=60)


@st.composite
def depths(draw: st.DrawFn) -> RerankDepth:
    floor = draw(st.integers(0, 20))
    return RerankDepth(draw(st.floats(0, 1)), floor, draw(st.integers(max(floor, 1), 50)))


def hits(probabilities: list[float | None]) -> list[Hit]:
    return [
        Hit(rank, f"d{rank}", -float(rank), "", "", {}, probability=chance)
        for rank, chance in enumerate(probabilities, 1)
    ]


@given(chances, depths())
def test_the_first_and_the_probable_up_to_the_ceiling(given_: list[float], depth: RerankDepth) -> None:
    before = np.array(given_, np.float64)
    places = depth.places(before).tolist()
    wanted = [n for n, chance in enumerate(given_) if n < depth.floor or chance >= depth.probability]
    assert places == wanted[: depth.ceiling]
    assert before.tolist() == given_
    assert len(places) >= min(depth.floor, len(given_))
    assert len(places) <= depth.ceiling


@given(chances, st.floats(0, 1), st.floats(0, 1))
def test_asking_for_more_probability_never_passes_on_more(
    given_: list[float], one: float, other: float
) -> None:
    less, more = sorted((one, other))
    few = set(RerankDepth(more, 5, 1000).places(np.array(given_)).tolist())
    many = set(RerankDepth(less, 5, 1000).places(np.array(given_)).tolist())
    assert few <= many


@given(chances, depths())
def test_a_beginning_holds_all_of_them_and_ends_with_one(given_: list[float], depth: RerankDepth) -> None:
    count = depth(hits(list(given_)))
    places = depth.places(np.array(given_, np.float64)).tolist()
    assert count == min(max(places, default=-1) + 1, depth.ceiling)
    falling = sorted(given_, reverse=True)
    assert depth(hits(list(falling))) == len(depth.places(np.array(falling, np.float64)))


def test_what_nobody_judged_is_re_ranked_to_the_ceiling() -> None:
    assert RerankDepth(0.9, 2, 7)(hits([None] * 20)) == 7
    assert RerankDepth(0.9, 2, 7)(hits([None] * 3)) == 3
    assert RerankDepth()([]) == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"probability": 1.5}, "from 0 to 1"),
        ({"probability": float("nan")}, "from 0 to 1"),
        ({"floor": -1}, "0 or more"),
        ({"floor": 0, "ceiling": 0}, "at least 1"),
        ({"floor": 20, "ceiling": 10}, "floor, which is 20"),
    ],
)
def test_wrong_values_are_told(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        RerankDepth(**wrong)  # type: ignore[arg-type]
