"""Measures: published numbers, independent implementations, the rules on ties and missing queries."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError, MissingPackageError, UsageError
from leanseek.eval.measures import score
from leanseek.eval.providers import split_measures
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run

pytest.importorskip("ir_measures")

QRELS = {"1": {"a": 1, "b": 0, "c": 2}, "2": {"a": 1}, "3": {"x": 0}}
RUN = {"1": {"a": 3.0, "z": 2.0, "c": 1.0}, "4": {"a": 1.0}}


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("BM25__BM25_5bcc39", 0.5058),
        ("BM25_RM3_2ffea3", 0.5216),
        ("SPLADE_P_P_ENSEMBLE_DISTIL_f5a6c6", 0.7308),
        ("D_BERT_KD_TASB_282633", 0.7210),
        ("OPEN_AI_ADA2_f96642", 0.7035),
    ],
)
def test_published_numbers_of_trec_dl_2019(
    collection: Callable[[str], Path], run: str, expected: float
) -> None:
    folder = collection("trec-dl-2019")
    rankings = read_run(folder / "runs" / f"{run}.trec").rankings
    scores = score(rankings, read_qrels(folder / "qrels" / "test_full.tsv"), ["nDCG@10"])
    assert round(scores.means["nDCG@10"], 4) == expected
    assert len(scores.per_query) == 43
    assert scores.warnings == ()


def test_trec_eval_itself_gives_the_same(collection: Callable[[str], Path]) -> None:
    """pytrec_eval asked directly, with the run's own scores, ties and all."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    folder = collection("trec-dl-2019")
    qrels = read_qrels(folder / "qrels" / "test_full.tsv")
    direct = {
        "nDCG@10": "ndcg_cut_10",
        "AP": "map",
        "P@5": "P_5",
        "R@20": "recall_20",
        "RR": "recip_rank",
        "Rprec": "Rprec",
        "Bpref": "bpref",
        "SetP": "set_P",
        "SetR": "set_recall",
        "SetF": "set_F",
    }
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(direct.values()))
    for path in sorted((folder / "runs").iterdir()):
        rankings = read_run(path).rankings
        scores = score(rankings, qrels, list(direct))
        expected = evaluator.evaluate(rankings)
        for query, values in scores.per_query.items():
            assert values == {name: near(expected[query][theirs]) for name, theirs in direct.items()}


def test_ranx_gives_the_same(collection: Callable[[str], Path]) -> None:
    pytest.importorskip("ranx")
    measures = ("nDCG@10", "AP", "P@5", "R@20", "RR", "RR@10", "Success@5", "SetP", "SetR", "Judged@10")
    folder = collection("trec-dl-2019")
    qrels = {query: dict(docs) for query, docs in read_qrels(folder / "qrels" / "test_full.tsv").items()}
    # A query without relevant documents, one without results, and negative grades.
    first, second, third = list(qrels)[:3]
    qrels[first] = dict.fromkeys(qrels[first], 0)
    qrels[second] = {id: -1 if grade == 0 else grade for id, grade in qrels[second].items()}
    for path in sorted((folder / "runs").iterdir())[:3]:
        rankings = {query: docs for query, docs in read_run(path).rankings.items() if query != third}
        ours = score(rankings, qrels, measures, provider="pytrec_eval")
        theirs = score(rankings, qrels, measures, provider="ranx")
        for query, values in ours.per_query.items():
            assert theirs.per_query[query] == {name: near(value) for name, value in values.items()}
        assert theirs.means == {name: near(value) for name, value in ours.means.items()}
        assert "ranx" in theirs.rules.provider
        assert "pytrec_eval" not in theirs.rules.provider


def dcg(grades: list[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


grades = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-2, 3), min_size=1)
ranking = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from([0.5, 1.0, 1.0 + 1e-9, 2.0, 3.5]), min_size=1
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from("1234"), grades, min_size=1),
    st.dictionaries(st.sampled_from("1234"), ranking),
)
def test_plain_python_gives_the_same(qrels: dict, rankings: dict) -> None:
    names = [
        "nDCG@3",
        "P@3",
        "R@3",
        "RR@3",
        "AP",
        "AP(rel=2)",
        "Judged@3",
        "SetF",
        "SetF(beta=2.0)",
        "Success@1",
    ]
    if rankings and not rankings.keys() & qrels.keys():
        with pytest.raises(InputError, match="none of the run's"):
            score(rankings, qrels, names)
        return
    scores = score(rankings, qrels, names)
    for query, judged in qrels.items():
        docs = rankings.get(query, {})
        order = sorted(docs, key=lambda id: (float(np.float32(docs[id])), id), reverse=True)
        gains = [max(judged.get(id, 0), 0) for id in order]
        relevant = [gain > 0 for gain in gains]
        total = sum(grade > 0 for grade in judged.values())
        ideal = dcg(sorted((max(grade, 0) for grade in judged.values()), reverse=True)[:3])

        def average_precision(
            level: int, gains: list[int] = gains, judged: Mapping[str, int] = judged
        ) -> float:
            hits = [gain >= level for gain in gains]
            wanted = sum(grade >= level for grade in judged.values())
            return sum(sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit) / max(wanted, 1)

        # trec_eval does not square beta.
        def f(beta: float, relevant: list[bool] = relevant, total: int = total) -> float:
            if not any(relevant):
                return 0.0
            precision, recall = sum(relevant) / len(relevant), sum(relevant) / total
            return (1 + beta) * precision * recall / (beta * precision + recall)

        assert scores.per_query[query] == {
            "nDCG@3": near(dcg(gains[:3]) / ideal if ideal else 0.0),
            "P@3": near(sum(relevant[:3]) / 3),
            "R@3": near(sum(relevant[:3]) / max(total, 1)),
            "RR@3": near(next((1 / rank for rank, hit in enumerate(relevant[:3], 1) if hit), 0.0)),
            "AP": near(average_precision(1)),
            "AP(rel=2)": near(average_precision(2)),
            "Judged@3": near(sum(id in judged for id in order[:3]) / len(order[:3]) if order else 0.0),
            "SetF": near(f(1)),
            "SetF(beta=2.0)": near(f(2)),
            "Success@1": near(float(any(relevant[:1]))),
        }
    for name in names:
        assert scores.means[name] == near(np.mean([values[name] for values in scores.per_query.values()]))


def test_ties_break_as_in_trec_eval_whoever_computes() -> None:
    # RR@k and Judged@k come from providers that would put "a" first; 1e-9 is less than float32 can tell.
    rankings = {"q": {"a": 1.0 + 1e-9, "b": 1.0}}
    scores = score(rankings, {"q": {"b": 1}}, ["RR", "RR@1", "P@1", "Judged@1"])
    assert set(scores.means.values()) == {1.0}


def test_grades_below_minus_one_are_as_minus_one() -> None:
    rankings = {str(n): {id: float(place) for place, id in enumerate("abcdef")} for n in range(50)}
    names = ["nDCG@3", "AP", "P@3", "Bpref", "SetF"]
    low, high = (
        score(rankings, {query: {"a": 1, "b": grade, "f": grade, "e": 2} for query in rankings}, names).means
        for grade in (-5, -1)
    )
    assert low == high


def test_queries_without_results_or_judgments_are_counted_and_said() -> None:
    scores = score(RUN, QRELS, ["RR", "Judged@2", "MRR"])
    assert scores.per_query == {
        "1": {"RR": 1.0, "Judged@2": 0.5, "MRR": 1.0},
        "2": {"RR": 0.0, "Judged@2": 0.0, "MRR": 0.0},
        "3": {"RR": 0.0, "Judged@2": 0.0, "MRR": 0.0},
    }
    assert scores.means["RR"] == near(1 / 3)
    assert scores.measures == ("RR", "Judged@2", "MRR")
    assert [text.split(",")[0] for text in scores.warnings] == [
        "1 query of the run without judgments left out",
        "2 queries of the judgments without results counted 0",
        "1 query of the judgments without a relevant document counted 0",
    ]
    assert score({}, QRELS, ["RR"]).means == {"RR": 0.0}
    assert any(
        "no document found is judged" in text for text in score({"2": {"zz": 1.0}}, QRELS, ["RR"]).warnings
    )


def test_self_hits_are_dropped_before_scoring_where_asked() -> None:
    qrels = {"q": {"d": 1}, "p": {"d": 1}}
    rankings = {"q": {"q": 2.0, "d": 1.0}, "p": {"p": 1.0}}
    kept = score(rankings, qrels, ["RR", "PR-AUC", "PR-AUC(pooled=True)"])
    dropped = score(rankings, qrels, ["RR", "PR-AUC", "PR-AUC(pooled=True)"], self_hits=True)
    assert (kept.per_query["q"]["RR"], dropped.per_query["q"]["RR"]) == (0.5, 1.0)
    assert dropped.means == {"RR": 0.5, "PR-AUC": 0.5, "PR-AUC(pooled=True)": 0.5}
    assert "2 queries had their own document among the results, which was dropped" in dropped.warnings[-1]
    assert kept.rules != dropped.rules


def test_the_order_of_queries_and_documents_changes_no_bit(collection: Callable[[str], Path]) -> None:
    folder = collection("trec-dl-2019")
    qrels = read_qrels(folder / "qrels" / "test_full.tsv")
    rankings = read_run(folder / "runs" / "REP_LLAMA_d18257.trec").rankings
    shuffle = random.Random(2).sample
    other = {
        query: dict(shuffle(list(rankings[query].items()), len(rankings[query])))
        for query in shuffle(list(rankings), len(rankings))
    }
    names = ["nDCG@10", "AP", "RR@10", "PR-AUC", "PR-AUC(pooled=True)"]
    one, two = score(rankings, qrels, names), score(other, dict(reversed(qrels.items())), names)
    assert one.means == two.means
    assert one.per_query == two.per_query


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("123"), grades, min_size=1),
    st.dictionaries(st.sampled_from("123"), ranking),
)
def test_pr_auc_is_the_area_over_all_thresholds(qrels: dict, rankings: dict) -> None:
    if not rankings.keys() & qrels.keys():
        return

    def area(scored: list[tuple[float, bool]], total: int) -> float:
        sum_, before = 0.0, 0.0
        for threshold in sorted({value for value, _ in scored}, reverse=True):
            found = [hit for value, hit in scored if value >= threshold]
            recall = sum(found) / total if total else 0.0
            sum_ += (recall - before) * sum(found) / len(found)
            before = recall
        return sum_

    def answers(query: str) -> list[tuple[float, bool]]:
        return [(value, qrels[query].get(id, 0) > 0) for id, value in rankings.get(query, {}).items()]

    totals = {query: sum(grade > 0 for grade in docs.values()) for query, docs in qrels.items()}
    scores = score(rankings, qrels, ["PR-AUC", "PR-AUC(pooled=True)"])
    for query in qrels:
        assert scores.per_query[query] == {"PR-AUC": near(area(answers(query), totals[query]))}
    pooled = area([one for query in qrels for one in answers(query)], sum(totals.values()))
    assert scores.means["PR-AUC(pooled=True)"] == near(pooled)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDGC@10", "known are nDCG"),
        ("NumRet", "is not known"),
        ("P", "a parameter is missing"),
        ("P@0", "a rank, a whole number of at least 1"),
        ("nDCG@1.5", "a rank"),
        ("IPrec@1.5", "a recall between 0 and 1"),
        ("AP(rel=x)", "cannot be read"),
        ("AP(2)", "cannot be read"),
        ("AP(level=2)", "its parameters are"),
        ("AP(rel='a')", "invalid param"),
        ("PR-AUC@10", "takes no cut-off"),
        ("nDCG@10 R@5", "not the form of a measure"),
        ("", "not the form of a measure"),
    ],
)
def test_unknown_measures(name: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        score(RUN, QRELS, [name])
    assert message in str(raised.value)


def test_the_rules_say_that_trec_eval_does_not_square_beta() -> None:
    assert "beta" not in score(RUN, QRELS, ["SetF"]).rules.gains
    assert "does not square beta" in score(RUN, QRELS, ["SetF(beta=0.5)"]).rules.gains


def test_lists_of_names() -> None:
    asked = "nDCG@10, R@100 nDCG(dcg='log2', gains={1: 3})@5\tPR-AUC(pooled=True)"
    assert split_measures(asked) == (
        "nDCG@10",
        "R@100",
        "nDCG(dcg='log2', gains={1: 3})@5",
        "PR-AUC(pooled=True)",
    )
    gains = score({"1": {"a": 1.0}}, QRELS, ["nDCG(gains={1: 3})@5"])
    assert gains.per_query["1"] == {"nDCG(gains={1: 3})@5": near(3 / dcg([3, 2]))}


def test_whole_numbers_of_other_types_are_grades() -> None:
    plain = score(RUN, {"1": {"a": 2, "b": -1}}).means
    for kind in (float, np.int64, np.float32, Decimal):
        assert score(RUN, {"1": {"a": kind(2), "b": kind(-1)}}).means == plain


def test_what_cannot_be_scored() -> None:
    for arguments, error, message in (
        ((RUN, {}), InputError, "no judgments"),
        ((RUN, {"1": {}}), InputError, "no judgments"),
        (({"9": {"a": 1.0}}, QRELS), InputError, "none of the run's 1 queries is judged"),
        (({"1": {"a": math.nan}}, QRELS), InputError, "query '1' has document 'a' with the score nan"),
        (({"1": {"a": 1.0}}, {"1": {"a": 10**9}}), InputError, "grades lie between"),
        ((RUN, {"1": {"a": 0.5}}), InputError, "document 'a' has the grade 0.5 for query '1'"),
        ((RUN, {"1": {"a": "high"}}), InputError, "grade 'high'"),
        ((RUN, {"1": {"a": math.nan}}), InputError, "grade nan"),
        ((RUN, {"1": {"a": None}}), InputError, "grade None"),
        ((RUN, QRELS, []), UsageError, "no measure is named"),
        ((RUN, QRELS, "nDCG@10"), UsageError, "a sequence of names"),
    ):
        with pytest.raises(error, match=message):
            score(*arguments)
    with pytest.raises(UsageError, match="one of pytrec_eval, ranx"):
        score(RUN, QRELS, provider="trec")
    with pytest.raises(UsageError, match=r"pytrec_eval does not compute .*; ranx does"):
        score(RUN, QRELS, ["nDCG(dcg='exp-log2')@10"], provider="pytrec_eval")


def test_absent_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ir_measures

    monkeypatch.setattr(ir_measures.pytrec_eval, "is_available", lambda: False)
    # What ir_measures brings itself needs neither.
    assert score(RUN, QRELS, ["RR@10", "Judged@10"]).means["RR@10"] == near(1 / 3)
    with pytest.raises(MissingPackageError, match=r"Bpref needs the package 'pytrec_eval-terrier'"):
        score(RUN, QRELS, ["Bpref"])
    monkeypatch.setattr(ir_measures.ranx, "is_available", lambda: False)
    with pytest.raises(MissingPackageError, match=r"leanseek\[eval\]"):
        score(RUN, QRELS, ["nDCG@10"])
    monkeypatch.setitem(__import__("sys").modules, "ir_measures", None)
    with pytest.raises(MissingPackageError, match="ir_measures"):
        score(RUN, QRELS, ["nDCG@10"])
