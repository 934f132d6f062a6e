from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean import Effort
from leanseek.indexing.dense.lean.lvq import LvqEngine, LvqLists
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.quantisation import quantise
from leanseek.indexing.settings import Primary

PRIMARIES = get_args(Primary)


def decoded(codes: np.ndarray, lows: np.ndarray, steps: np.ndarray, width: int) -> np.ndarray:
    """The vectors that codes stand for, one element at a time."""
    out = np.empty((len(codes), width))
    for row in range(len(codes)):
        for place in range(width):
            if codes.shape[1] == width:
                level = int(codes[row, place])
            elif place < width // 2:
                level = int(codes[row, place]) % 16
            else:
                level = int(codes[row, place - width // 2]) // 16
            out[row, place] = float(lows[row]) + float(steps[row]) * level
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 9), st.sampled_from([4, 8]))
def test_no_element_is_off_by_more_than_half_a_step(seed: int, count: int, half: int, bits: Any) -> None:
    chance = np.random.default_rng(seed)
    scale = 10.0 ** chance.integers(-3, 4)
    vectors = (chance.standard_normal((count, 2 * half)) * scale).astype(np.float32)
    vectors[chance.random(count) < 0.2] = 0.25
    codes, lows, steps = quantise(vectors, bits)
    assert codes.shape == (count, 2 * half * bits // 8)
    error = np.abs(decoded(codes, lows, steps, 2 * half) - vectors)
    spread = np.ptp(vectors, axis=1) / (2**bits - 1)
    assert (error <= 0.5001 * spread[:, None] + 1e-6 * np.abs(vectors).max()).all()


def test_eight_bits_lose_a_seventeenth_of_what_four_bits_lose() -> None:
    vectors = np.random.default_rng(0).standard_normal((400, 32)).astype(np.float32)
    errors = [np.abs(decoded(*quantise(vectors, bits), 32) - vectors).mean() for bits in (4, 8)]
    assert errors[0] / errors[1] == pytest.approx(17, rel=0.1)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("portable", [False, True])
def test_scores_are_inner_products_with_what_the_codes_stand_for(bits: Any, portable: bool) -> None:
    chance = np.random.default_rng(1)
    reduced = (chance.standard_normal((900, 16)) + 3 * chance.standard_normal(16)).astype(np.float32)
    lists = LvqLists.build(reduced, np.eye(16, dtype=np.float32), 12, bits, 0)
    engine = LvqEngine(lists, Rows.encode(reduced, "float32"), portable=portable)
    query = chance.standard_normal(16).astype(np.float32)
    differences = decoded(lists.codes, lists.lows, lists.steps, 16)
    assert np.allclose(engine.score(query, np.arange(900)), differences @ query, atol=1e-4)
    whole = differences + np.repeat(lists.centroids, np.diff(lists.starts), axis=0)
    assert np.abs(whole - reduced[lists.ordinals]).max() < (0.4 if bits == 4 else 0.03)


@pytest.fixture(scope="module", params=PRIMARIES)
def primary(request: pytest.FixtureRequest) -> Any:
    return request.param


def recall(found: np.ndarray, scores: np.ndarray, k: int) -> float:
    """Of what a search found, the share that scores as well as the true k-th; scores (m, n) are exact."""
    least = np.sort(scores, axis=1)[:, -k] - 1e-5
    return float((np.take_along_axis(scores, found, axis=1) >= least[:, None]).mean())


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_recall_on_a_real_collection_is_what_was_calibrated_with_and_without_filters(
    primary: Primary, kind: Any, scifact: Any, tmp_path: Path
) -> None:
    learning, test = scifact.queries[:800], scifact.queries[800:1000]
    index = LeanVecIndex.build(scifact.vectors, learning, kind=kind, primary=primary, recall=0.9)
    exact = test @ scifact.vectors.T
    assert index.primary == primary
    assert index.calibration.points[0].recall >= 0.9
    scores, found = index.search(test, 10)
    assert recall(found, exact, 10) > 0.87
    for share in (0.5, 0.05, 0.005):
        allowed = np.random.default_rng(3).random(index.size) < share
        _, matches = index.search(test, 10, allowed)
        assert allowed[matches].all()
        assert recall(matches, np.where(allowed, exact, -np.inf), 10) > 0.87, share
    index.save(tmp_path)
    again = LeanVecIndex.open(tmp_path)
    assert again.primary == primary and again.bytes == index.bytes
    for one, other in zip((scores, found), again.search(test, 10), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("primary", ["pq4", "lvq8"])
def test_without_compiled_kernels_as_much_is_found(primary: Any, kind: Any, scifact: Any) -> None:
    index = LeanVecIndex.build(
        scifact.vectors, scifact.queries[:800], 64, kind, 0.9, primary=primary, portable=True
    )
    _, found = index.search(scifact.queries[800:], 10)
    assert recall(found, scifact.queries[800:] @ scifact.vectors.T, 10) > 0.87


def test_the_whole_depth_is_exact(primary: Primary, scifact: Any) -> None:
    vectors = scifact.vectors[:1500]
    index = LeanVecIndex.build(vectors, primary=primary, kind="ivf", dims=16, secondary="float32")
    _, found = index.search(scifact.queries[:30], 10, effort=Effort(1000, 1500))
    assert recall(found, scifact.queries[:30] @ vectors.T, 10) == 1.0


def test_more_bits_take_more_bytes(scifact: Any) -> None:
    vectors = scifact.vectors[:2000]
    sizes = {
        each: LeanVecIndex.build(vectors, dims=64, kind="flat", primary=each).bytes / 2000 - 96
        for each in PRIMARIES
    }
    assert sizes["pq4"] < sizes["lvq4"] < sizes["lvq8"]
    assert sizes["lvq8"] - sizes["lvq4"] == 32


def test_wrong_choices_and_damage_are_told(scifact: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pq4, lvq4"):
        LeanVecIndex.build(scifact.vectors, primary="pq5")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a graph holds sq8"):
        LeanVecIndex.build(scifact.vectors, kind="hnsw", primary="pq4")
    for primary, name in (("lvq8", "starts.npy"), ("sq8", "codes.faiss"), ("lvq4", "ordinals.npy")):
        folder = tmp_path / primary
        LeanVecIndex.build(scifact.vectors[:1200], dims=16, primary=primary).save(folder)  # type: ignore[arg-type]
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(IndexDamagedError):
            LeanVecIndex.open(folder)
        if name.endswith("npy"):
            (folder / name).write_bytes(whole)
            np.save(folder / name, np.load(folder / name)[::-1] + 1)
            with pytest.raises(IndexDamagedError, match="do not fit together"):
                LeanVecIndex.open(folder)
