"""The order, ranks, scores and histories that re-rankers and cascades give, whatever judges the hits."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.encode.batches import Deadline
from leanseek.errors import ModelError, UsageError
from leanseek.rerank import ByScore, Cascade, Judged, RerankOptions, load_reranker
from leanseek.rerank.combined import load as load_interpolated
from leanseek.rerank.crossencoder import load as load_cross_encoder
from leanseek.rerank.incontext import load as load_in_context
from leanseek.rerank.lateinteraction import Mix
from leanseek.rerank.lateinteraction import load as load_late_interaction
from leanseek.types import Hit, Passage, Progress, Standing


def make(count: int, top: float = 1.0) -> list[Hit]:
    return [Hit(i + 1, f"d{i:02}", top - i / 100, "", f"text {i}", {}) for i in range(count)]


class Table(ByScore):
    """Says of each id what a table says; at most `limit` hits of a list."""

    fingerprint = "table"
    notes = ("a note",)

    def __init__(
        self, scores: dict[str, float], limit: int = 1000, probabilities: dict[str, float] | None = None
    ) -> None:
        self.scores, self.limit, self.probabilities = scores, limit, probabilities
        self.asked: list[list[str]] = []

    @property
    def name(self) -> str:
        return "table"

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        self.asked += [[hit.id for hit in given] for given in hits]
        found = []
        for given_ in hits:
            scores = np.array([self.scores[hit.id] for hit in given_], dtype=np.float64)
            scores[self.limit :] = np.nan
            known = self.probabilities
            found.append(
                Judged(scores, np.array([known[hit.id] for hit in given_]) if known is not None else None)
            )
        return found


def test_hits_are_ordered_by_the_new_score_and_keep_what_they_were() -> None:
    hits = make(3)
    found = Table({"d00": -2.0, "d01": 5.0, "d02": 0.5}).rerank("q", hits)
    assert [hit.id for hit in found] == ["d01", "d02", "d00"]
    assert [hit.rank for hit in found] == [1, 2, 3]
    assert [hit.score for hit in found] == [5.0, 0.5, -2.0]
    assert found[0].history == (Standing("search", 2, hits[1].score), Standing("table", 1, 5.0))
    assert found[0].text == "text 1" and found[0].probability is None


def test_equal_scores_are_ordered_by_id_and_then_by_part() -> None:
    hits = [
        Hit(1, "b", 3, "", "", {}),
        Hit(2, "a", 2, "", "", {}, Passage(1, 2, 9)),
        Hit(3, "a", 1, "", "", {}, Passage(0, 2, 0)),
    ]
    found = Table({"a": 1.0, "b": 1.0}).rerank("q", hits)
    assert [(hit.id, hit.score) for hit in found] == [("a", 1.0), ("a", 1.0), ("b", 1.0)]
    assert [hit.passage.number for hit in found if hit.passage is not None] == [0, 1]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_equal_scores_are_ordered_by_id_in_whatever_order_the_hits_came(order: tuple[str, ...]) -> None:
    hits = [Hit(rank, name, -rank, "", "", {}) for rank, name in enumerate(order, 1)]
    found = Table(dict.fromkeys("abc", 1.0)).rerank("q", hits)
    assert [hit.id for hit in found] == ["a", "b", "c"]


def test_no_hits_and_one_hit() -> None:
    table = Table({"d00": 7.0})
    assert table.rerank("q", []) == []
    assert [(hit.id, hit.rank, hit.score) for hit in table.rerank("q", make(1))] == [("d00", 1, 7.0)]
    assert table.rerank_batch([], []) == []


def test_a_calibrated_probability_replaces_the_searchs_and_an_unknown_one_does_not() -> None:
    [hit] = make(1)
    hit = Hit(hit.rank, hit.id, hit.score, "", "", {}, probability=0.3)
    assert Table({"d00": 1.0}).rerank("q", [hit])[0].probability == 0.3
    assert Table({"d00": 1.0}, probabilities={"d00": 0.9}).rerank("q", [hit])[0].probability == 0.9


@given(
    scores=st.lists(st.floats(-50, 50), min_size=1, max_size=12),
    limit=st.integers(0, 12),
    top=st.floats(-30, 1000),
)
def test_what_was_not_judged_stays_below_in_order_with_scores_that_descend(
    scores: list[float], limit: int, top: float
) -> None:
    hits = make(len(scores), top)
    table = Table({hit.id: score for hit, score in zip(hits, scores, strict=True)}, limit)
    [found] = table.rerank_batch(["q"], [hits])
    assert found.reached == min(limit, len(hits)) and found.asked == len(hits)
    assert sorted(hit.id for hit in found.hits) == [hit.id for hit in hits]
    assert [hit.rank for hit in found.hits] == list(range(1, len(hits) + 1))
    assert [hit.id for hit in found.hits[found.reached :]] == [hit.id for hit in hits[found.reached :]]
    after = [hit.score for hit in found.hits]
    assert after == sorted(after, reverse=True)
    judged = [hit for hit in found.hits if hit.history and hit.history[-1].by == "table"]
    assert judged == found.hits[: found.reached]
    assert [hit.history[-1].score for hit in judged] == [hit.score for hit in judged]
    if not found.reached:
        assert found.hits == hits


def test_a_cascade_passes_on_the_best_and_keeps_the_others_below() -> None:
    hits = make(6)
    first = Table({"d00": 1, "d01": 2, "d02": 3, "d03": 4, "d04": 9, "d05": 9})
    second = Table({"d01": 0.1, "d02": 0.5, "d03": 0.2})
    found = Cascade([(first, 4), (second, 3)]).rerank("q", hits)
    assert first.asked == [["d00", "d01", "d02", "d03"]]
    assert second.asked == [["d03", "d02", "d01"]]
    assert [hit.id for hit in found] == ["d02", "d03", "d01", "d00", "d04", "d05"]
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5, 6]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert [standing.by for standing in found[0].history] == ["search", "table", "table"]
    assert [standing.by for standing in found[-1].history] == ["search"]


def test_a_depth_may_depend_on_the_hits() -> None:
    table = Table({"d00": 1, "d01": 2, "d02": 3})
    cascade = Cascade([(table, lambda hits: sum(hit.score > 0.985 for hit in hits))])
    [one, none] = cascade.rerank_batch(["q", "r"], [make(3), make(3, top=0.5)])
    assert [hit.id for hit in one.hits] == ["d01", "d00", "d02"] and one.reached == 2
    assert none.hits == make(3, top=0.5) and none.reached == 0
    assert (one.asked, none.asked) == (2, 0)
    assert cascade.name == "table@auto"


def test_the_fingerprint_of_a_cascade_has_its_depths_and_order() -> None:
    quick, careful = Table({}), Table({})
    careful.fingerprint = "another table"
    cascades = [
        [(quick, 100)],
        [(quick, 50)],
        [(quick, 100), (careful, 20)],
        [(quick, 100), (careful, 10)],
        [(careful, 100), (quick, 20)],
    ]
    assert len({Cascade(steps).fingerprint for steps in cascades}) == len(cascades)
    assert Cascade([(quick, 100)]).fingerprint == Cascade([(quick, 100)]).fingerprint


def test_a_batch_gives_what_single_queries_give() -> None:
    table = Table({hit.id: float(int(hashlib.md5(hit.id.encode()).hexdigest(), 16) % 97) for hit in make(9)})
    lists = [make(9), make(4), [], make(1)]
    batch = Cascade([(table, 5)]).rerank_batch(list("abcd"), lists)
    assert [one.hits for one in batch] == [Cascade([(table, 5)]).rerank("q", given_) for given_ in lists]


def test_wrong_calls_are_told() -> None:
    table = Table({})
    with pytest.raises(UsageError, match="1 queries and 2 lists"):
        table.rerank_batch(["q"], [[], []])
    with pytest.raises(UsageError, match="list of strings"):
        table.rerank_batch("q", [[]])
    with pytest.raises(UsageError, match="a list of their own"):
        table.rerank_batch(["q", "r"], make(2))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one"):
        Cascade([])
    with pytest.raises(UsageError, match="at least 1"):
        Cascade([(table, 0)])
    with pytest.raises(ModelError, match="infinite"):
        Table({"d00": float("inf")}).rerank("q", make(1))


@pytest.mark.parametrize("name", ["crossencoder", "", "cross-encoder:", "bm25:x", "none:x"])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    told = r"cross-encoder\[:MODEL\], in-context\[:MODEL\], late-interaction\[:MODEL\], "
    told += r"learned\[:MODEL\], interpolated:RERANKER\[\+RERANKER\], or none$"
    with pytest.raises(UsageError, match=told):
        load_reranker(name)
    with pytest.raises(UsageError, match="'none' stands for no re-ranker"):
        load_reranker("none")


def test_a_choice_that_a_kind_does_not_have_is_refused() -> None:
    loads = (load_cross_encoder, load_in_context, load_late_interaction)
    choices = (
        (RerankOptions(long="maxp"), load_cross_encoder, "how long passages are read"),
        (RerankOptions(mix=Mix()), load_late_interaction, "what scores are made of"),
        (RerankOptions(weight=0.5), load_interpolated, "beside the search"),
    )
    for options, own, what in choices:
        for load in loads:
            if load is not own:
                with pytest.raises(UsageError, match=f"{what} can be chosen for .*leave it out"):
                    load(options)
    for name in ("in-context:m", "interpolated:late-interaction", "late-interaction"):
        with pytest.raises(UsageError, match="can be chosen for cross-encoder, not for"):
            load_reranker(name, long="maxp")
