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
from leanseek.searcher.relevance import (
    DenseEvidence,
    Evidence,
    RelevanceModel,
    SparseEvidence,
    load_relevance,
)
from leanseek.searcher.relevance.features import (
    DENSE_CANDIDATE,
    DENSE_LIST,
    LEAST_LENGTH,
    SPARSE_CANDIDATE,
    SPARSE_LIST,
    background,
    completed,
    dense_features,
    sparse_features,
    tail,
)
from leanseek.searcher.relevance.model import HYBRID_CANDIDATE, HYBRID_LIST, PACKAGED, Provenance
from leanseek.searcher.relevance.network import MAPS, MapName, MonotoneNetwork, QueryMap
from leanseek.types import Float32Array, Float64Array

DIMENSIONS = 8
cosines = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60)


def random_network(rng: np.random.Generator, candidate: int, whole: int, hidden: int = 5) -> MonotoneNetwork:
    """Weights of any size that the class allows."""

    def normal(*shape: int) -> Float32Array:
        return rng.normal(0, 2, shape).astype(np.float32)

    return MonotoneNetwork(
        centre=normal(whole),
        scale=np.abs(normal(whole)) + np.float32(0.1),
        direct=np.abs(normal(candidate)),
        candidate_hidden=np.abs(normal(candidate, hidden)),
        list_hidden=normal(whole, hidden),
        hidden_bias=normal(hidden),
        output=np.abs(normal(hidden)),
        bias=normal(1),
        gate=normal(whole),
        gate_pairs=normal(whole, whole),
        gate_bias=normal(1),
        depth=np.abs(normal(1)),
    )


def random_map(rng: np.random.Generator, kind: MapName) -> QueryMap:
    shapes = ((DIMENSIONS, 6), (6,), (6, 3), (3,))
    return QueryMap(kind, *(rng.normal(0, 1, shape).astype(np.float32) for shape in shapes))


def random_model(seed: int, kind: MapName | None = None) -> RelevanceModel:
    rng = np.random.default_rng(seed)
    dense = random_map(rng, kind) if kind else random_network(rng, len(DENSE_CANDIDATE), len(DENSE_LIST))
    hybrid = random_network(rng, HYBRID_CANDIDATE, HYBRID_LIST)
    origin = Provenance(("toy:train",), ("0" * 64,), "all", 3, seed)
    return RelevanceModel("f" * 64, {"dense": 0.25, "hybrid": 0.125}, origin, dense, hybrid)


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
def test_what_is_told_of_one_candidate_does_not_depend_on_the_others(scores: list[float], seed: int) -> None:
    model, evidence = random_model(seed), dense_evidence(scores)
    whole = model.probabilities(evidence)
    for place in range(len(scores)):
        alone = evidence._replace(dense=evidence.dense._replace(cosines=evidence.dense.cosines[[place]]))
        assert model.probabilities(alone)[0] == pytest.approx(whole[place], rel=1e-9, abs=1e-12)


def test_rounding_does_not_change_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def wavering(_network: MonotoneNetwork, candidates: Float64Array, _whole: Float64Array) -> Float64Array:
        return 1e-9 * (-1.0) ** np.arange(len(candidates))

    monkeypatch.setattr(MonotoneNetwork, "logits", wavering)
    found = load_relevance().probabilities(dense_evidence([0.1, 0.2, 0.3, 0.4, 0.4]))
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_closed_gate_lowers_the_whole_list_in_both_modes(mode: str) -> None:
    model = random_model(3)
    assert isinstance(model.dense, MonotoneNetwork)
    evidence = dense_evidence([0.6, 0.5, 0.1])
    if mode == "hybrid":
        ones = np.ones(3, np.float32)
        evidence = evidence._replace(sparse=SparseEvidence(ones, ones, ones))

    def log_odds(bias: float) -> Float64Array:
        gate = np.zeros_like(model.dense.gate)
        dense = replace(
            model.dense,
            gate=gate,
            gate_pairs=np.outer(gate, gate),
            gate_bias=np.array([bias], np.float32),
            depth=np.array([3.0], np.float32),
            # So small that the probabilities are not rounded to 1.
            direct=model.dense.direct / 100,
        )
        hybrid = replace(model.hybrid, direct=model.hybrid.direct / 100, depth=np.zeros(1, np.float32))
        chances = replace(model, dense=dense, hybrid=hybrid).probabilities(evidence)
        return np.log(chances / (1 - chances))

    assert log_odds(50.0) - log_odds(-50.0) == pytest.approx(np.full(3, 3.0))


@pytest.mark.parametrize("scores", [[0.5] * 30, [0.0], [-0.3, -0.4], [0.2, 0.2, 0.1]])
def test_odd_lists_are_judged(scores: list[float]) -> None:
    found = load_relevance().probabilities(dense_evidence(scores, size=len(scores)))
    assert np.isfinite(found).all()


def test_no_candidates_no_probabilities() -> None:
    assert load_relevance().probabilities(dense_evidence([], [0.5])).shape == (0,)


def test_a_short_list_is_completed_by_usual_cosines() -> None:
    model = load_relevance()
    assert isinstance(model.dense, MonotoneNetwork)
    centre = model.dense.centre
    mean = dict(zip(DENSE_LIST, centre.tolist(), strict=True))
    # Of a corpus drawn from the background the hundredth and the last cosine are those of the mean list.
    usual = background(centre)
    assert usual is not None
    drawn = np.random.default_rng(0).normal(usual.mean, usual.stdev, round(np.exp(mean["log size"])))
    best = np.sort(drawn)[::-1]
    assert best[99] == pytest.approx(mean["hundredth"], abs=0.02)
    assert best[round(np.exp(mean["log length"])) - 1] == pytest.approx(mean["last"], abs=0.02)

    listed = np.array([0.9, 0.1], np.float32)
    whole = completed(listed, centre)
    assert len(whole) == LEAST_LENGTH
    assert (np.diff(whole) <= 0).all()
    assert set(listed.tolist()) <= set(whole.tolist())
    long = np.linspace(1, 0, LEAST_LENGTH, dtype=np.float32)
    assert completed(long, centre) is long
    # What learned from lists as short as that knows them as they are.
    assert completed(listed, np.zeros_like(centre)) is listed


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


def test_features_against_their_definitions() -> None:
    rng = np.random.default_rng(4)
    listed = np.sort(rng.normal(0.3, 0.1, 400))[::-1].astype(np.float32)
    scores = np.array([listed[0], listed[7], 0.11, -0.2], np.float32)
    candidates, whole = dense_features(scores, listed, 5000)
    assert candidates.shape == (4, len(DENSE_CANDIDATE))
    assert whole.shape == (len(DENSE_LIST),)
    told = dict(zip(DENSE_CANDIDATE, candidates.T, strict=True))
    best = listed.astype(np.float64)
    np.testing.assert_allclose(told["z score"], (scores.astype(np.float64) - best.mean()) / best.std())
    np.testing.assert_allclose(told["share of top"], scores / best[0], rtol=1e-6)
    higher = [int((listed > score).sum()) for score in scores]
    np.testing.assert_allclose(told["rank"], [-np.log(1 + count) for count in higher])
    # numpy.polyfit is the same least-squares line.
    slope, offset = np.polyfit(best[4:50], np.log(np.arange(5, 51)), 1)
    np.testing.assert_allclose(
        told["chance ranks 5-50"], np.maximum(-(slope * scores + offset), -10), rtol=1e-5
    )
    of_list = dict(zip(DENSE_LIST, whole, strict=True))
    assert of_list["log size"] == pytest.approx(np.log(5000))
    assert of_list["tenth"] == best[9]
    assert of_list["entropy"] == pytest.approx(entropy(best[:100] / 0.05))


def entropy(heights: np.ndarray) -> float:  # type: ignore[type-arg]
    scipy = pytest.importorskip("scipy.stats")
    shares = np.exp(heights - heights.max())
    return float(scipy.entropy(shares / shares.sum()))


def test_an_exponential_tail_is_found() -> None:
    ranks = np.arange(1, 301)
    # Scores whose expected rank is exp(5 - 20 score).
    scores = (5 - np.log(ranks)) / 20
    offset, slope = tail(scores, 10, 100)
    assert slope == pytest.approx(20)
    assert offset == pytest.approx(5)


@given(cosines, st.lists(st.floats(0, 50, width=32), min_size=1, max_size=40))
def test_every_candidate_feature_rises_with_its_score(scores: list[float], by_terms: list[float]) -> None:
    given_ = np.sort(np.array(scores, np.float32))
    listed = np.sort(np.random.default_rng(0).normal(0, 0.3, 80).astype(np.float32))[::-1]
    candidates, _ = dense_features(given_, listed, 80)
    assert (np.diff(candidates, axis=0) >= 0).all()
    found = np.sort(np.array(by_terms, np.float32))
    sparse = SparseEvidence(found, found[::-1], np.array([1.0], np.float32))
    candidates, whole = sparse_features(sparse)
    assert (np.diff(candidates, axis=0) >= 0).all()
    assert candidates.shape[1] == len(SPARSE_CANDIDATE)
    assert whole.shape == (len(SPARSE_LIST),)


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
        {"x": np.zeros(1, np.float32)}, {"leanseek-relevance": json.dumps({"format": 2})}
    )
    (tmp_path / "newer").write_bytes(content)
    with pytest.raises(RelevanceFileError, match=r"newer version.*pip install"):
        load_relevance(tmp_path / "newer")


def test_a_model_with_falling_weights_is_refused(tmp_path: Path) -> None:
    model = random_model(1)
    assert isinstance(model.dense, MonotoneNetwork)
    model.dense.direct[0] = -1.0
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
    assert not any("test" in name for name in model.provenance.trained_on)
    assert len(model.provenance.checksums) == len(model.provenance.trained_on)
