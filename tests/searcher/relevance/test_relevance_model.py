"""Relevance models: their features, that they keep the order of a list, and their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.encode.backends import int8_fingerprint
from leanseek.errors import RelevanceFileError, UsageError
from leanseek.indexing.settings import Background
from leanseek.searcher.relevance import (
    DenseEvidence,
    Evidence,
    RelevanceModel,
    SparseEvidence,
    load_relevance,
)
from leanseek.searcher.relevance.features import (
    LEAST_LENGTH,
    Usual,
    completed,
    dense_zscore,
    lexical_zscore,
    matched_share,
)
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import CLOSED, CLOSING, MARGIN, PACKAGED, Level, Provenance
from leanseek.searcher.relevance.query_map import MAPS, MapName, QueryMap
from leanseek.types import Float32Array, Float64Array

DIMENSIONS = 8
cosines = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60)


def random_curve(rng: np.random.Generator) -> ListCurve:
    """Weights of any size that the class allows."""
    lexical, matched, rank, lead, slope = np.abs(rng.normal(0, 1, 5)).tolist()
    return ListCurve(lexical, matched, rank, lead, slope, *rng.normal(0, 2, 2).tolist(), best=2.0)


def random_map(rng: np.random.Generator, kind: MapName) -> QueryMap:
    shapes = ((DIMENSIONS, 6), (6,), (6, 3), (3,))
    return QueryMap(kind, *(rng.normal(0, 1, shape).astype(np.float32) for shape in shapes))


def random_model(seed: int, kind: MapName | None = None) -> RelevanceModel:
    rng = np.random.default_rng(seed)
    dense = random_map(rng, kind) if kind else random_curve(rng)
    origin = Provenance(("toy:train",), ("0" * 64,), "all", 3, seed)
    level = Level(float(rng.uniform(-0.5, 0.5)), 400)
    thresholds = {"dense": 0.25, "hybrid": 0.125}
    return RelevanceModel("f" * 64, thresholds, origin, dense, random_curve(rng), Usual(0.05, 0.1), level)


def dense_evidence(scores: list[float], listed: list[float] | None = None, size: int = 500) -> Evidence:
    rng = np.random.default_rng(len(scores))
    best = np.sort(np.array(scores if listed is None else listed, np.float32))[::-1]
    query = rng.normal(0, 1, DIMENSIONS).astype(np.float32)
    return Evidence(DenseEvidence(query, np.array(scores, np.float32), best), None, size)


def in_order(given_: Float32Array, probabilities: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Whether a higher score never has a lower probability, and equal scores have equal ones."""
    order = np.argsort(given_, kind="stable")
    rises = np.diff(probabilities[order])
    equal = np.diff(given_[order]) == 0
    return bool((rises >= 0).all() and (rises[equal] == 0).all())


@settings(deadline=None)
@given(cosines, st.integers(0, 30), st.sampled_from([None, *MAPS]))
def test_a_dense_list_keeps_its_order(scores: list[float], seed: int, kind: MapName | None) -> None:
    evidence = dense_evidence(scores)
    found = random_model(seed, kind).probabilities(evidence)
    assert found.shape == (len(scores),)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    assert in_order(evidence.dense.cosines, found)


@settings(deadline=None)
@given(cosines, cosines)
def test_the_packaged_model_keeps_the_order_of_candidates_from_anywhere(
    scores: list[float], listed: list[float]
) -> None:
    evidence = dense_evidence(scores, listed)
    assert in_order(evidence.dense.cosines, load_relevance().probabilities(evidence))


@settings(deadline=None)
@given(cosines, st.integers(0, 30), st.data())
def test_both_sides_raise_a_hybrid_probability(scores: list[float], seed: int, data: st.DataObject) -> None:
    by_terms = data.draw(
        st.lists(st.floats(0, 40, width=32), min_size=len(scores), max_size=len(scores)), label="bm25"
    )
    listed = np.sort(np.array(by_terms, np.float32))[::-1]
    evidence = dense_evidence(scores)._replace(
        sparse=SparseEvidence(np.array(by_terms, np.float32), listed, np.array([3.0, 0.0], np.float32))
    )
    for model in (random_model(seed), load_relevance()):
        found = model.probabilities(evidence)
        for one in range(len(scores)):
            worse = (evidence.dense.cosines <= evidence.dense.cosines[one]) & (
                np.array(by_terms, np.float32) <= np.float32(by_terms[one])
            )
            assert (found[worse] <= found[one] + 1e-12).all()


@settings(deadline=None)
@given(cosines, st.integers(0, 10))
def test_in_a_dense_list_no_candidate_depends_on_the_others(scores: list[float], seed: int) -> None:
    model, evidence = random_model(seed), dense_evidence(scores)
    whole = model.probabilities(evidence)
    for place in range(len(scores)):
        alone = evidence._replace(dense=evidence.dense._replace(cosines=evidence.dense.cosines[[place]]))
        assert model.probabilities(alone)[0] == pytest.approx(whole[place], rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(cosines, st.integers(0, 30))
def test_a_curve_is_its_formula(scores: list[float], seed: int) -> None:
    curve = random_curve(np.random.default_rng(seed))
    strengths = np.sort(np.array(scores, np.float64))[::-1]
    found = curve.logits(strengths, strengths)
    third = strengths[min(2, len(strengths) - 1)]
    for place, strength in enumerate(strengths):
        rank = min(1 + sum(other > strength for other in strengths), 30)
        standing = strength - curve.rank * np.log(rank) + curve.lead * max(strength - third, 0.0)
        assert found[place] == pytest.approx(curve.slope * standing + curve.offset)


@pytest.mark.parametrize("weight", ["lexical", "matched", "rank", "lead", "slope"])
def test_no_weight_may_be_negative_or_no_number(weight: str) -> None:
    curve = random_curve(np.random.default_rng(0))
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=weight):
            replace(curve, **{weight: value})


def test_a_field_whose_best_hits_stand_out_less_has_more_relevant_documents() -> None:
    curve = load_relevance().hybrid
    assert curve.breadth < 0
    assert curve.shift(curve.best) == 0
    assert curve.shift(0.5 * curve.best) > 0 > curve.shift(2 * curve.best)
    dense = load_relevance().shifted("dense", 1.5)
    evidence = dense_evidence([0.6, 0.5, 0.1])
    before, after = (log_odds(model.probabilities(evidence)) for model in (load_relevance(), dense))
    assert after - before == pytest.approx(np.full(3, 1.5))
    assert dense.hybrid == load_relevance().hybrid


def log_odds(chances: Float64Array) -> Float64Array:
    found: Float64Array = np.log(chances / (1 - chances))
    return found


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_list_below_the_level_is_lowered_as_a_whole_in_both_modes(mode: str) -> None:
    # 400 cosines: the first .4, the tenth and the mean near .2.
    listed = np.sort(np.append(np.linspace(0.3, 0.1, 399), 0.4))[::-1].astype(np.float32)
    level = float(listed[0] + listed[9] + listed.mean()) / 3
    evidence = dense_evidence(listed[:3].tolist(), listed.tolist(), 400)
    if mode == "hybrid":
        scores = np.array([3.0, 2.0, 1.0], np.float32)
        evidence = evidence._replace(sparse=SparseEvidence(scores, scores, np.array([4.0, 6.0], np.float32)))

    def chances(value: float, passages: int = 400) -> Float64Array:
        return replace(load_relevance(), level=Level(value, passages)).probabilities(evidence)

    opened = log_odds(chances(level - 0.1))
    np.testing.assert_allclose(opened, log_odds(chances(level)), atol=1e-4)
    taken = opened - log_odds(chances(level + 0.02))
    np.testing.assert_allclose(taken, np.full(3, 0.02 * CLOSING), atol=1e-3)
    far = opened - log_odds(chances(level + 0.5))
    np.testing.assert_allclose(far, np.full(3, CLOSED), atol=1e-2)
    # What a filter leaves need not be close.
    np.testing.assert_array_equal(chances(level + 0.5, 1000), chances(level))


def test_an_index_brings_its_background() -> None:
    found = load_relevance().at(Background(200, 5000, 0.4, 0.05, 0.1))
    assert found.level == Level(0.4 - MARGIN, 5000)
    assert found.usual == Usual(0.05, 0.1)
    assert load_relevance().at(None).level == load_relevance().level


@pytest.mark.parametrize("scores", [[0.5] * 30, [0.0], [-0.3, -0.4], [0.2, 0.2, 0.1]])
def test_odd_lists_are_judged(scores: list[float]) -> None:
    found = load_relevance().probabilities(dense_evidence(scores, size=len(scores)))
    assert np.isfinite(found).all()


def test_no_candidates_no_probabilities() -> None:
    assert load_relevance().probabilities(dense_evidence([], [0.5])).shape == (0,)


def test_a_short_list_is_completed_by_usual_cosines() -> None:
    usual = Usual(0.1, 0.05)
    listed = np.array([0.9, 0.1], np.float32)
    whole = completed(listed, usual)
    assert len(whole) == LEAST_LENGTH
    assert (np.diff(whole) <= 0).all()
    assert set(listed.tolist()) <= set(whole.tolist())
    added = np.setdiff1d(whole, listed)
    assert float(added.mean()) == pytest.approx(usual.mean, abs=0.002)
    assert float(added.std()) == pytest.approx(usual.spread, rel=0.03)
    long = np.linspace(1, 0, LEAST_LENGTH, dtype=np.float32)
    assert completed(long, usual) is long


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_the_best_of_a_few_is_probable_only_where_it_is_close(size: int) -> None:
    model = load_relevance()
    usual = np.random.default_rng(size).normal(0.02, 0.08, size)
    for best, least, most in ((0.75, 0.5, 1.0), (0.2, 0.0, 0.15)):
        listed = [best, *np.minimum(usual[1:], 0.15).tolist()]
        [chance] = model.probabilities(dense_evidence(listed, size=size))[:1]
        assert least < chance < most


def test_a_query_without_known_terms_is_judged() -> None:
    nothing = SparseEvidence(np.zeros(2, np.float32), np.zeros(0, np.float32), np.zeros(1, np.float32))
    found = load_relevance().probabilities(dense_evidence([0.5, 0.4])._replace(sparse=nothing))
    assert np.isfinite(found).all()
    assert found[0] >= found[1]


def test_a_lexical_hit_is_judged_by_its_terms() -> None:
    listed = np.linspace(20, 1, 50, dtype=np.float32)
    dense = [0.6, *np.linspace(0.4, 0.2, 49).tolist(), 0.1, 0.1]
    by_terms = np.concatenate([listed, [20.0, 0.0]]).astype(np.float32)
    sparse = SparseEvidence(by_terms, listed, np.array([5.0, 6.0, 7.0], np.float32))
    found = load_relevance().probabilities(dense_evidence(dense, dense[:50])._replace(sparse=sparse))
    assert found[-2] > found[-1]


def test_scores_against_their_definitions() -> None:
    rng = np.random.default_rng(4)
    listed = np.sort(rng.normal(0.3, 0.1, 400))[::-1].astype(np.float32)
    scores = np.array([listed[0], listed[7], 0.11, -0.2], np.float32)
    best = listed.astype(np.float64)
    z, z_listed = dense_zscore(scores, listed)
    np.testing.assert_allclose(z, (scores.astype(np.float64) - best.mean()) / best.std())
    np.testing.assert_allclose(z_listed, (best - best.mean()) / best.std())
    # Three passages share a term, 397 more count as 0.
    by_terms = np.array([9.0, 5.0, 1.0], np.float32)
    padded = np.concatenate([by_terms, np.zeros(397)]).astype(np.float64)
    found = lexical_zscore(np.array([5.0, 0.0], np.float32), by_terms, 400)
    np.testing.assert_allclose(found, (np.array([5.0, 0.0]) - padded.mean()) / padded.std())
    np.testing.assert_allclose(matched_share(by_terms, np.array([6.0, 4.0], np.float32)), by_terms / 10)


@pytest.mark.parametrize("kind", [None, *MAPS])
def test_a_file_gives_back_the_model(tmp_path: Path, kind: MapName | None) -> None:
    model = random_model(7, kind)
    model.save(tmp_path / "one.safetensors")
    model.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    found = RelevanceModel.load(tmp_path / "one.safetensors")
    assert (found.fingerprint, found.thresholds, found.provenance) == (
        model.fingerprint,
        model.thresholds,
        model.provenance,
    )
    evidence = dense_evidence([0.9, 0.3, 0.4])
    np.testing.assert_array_equal(found.probabilities(evidence), model.probabilities(evidence))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.safetensors", "two.safetensors"]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_file_is_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    content = bytearray(PACKAGED.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1), label="length")]
    else:
        # White space that pads the header carries nothing.
        places = [place for place, byte in enumerate(content) if byte != ord(" ")]
        content[data.draw(st.sampled_from(places), label="place")] ^= data.draw(
            st.integers(1, 255), label="change"
        )
    path.write_bytes(content)
    with pytest.raises(RelevanceFileError, match="model"):
        RelevanceModel.load(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RelevanceFileError, match="no such file"):
        load_relevance(tmp_path / "absent.safetensors")
    with pytest.raises(RelevanceFileError, match="cannot be read"):
        load_relevance(tmp_path)
    (tmp_path / "text").write_text("not a model")
    with pytest.raises(RelevanceFileError, match="no relevance model"):
        load_relevance(tmp_path / "text")
    with pytest.raises(UsageError, match="default"):
        load_relevance("")


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    content = safetensors.save(
        {"x": np.zeros(1, np.float32)}, {"leanseek-relevance": json.dumps({"format": 3})}
    )
    (tmp_path / "newer").write_bytes(content)
    with pytest.raises(RelevanceFileError, match=r"newer version.*pip install"):
        load_relevance(tmp_path / "newer")


def test_a_former_format_asks_for_training(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    content = safetensors.save(
        {"x": np.zeros(1, np.float32)}, {"leanseek-relevance": json.dumps({"format": 1})}
    )
    (tmp_path / "former").write_bytes(content)
    with pytest.raises(RelevanceFileError, match=r"earlier version.*leanseek train relevance"):
        load_relevance(tmp_path / "former")


def test_a_model_with_falling_weights_is_refused(tmp_path: Path) -> None:
    model = random_model(1)
    object.__setattr__(model.dense, "slope", -1.0)
    model.save(tmp_path / "falling")
    with pytest.raises(RelevanceFileError, match="negative"):
        load_relevance(tmp_path / "falling")


def test_a_model_for_another_encoder_is_refused(tmp_path: Path) -> None:
    random_model(2).save(tmp_path / "other")
    for same in ("f" * 64, int8_fingerprint("f" * 64)):
        assert load_relevance(tmp_path / "other", same).threshold("hybrid") == 0.125
    with pytest.raises(RelevanceFileError, match=f"{'f' * 12}.*{'e' * 12}"):
        load_relevance(tmp_path / "other", "e" * 64)
    with pytest.raises(RelevanceFileError, match="packaged"):
        load_relevance("default", "e" * 64)


def test_the_packaged_model_is_small_and_tells_where_it_comes_from() -> None:
    assert PACKAGED.stat().st_size < 1_000_000
    model = load_relevance()
    assert len(model.fingerprint) == 64
    assert 0 < model.threshold("dense") < 0.5
    assert 0 < model.threshold("hybrid") < 0.5
    assert len(model.provenance.checksums) == len(model.provenance.trained_on)
