"""WSS, LastRel and recall after a share, against their definitions and figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.eval import compare, score
from leanseek.eval.providers import is_quality, split_measures
from leanseek.types import Run

RANKING = {"q": {f"d{place:02}": 20.0 - place for place in range(20)}}
"""Twenty documents, d00 first."""
QRELS = {"q": {"d01": 1, "d04": 2, "d05": 0, "d09": 1, "d13": 1}}


def test_by_hand() -> None:
    names = ["WSS@95", "WSS@100", "WSS@75", "WSS@50", "LastRel", "R@10%", "R@25%", "R@0.5%", "R@100%", "R@5"]
    found = score(RANKING, QRELS, names).means
    assert found == pytest.approx(
        {
            "WSS@95": 6 / 20 - 0.05,
            "WSS@100": 6 / 20,
            "WSS@75": 10 / 20 - 0.25,
            "WSS@50": 15 / 20 - 0.5,
            "LastRel": 14 / 20,
            "R@10%": 1 / 4,
            "R@25%": 2 / 4,
            "R@0.5%": 0.0,
            "R@100%": 1.0,
            "R@5": 2 / 4,
        }
    )


def test_grades_and_what_a_ranking_lacks() -> None:
    assert score(RANKING, QRELS, ["WSS(rel=2)@100", "LastRel(rel=2)", "R(rel=2)@25%"]).means == pytest.approx(
        {"WSS(rel=2)@100": 15 / 20, "LastRel(rel=2)": 5 / 20, "R(rel=2)@25%": 1.0}
    )
    # Two judged documents that the ranking lacks are candidates that are read after all others.
    lacking = {"q": {**QRELS["q"], "x": 1, "y": 0}}
    assert score(RANKING, lacking, ["WSS@100", "LastRel", "WSS@80", "R@100%"]).means == pytest.approx(
        {"WSS@100": 0.0, "LastRel": 1.0, "WSS@80": 8 / 22 - 0.2, "R@100%": 4 / 5}
    )


def test_queries_without_results_and_without_relevant_documents() -> None:
    qrels = {**QRELS, "unanswered": {"d00": 1}, "nothing": {"d00": 0}}
    rankings = {**RANKING, "nothing": {"d00": 1.0}}
    found = score(rankings, qrels, ["WSS@95", "LastRel", "R@10%"]).per_query
    assert found["unanswered"] == {"WSS@95": 0.0, "LastRel": 1.0, "R@10%": 0.0}
    assert found["nothing"] == {"WSS@95": 0.0, "LastRel": 1.0, "R@10%": 0.0}


@settings(max_examples=100, deadline=None)
@given(
    relevant=st.lists(st.booleans(), min_size=1, max_size=60),
    percent=st.integers(1, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_defined(relevant: list[bool], percent: int, seed: int) -> None:
    """The definitions over a plain list, with exact fractions."""
    count, total = len(relevant), sum(relevant)
    rng = np.random.default_rng(seed)
    ids = [f"d{number}" for number in rng.permutation(count)]
    run = {"q": dict(zip(ids, range(count, 0, -1), strict=True))}
    qrels = {"q": dict(zip(ids, map(int, relevant), strict=True))}
    found = score(run, qrels, [f"WSS@{percent}", "LastRel", f"R@{percent}%"]).means
    if total:
        read = next(n for n in range(1, count + 1) if 100 * sum(relevant[:n]) >= percent * total)
        assert found[f"WSS@{percent}"] == pytest.approx((count - read) / count - (100 - percent) / 100)
        assert found["LastRel"] == max(n for n in range(1, count + 1) if relevant[n - 1]) / count
        first = -(-count * percent // 100)
        assert found[f"R@{percent}%"] == sum(relevant[:first]) / total


def test_they_are_compared() -> None:
    better = dict.fromkeys("pq", RANKING["q"])
    worse = {query: {id: -value for id, value in RANKING["q"].items()} for query in "pq"}
    qrels = dict.fromkeys("pq", QRELS["q"])
    compared = compare([Run("a", better), Run("b", worse)], qrels, ["WSS@95", "LastRel", "R@10%"])
    tested = {one.measure: one.t_test is not None for one in compared.contrasts}
    assert not tested["LastRel"] and not is_quality("LastRel") and is_quality("WSS@95")
    differences = {one.measure: one.difference for one in compared.contrasts}
    assert differences["WSS@95"] < 0 < differences["LastRel"]


def test_their_names() -> None:
    assert split_measures("WSS@95, LastRel R@10%,R@5") == ("WSS@95", "LastRel", "R@10%", "R@5")
    for name, message in (
        ("WSS", "a recall in percent, as in WSS@95"),
        ("WSS@0", "above 0 and at most 100"),
        ("WSS@101", "above 0 and at most 100"),
        ("WSS@nan", "above 0 and at most 100"),
        ("R@x%", "a share in percent, as in R@10%"),
        ("R@0%", "a share in percent"),
        ("LastRel@5", "takes no cut-off"),
        ("LastRel(k=1)", "no parameter but a whole rel"),
        ("WSS(rel=0.5)@95", "no parameter but a whole rel"),
    ):
        with pytest.raises(UsageError, match=message):
            score(RANKING, QRELS, [name])
