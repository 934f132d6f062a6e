"""Intervals and tests: SciPy and ranx as references, exact small cases, properties."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leanseek.errors import InputError, UsageError
from leanseek.eval.comparison import Comparison, compare
from leanseek.eval.significance import bootstrap, effect_size, holm, paired_t, randomisation
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run
from leanseek.types import Qrels, Run

scipy_stats = pytest.importorskip("scipy.stats")

RUNS = ("BM25__BM25_5bcc39", "BM25_RM3_2ffea3", "SPLADE_P_P_ENSEMBLE_DISTIL_f5a6c6", "D_BERT_KD_TASB_282633")


def sample(count: int, columns: int = 1, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).beta(0.6, 0.9, size=(count, columns))


@pytest.fixture(scope="module")
def dl19(collection: Callable[[str], Path]) -> tuple[list[Run], Qrels]:
    folder = collection("trec-dl-2019")
    runs = [read_run(folder / "runs" / f"{name}.trec") for name in RUNS]
    return runs, read_qrels(folder / "qrels" / "test_full.tsv")


def test_intervals_as_scipy_bootstraps_them() -> None:
    values = sample(80, 3)
    ours = bootstrap(values, seed=4, resamples=20_000)
    for column, interval in enumerate(ours):
        theirs = scipy_stats.bootstrap(
            (values[:, column],),
            np.mean,
            n_resamples=20_000,
            method="percentile",
            rng=np.random.default_rng(5),
        ).confidence_interval
        assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    # Columns are experiments: 400 of them, each with 60 queries whose values have the mean 0.4.
    values = np.random.default_rng(7).beta(0.6, 0.9, size=(60, 400))
    covered = np.mean([one.low <= 0.4 <= one.high for one in bootstrap(values, seed=1, resamples=2000)])
    assert 0.9 <= covered <= 0.98


def test_equal_seeds_equal_intervals_however_many_are_drawn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = sample(50, 2)
    before = bootstrap(values, seed=3), randomisation(values - 0.5, seed=3)
    assert bootstrap(values, seed=4) != before[0]
    monkeypatch.setattr("leanseek.eval.significance._CELLS", 7_000)
    assert bootstrap(values, seed=3) == before[0]
    assert randomisation(values - 0.5, seed=3) == before[1]


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.08])
def test_randomisation_as_scipy_does_it(shift: float) -> None:
    differences = sample(70) - sample(70, seed=2) + shift
    [ours] = randomisation(differences, seed=1, resamples=20_000)
    theirs = scipy_stats.permutation_test(
        (differences[:, 0],),
        np.sum,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(3),
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.015)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.2, 0.7]), min_size=2, max_size=8))
def test_small_samples_are_counted_out(differences: list[float]) -> None:
    observed = abs(sum(differences))
    swaps = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True))) >= observed - 1e-9
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    [p] = randomisation(np.array(differences)[:, np.newaxis], seed=0)
    assert p == pytest.approx(sum(swaps) / len(swaps))


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(-1, 1)))
def test_paired_t_as_scipy_does_it(differences: np.ndarray) -> None:
    p = paired_t(differences)
    assert p == paired_t(-differences)
    effect = effect_size(differences)
    if np.ptp(differences) <= 1e-12:
        assert (p, effect) == ((1.0, 0.0) if np.abs(differences).max() <= 1e-12 else (0.0, None))
    elif np.ptp(differences) > 1e-6:
        assert p == pytest.approx(scipy_stats.ttest_1samp(differences, 0).pvalue)
        t = effect * np.sqrt(len(differences))
        assert 2 * scipy_stats.t.sf(abs(t), len(differences) - 1) == pytest.approx(p, abs=1e-9)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_p(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= more <= 1 for p, more in zip(p_values, corrected, strict=True))
    assert min(corrected) == min(1.0, min(p_values) * len(p_values))
    for (p, more), (other, other_more) in itertools.combinations(zip(p_values, corrected, strict=True), 2):
        assert (p - other) * (more - other_more) >= 0


def random_runs(seed: int, queries: int = 12) -> tuple[list[Run], dict[str, dict[str, int]]]:
    draw = random.Random(seed)
    qrels = {f"q{n}": {id: draw.randint(0, 2) for id in "abcdef"} for n in range(queries)}
    runs = [
        Run(tag, {query: {id: draw.random() for id in "abcdef"} for query in qrels})
        for tag in ("x", "y", "z")
    ]
    return runs, qrels


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_order_of_queries_changes_nothing(seed: int) -> None:
    runs, qrels = random_runs(seed)
    order = random.Random(seed + 1).sample(sorted(qrels), len(qrels))
    moved = [replace(run, rankings={query: run.rankings[query] for query in order}) for run in runs]
    first = compare(runs, qrels, ["nDCG@3", "AP"], resamples=500)
    assert compare(moved, {query: qrels[query] for query in order}, ["nDCG@3", "AP"], resamples=500) == first


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_exchanging_two_runs_turns_the_signs(seed: int) -> None:
    runs, qrels = random_runs(seed)
    [one] = compare(runs[:2], qrels, ["nDCG@3"], resamples=500).contrasts
    [other] = compare(runs[1::-1], qrels, ["nDCG@3"], resamples=500).contrasts
    assert (one.difference, one.effect) == pytest.approx((-other.difference, -(other.effect or 0)))
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low))
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.t_test == pytest.approx(other.t_test)
    assert one.randomisation == other.randomisation


def test_equal_runs_do_not_differ() -> None:
    [run, *_], qrels = random_runs(3)
    [one] = compare([run, replace(run, tag="same")], qrels, ["nDCG@3"]).contrasts
    assert (one.difference, one.effect, one.t_test, one.randomisation) == (0.0, 0.0, 1.0, 1.0)
    assert (one.wins, one.ties, one.losses, one.changed) == (0, 12, 0, ())
    assert (one.interval.low, one.interval.high) == (0.0, 0.0)


@pytest.mark.slow
def test_ranx_compares_the_same(dl19: tuple[list[Run], Qrels]) -> None:
    ranx = pytest.importorskip("ranx")
    runs, qrels = dl19
    ours = compare(runs, qrels, ["nDCG@10"])
    theirs = ranx.compare(
        ranx.Qrels({query: dict(docs) for query, docs in qrels.items()}),
        [ranx.Run({query: dict(docs) for query, docs in run.rankings.items()}, name=run.tag) for run in runs],
        ["ndcg@10"],
        stat_test="student",
    )
    for mean in ours.means:
        assert mean.value == pytest.approx(theirs.results[mean.run]["ndcg@10"], abs=1e-9)
    for one in ours.contrasts:
        outcome = theirs.comparisons[[ours.baseline, one.run]]["ndcg@10"]
        assert one.t_test == pytest.approx(outcome["p_value"])
        table = theirs.win_tie_loss[(one.run, ours.baseline)]["ndcg@10"]
        assert (one.wins, one.ties, one.losses) == (table["W"], table["T"], table["L"])


def contrast(comparison: Comparison, run: str, measure: str) -> object:
    [found] = [one for one in comparison.contrasts if (one.run, one.measure) == (run, measure)]
    return found


def test_a_real_comparison(dl19: tuple[list[Run], Qrels]) -> None:
    runs, qrels = dl19
    texts = {query: f"text of {query}" for query in qrels}
    compared = compare(runs, qrels, ["nDCG@10", "R@100"], queries=texts, changed=3)
    assert (compared.baseline, compared.queries, len(compared.means), len(compared.contrasts)) == (
        RUNS[0],
        43,
        8,
        6,
    )
    assert [one.run for one in compared.contrasts] == [*RUNS[1:], *RUNS[1:]]
    assert round(compared.means[2].value, 4) == 0.7308
    feedback, splade = contrast(compared, RUNS[1], "nDCG@10"), contrast(compared, RUNS[2], "nDCG@10")
    assert feedback.interval.low < 0 < feedback.interval.high
    assert feedback.t_test > 0.05
    assert splade.interval.low > 0.1
    assert splade.t_test_holm < 0.001 and splade.randomisation_holm < 0.001
    assert splade.wins + splade.ties + splade.losses == 43
    assert [round(change.difference, 4) for change in splade.changed] == [0.8675, 0.81, 0.6576]
    assert splade.changed[0].text == "text of 962179"
    for kind in ("t_test", "randomisation"):
        raw = [getattr(one, kind) for one in compared.contrasts]
        assert [getattr(one, f"{kind}_holm") for one in compared.contrasts] == holm(raw)
    assert compare(runs, qrels, ["nDCG@10", "R@100"], queries=texts, changed=3) == compared


def test_how_much_was_judged_is_not_tested() -> None:
    runs, qrels = random_runs(2)
    alone = compare(runs, qrels, ["AP"])
    beside = compare(runs, qrels, ["AP", "Judged@3"])
    assert alone.contrasts == tuple(one for one in beside.contrasts if one.measure == "AP")
    assert alone.tested == beside.tested == len(runs) - 1
    for one in compare(runs, qrels, ["Judged@3"]).contrasts:
        assert (one.t_test, one.t_test_holm, one.randomisation, one.randomisation_holm) == (None,) * 4


def test_tolerance_makes_ties() -> None:
    qrels = {query: {"a": 1} for query in "pqr"}
    first = Run("first", {query: {"a": 1.0, "b": 0.5} for query in "pqr"})
    second = Run("second", {"p": {"b": 1.0, "a": 0.5}, "q": first.rankings["q"], "r": first.rankings["r"]})
    for tolerance, expected in ((1e-6, (0, 2, 1)), (0.49, (0, 2, 1)), (0.5, (0, 3, 0))):
        [one] = compare([first, second], qrels, ["RR"], tolerance=tolerance).contrasts
        assert (one.wins, one.ties, one.losses) == expected
        assert len(one.changed) == one.losses


def test_what_cannot_be_compared() -> None:
    runs, qrels = random_runs(1)

    def refused(error: type[Exception], message: str, runs: Sequence[Run] = runs, **options: object) -> None:
        with pytest.raises(error, match=message):
            compare(runs, options.pop("qrels", qrels), options.pop("measures", ["AP"]), **options)

    refused(UsageError, "1 run to compare", runs[:1])
    refused(UsageError, "two runs are named 'x'", [runs[0], runs[0]])
    refused(UsageError, "one number for a whole run", measures=["PR-AUC(pooled=True)"])
    refused(UsageError, "tolerance is -1", tolerance=-1)
    refused(UsageError, "changed is -1", changed=-1)
    refused(UsageError, "resamples is 5", resamples=5)
    refused(UsageError, "confidence is 95", confidence=95)
    refused(InputError, "^y: none of the run's 1 queries is judged", [runs[0], Run("y", {"odd": {"a": 1.0}})])
    refused(InputError, "at least two", qrels={"q1": qrels["q1"]})


def test_warnings_name_their_run() -> None:
    runs, qrels = random_runs(1)
    short = replace(runs[1], rankings={query: runs[1].rankings[query] for query in ("q1", "q2")})
    warnings = compare([runs[0], short], qrels, ["AP"]).warnings
    assert [text.split(",")[0] for text in warnings] == [
        "y: 10 queries of the judgments without results counted 0"
    ]
