"""Batches that fit memory and time, the score cache, and calibrated probabilities."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rerank.cross_encoder_support import CountingModel, build_model, hits_of, texts

from leanseek.encode.batches import Deadline, out_of_memory
from leanseek.errors import ModelError, UsageError
from leanseek.rerank import Cascade
from leanseek.rerank.crossencoder import Calibration, CrossEncoderReranker, fit_calibration
from leanseek.rerank.score_cache import Pair, ScoreCache, ScoreCacheWarning, Scored

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (build_model(tmp_path_factory.mktemp("model")) / "tokenizer.json").read_text()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path))
    return tmp_path / "scores"


def test_pairs_of_all_queries_are_packed_with_little_padding(definition: str) -> None:
    model = CountingModel(definition, budget=256)
    queries = texts(20, 5, seed=1)
    CrossEncoderReranker(model, cache=False).judge(
        queries, [hits_of(texts(20, 40, seed)) for seed in range(20)]
    )
    read = sum(sum(batch) for batch in model.batches)
    padded = sum(max(batch) * len(batch) for batch in model.batches)
    assert read / padded > 0.97
    assert all(max(batch) * len(batch) <= 256 for batch in model.batches)


def test_copies_are_scored_once_and_get_equal_scores(definition: str) -> None:
    model = CountingModel(definition)
    hits = hits_of(["statin trial", "glucose", "statin trial", "glucose"])
    found = CrossEncoderReranker(model, cache=False).rerank("statin", hits)
    assert sum(map(len, model.batches)) == 2
    scores = {hit.id: hit.score for hit in found}
    assert scores["d001"] == scores["d003"] and scores["d002"] == scores["d004"]
    assert [hit.id for hit in found] in (["d001", "d003", "d002", "d004"], ["d002", "d004", "d001", "d003"])


def test_no_hits_one_hit_and_an_empty_passage(definition: str) -> None:
    reranker = CrossEncoderReranker(CountingModel(definition))
    assert reranker.rerank("q", []) == []
    assert reranker.rerank_batch([], []) == []
    assert len(reranker.rerank("q", hits_of([""]))) == 1
    assert reranker.rerank_batch(["q", "r"], [[], hits_of(["heart"])])[0].hits == []


def test_out_of_memory_halves_the_batch_and_is_told(definition: str) -> None:
    plenty, scarce = CountingModel(definition, budget=512), CountingModel(definition, budget=512, most=100)
    hits = hits_of(texts(40, 40))
    calm = CrossEncoderReranker(plenty, cache=False)
    pressed = CrossEncoderReranker(scarce, cache=False)
    assert pressed.rerank("statin", hits) == calm.rerank("statin", hits)
    assert calm.notes == () and "memory ran out" in pressed.notes[0]
    hopeless = CrossEncoderReranker(CountingModel(definition, most=10), cache=False)
    with pytest.raises(ModelError, match="a single pair"):
        hopeless.rerank("statin", hits)


def test_what_says_that_memory_ran_out() -> None:
    import torch

    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    for text in (
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376 AllocateRawInternal Available memory of 1234 is "
        "smaller than requested bytes of 5678",
    ):
        assert out_of_memory(RuntimeError(text))
    assert not out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"))
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert not out_of_memory(ValueError("x"))


def test_other_errors_and_infinite_scores_are_not_swallowed(definition: str) -> None:
    class Broken(CountingModel):
        def logits(self, pairs: object) -> np.ndarray:
            return np.array([np.nan], np.float32)

    with pytest.raises(ModelError, match="NaN"):
        CrossEncoderReranker(Broken(definition), cache=False).rerank("q", hits_of(["heart"]))


def test_a_deadline_gives_the_best_order_reached_in_time(definition: str) -> None:
    model = CountingModel(definition, budget=512)
    model.seconds_per_token = 0.001
    hits = hits_of(texts(60, 20))
    reranker = CrossEncoderReranker(model, cache=False)
    full = {hit.id: hit.score for hit in reranker.rerank("statin", hits)}
    model.clock, started = 0.0, model.clock
    [found] = reranker.rerank_batch(["statin"], [hits], deadline=Deadline(0.3, lambda: model.clock))
    assert 0 < found.reached < 60
    assert model.clock <= 0.3 + 1e-9 and started > 0.3
    # Whole tiers of eight are judged before the next; of the last, the longest first.
    judged = {hit.id for hit in found.hits[: found.reached]}
    whole = found.reached // 8 * 8
    assert {hit.id for hit in hits[:whole]} <= judged <= {hit.id for hit in hits[: whole + 8]}
    assert all(hit.score == full[hit.id] for hit in found.hits[: found.reached])
    assert [hit.id for hit in found.hits[found.reached :]] == [hit.id for hit in hits if hit.id not in judged]


def test_time_is_shared_by_all_queries_and_may_be_over_at_once(definition: str) -> None:
    model = CountingModel(definition, budget=512)
    model.seconds_per_token = 0.001
    lists = [hits_of(texts(30, 20, seed)) for seed in range(3)]
    reranker = CrossEncoderReranker(model, cache=False)
    found = reranker.rerank_batch(["a", "b", "c"], lists, deadline=Deadline(0.5, lambda: model.clock))
    reached = [one.reached for one in found]
    assert min(reached) > 0 and max(reached) - min(reached) <= 8 and sum(reached) < 90
    late = reranker.rerank_batch(["a"], lists[:1], deadline=Deadline(0.0, lambda: model.clock))
    assert late[0] == (lists[0], 0, 30)
    cascade = Cascade([(reranker, 20), (reranker, 5)])
    [both] = cascade.rerank_batch(["a"], lists[:1], deadline=Deadline(0.0, lambda: model.clock))
    assert both == (lists[0], 0, 25)


def test_progress_ends_with_all_pairs(definition: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    CrossEncoderReranker(CountingModel(definition), cache=False).rerank_batch(
        [f"query {i}" for i in range(70)],
        [hits_of(texts(5, 30, i)) for i in range(70)],
        progress=lambda *step: told.append(step),
    )
    assert told[-1] == ("re-ranking", 350, 350)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_scores_are_cached_by_query_passage_and_way(definition: str, own_cache: Path) -> None:
    hits = hits_of(texts(10, 90))
    first = CountingModel(definition)
    one = CrossEncoderReranker(first)
    found = one.rerank("statin", hits)
    assert len(list(own_cache.glob("*.sqlite"))) == 1
    second = CountingModel(definition)
    two = CrossEncoderReranker(second)
    assert two.rerank("statin", hits) == found
    assert second.batches == [] and two.report == one.report and two.notes == one.notes
    two.rerank("glucose", hits[:3])
    assert second.batches != []
    third = CountingModel(definition)
    CrossEncoderReranker(third, long="firstp").rerank("statin", hits)
    assert third.batches != []


def test_an_unfinished_passage_is_not_cached(definition: str) -> None:
    model = CountingModel(definition)
    model.seconds_per_token = 0.001
    hits = hits_of(texts(30, 300))
    reranker = CrossEncoderReranker(model)
    [found] = reranker.rerank_batch(["statin"], [hits], deadline=Deadline(0.6, lambda: model.clock))
    assert 0 < found.reached < 30
    exact = {hit.id: hit.score for hit in CrossEncoderReranker(model, cache=False).rerank("statin", hits)}
    assert {hit.id: hit.score for hit in reranker.rerank("statin", hits)} == exact


PAIRS = [Pair("q", f"passage {i}", "maxp") for i in range(30)]


def test_the_cache_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    cache = ScoreCache("f", tmp_path, most=10)
    for start in (0, 10, 20):
        cache.put(PAIRS[start : start + 10], [Scored(float(i), i, i) for i in range(start, start + 10)])
    assert cache.get(PAIRS[:20]) == [None] * 20
    assert cache.get(PAIRS[20:]) == [Scored(float(i), i, i) for i in range(20, 30)]
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (10,)


def test_keys_tell_query_and_passage_apart() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("a\0b", "c"), ("a", "b\0c")]
    keys = {Pair(*pair, "maxp").key for pair in pairs} | {Pair("a", "bc", "top2").key}
    assert len(keys) == 5


def test_a_damaged_cache_is_set_aside_and_an_unusable_one_ignored(tmp_path: Path) -> None:
    (tmp_path / "f.sqlite").write_bytes(b"this is no database" * 100)
    ends = r"is damaged; it was set aside as f\.damaged; scores are computed again$"
    with pytest.warns(ScoreCacheWarning, match=ends) as seen:
        cache = ScoreCache("f", tmp_path)
    assert [warning.filename for warning in seen] == [__file__]
    cache.put(PAIRS[:1], [Scored(1.0, 2, 2)])
    assert cache.get(PAIRS[:2]) == [Scored(1.0, 2, 2), None]
    (tmp_path / "file").write_text("")
    with pytest.warns(ScoreCacheWarning, match=r"cannot be used \(.*\); scores are computed again$"):
        cache = ScoreCache("f", tmp_path / "file")
    cache.put(PAIRS[:1], [Scored(1.0, 2, 2)])
    assert cache.get(PAIRS[:1]) == [None]


def test_a_calibration_gives_probabilities(definition: str, tmp_path: Path) -> None:
    known = Calibration(2.0, -1.0, 10)
    reranker = CrossEncoderReranker(CountingModel(definition), calibration=known, cache=False)
    for hit in reranker.rerank("statin", hits_of(texts(10, 20))):
        assert hit.probability == pytest.approx(1 / (1 + math.exp(-(2 * hit.score - 1))), abs=1e-12)
    known.write(tmp_path)
    assert Calibration.of(tmp_path) == known
    assert Calibration.of(tmp_path / "other") is None
    for wrong in ("{", '{"slope": 1}', '{"slope": NaN, "intercept": 0, "pairs": 1}'):
        (tmp_path / "calibration.json").write_text(wrong)
        with pytest.raises(ModelError, match="no calibration"):
            Calibration.of(tmp_path)


def test_far_scores_neither_overflow_nor_leave_the_unit_interval() -> None:
    found = Calibration(3.0, 0.5, 1).probabilities(np.array([-1e6, -40.0, 0.0, 40.0, 1e6, np.nan]))
    assert found[0] == 0.0 and found[4] == 1.0 and 0 < found[1] < 1e-9 and math.isnan(found[5])


def test_the_fit_is_that_of_an_independent_optimiser() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    draw = np.random.default_rng(3)
    scores = draw.normal(2.0, 4.0, 400)
    relevant = draw.random(400) < 1 / (1 + np.exp(-(0.7 * scores - 2.0)))
    positive, negative = relevant.sum(), (~relevant).sum()
    target = np.where(relevant, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(ab: np.ndarray) -> float:
        z = ab[0] * scores + ab[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    best = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    fitted = fit_calibration(scores, relevant)
    assert [fitted.slope, fitted.intercept] == pytest.approx(best.x, rel=1e-4)
    assert fitted.pairs == 400


def test_a_weight_is_so_many_pairs_alike() -> None:
    draw = np.random.default_rng(5)
    scores = draw.normal(0.0, 2.0, 60)
    relevant = draw.random(60) < 1 / (1 + np.exp(-scores))
    times = draw.integers(1, 5, 60)
    weighted = fit_calibration(scores, relevant, times.astype(float))
    repeated = fit_calibration(np.repeat(scores, times), np.repeat(relevant, times))
    assert [weighted.slope, weighted.intercept] == pytest.approx(
        [repeated.slope, repeated.intercept], rel=1e-5
    )
    for faulty in (times[:-1].astype(float), np.zeros(60)):
        with pytest.raises(UsageError, match="positive numbers"):
            fit_calibration(scores, relevant, faulty)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=2, max_size=30))
@example([(0.0, False), (4e-191, True)])
def test_a_fit_is_finite_whatever_the_labels(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = [score for score, _ in pairs], [label for _, label in pairs]
    if len(set(labels)) < 2:
        with pytest.raises(UsageError, match="relevant and irrelevant"):
            fit_calibration(scores, labels)
        return
    fitted = fit_calibration(scores, labels)
    assert math.isfinite(fitted.slope) and math.isfinite(fitted.intercept)


def test_a_fit_on_separated_classes_and_equal_scores() -> None:
    apart = fit_calibration([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    assert apart.slope > 0 and apart.probabilities(np.array([2.0]))[0] > 0.6
    equal = fit_calibration([5.0] * 4, [True, False, False, False])
    assert equal.probabilities(np.array([5.0]))[0] == pytest.approx((2 / 3 + 3 / 5) / 4, abs=1e-6)
    with pytest.raises(UsageError, match="one finite score"):
        fit_calibration([1.0, float("nan")], [True, False])


def test_a_deadline_is_not_spent_waiting_for_another_writer(
    definition: str, own_cache: Path, recwarn: pytest.WarningsRecorder
) -> None:
    model, hits = CountingModel(definition), hits_of(texts(10, 20))
    reranker = CrossEncoderReranker(model)
    [path] = own_cache.glob("*.sqlite")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    deadline = Deadline(0.2)
    [found] = reranker.rerank_batch(["statin"], [hits], deadline=deadline)
    assert found.reached == 10 and deadline.remaining() > -5.0
    other.execute("COMMIT")
    assert not recwarn.list
    # What could not be written then is written with what comes next.
    reranker.rerank("glucose", hits[:1])
    again = CountingModel(definition)
    CrossEncoderReranker(again).rerank("statin", hits)
    assert again.batches == []
