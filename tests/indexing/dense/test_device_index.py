"""Vectors on a device: torch's code for GPUs, run on the CPU, against NumPy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek.encode import device as names
from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing import LeanVecIndex
from leanseek.indexing import vectors as vectors_module
from leanseek.indexing.dense import device_index as device_module
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.dense.device_index import DeviceIndex, closest_on, kmeans_on, nearest_on, searched_on
from leanseek.indexing.dense.flat import FlatIndex
from leanseek.indexing.dense.lean import construction, lists

pytest.importorskip("torch")

SIZE, COPIED = 2500, 2400
"""Vectors from COPIED on are equal, which are more than the candidates to spare."""


@pytest.fixture(scope="module")
def vectors() -> Any:
    found = np.random.default_rng(0).standard_normal((SIZE, 24)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[COPIED:] = found[5]
    return found


@pytest.fixture(scope="module", params=["flat", "float32", "float16", "sq8"])
def index(request: pytest.FixtureRequest, vectors: Any) -> DenseIndex:
    if request.param != "flat":
        return LeanVecIndex.build(vectors, dims=8, secondary=request.param)
    flat = FlatIndex.empty(24)
    flat.add(vectors)
    return flat


@pytest.mark.parametrize("block", [700, 65_536])
def test_a_device_answers_exactly(
    index: DenseIndex, vectors: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "_BLOCK_ROWS", block)
    monkeypatch.setattr(device_module, "_BLOCK_QUERIES", 16)
    chance = np.random.default_rng(1)
    queries = np.concatenate([chance.standard_normal((20, 24)).astype(np.float32), vectors[5:6]])
    there = DeviceIndex(index, "cpu")
    exact = np.stack([index.score(query, np.arange(SIZE)) for query in queries])
    for allowed in (None, chance.random(SIZE) < 0.3, np.arange(SIZE) < 3, np.zeros(SIZE, np.bool_)):
        kept = exact if allowed is None else np.where(allowed, exact, -np.inf)
        order = np.argsort(-kept, axis=1, kind="stable")[:, :10]
        best = np.take_along_axis(kept, order, 1)
        scores, found = there.search(queries, 10, allowed)
        # The very scores of `score`, ties by ordinal however many: the last query is the vector with copies.
        assert np.array_equal(scores, best)
        assert np.array_equal(found, np.where(np.isfinite(best), order, -1))
        listed = there.search_listed(queries, 4, 10, allowed)
        assert np.array_equal(listed.listed, best)
        assert np.array_equal(listed.ordinals, found[:, :4])


def test_a_device_index_is_the_index_but_for_its_search(index: DenseIndex, tmp_path: Path) -> None:
    there = DeviceIndex(index, "cpu")
    assert (there.size, there.dimensions) == (SIZE, 24)
    some = np.array([3, 1, 2450])
    assert np.array_equal(there.vectors(some), index.vectors(some))
    assert np.array_equal(
        there.score(np.ones(24, np.float32), some), index.score(np.ones(24, np.float32), some)
    )
    there.save(tmp_path)
    assert any(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"\(1, 7\)"):
        there.search(np.zeros((1, 7), np.float32), 3)
    assert there.search(np.zeros((0, 24), np.float32), 3)[0].shape == (0, 3)


def test_the_cpu_is_no_device_to_copy_to(index: DenseIndex) -> None:
    assert searched_on(index, None) is index
    assert searched_on(index, "cpu") is index


def test_where_memory_runs_out_for_many_queries_fewer_are_searched(
    index: DenseIndex, vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    nearest, tried = device_module._Copy.nearest, []

    def little(copy: Any, queries: Any, *more: Any) -> Any:
        tried.append(len(queries))
        if len(queries) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return nearest(copy, queries, *more)

    wanted = DeviceIndex(index, "cpu").search(vectors[:11], 4)
    monkeypatch.setattr(device_module._Copy, "nearest", little)
    there = DeviceIndex(index, "cpu")
    for found, one in zip(there.search(vectors[:11], 4), wanted, strict=True):
        assert np.array_equal(found, one)
    assert tried == [11, 5, 2, 2, 2, 2, 2, 1]
    monkeypatch.setattr(device_module._Copy, "nearest", nearest)


def test_what_a_device_has_no_memory_for_is_built_on_the_cpu(
    vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(construction, "accelerated", lambda device: device == "cpu")
    wanted = LeanVecIndex.build(vectors, dims=8, kind="ivf", lists=9)
    monkeypatch.setattr(device_module, "torch_for", full)
    found = LeanVecIndex.build(vectors, dims=8, kind="ivf", lists=9, device="cpu")
    assert found.calibration == wanted.calibration
    for one, other in zip(found.search(vectors[:9], 4), wanted.search(vectors[:9], 4), strict=True):
        assert np.array_equal(one, other)


def test_where_memory_runs_out_the_size_is_reported(
    index: DenseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(device_module._Copy, "_sent", full)
    with pytest.raises(UsageError, match=r"memory of device 'cpu' does not suffice for 2,500 vectors"):
        DeviceIndex(index, "cpu").search(np.zeros((1, 24), np.float32), 3)


def test_nearest_and_closest_are_those_of_numpy(vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_BLOCK_ROWS", 300)
    monkeypatch.setattr(device_module, "_PRODUCTS", 4000)
    unlike = vectors[:COPIED]
    scores, found = nearest_on("cpu", vectors[:40], unlike, 7)
    wanted = np.argsort(-(vectors[:40] @ unlike.T), axis=1, kind="stable")[:, :7]
    assert np.array_equal(found, wanted)
    assert np.allclose(scores, np.take_along_axis(vectors[:40] @ unlike.T, wanted, 1), atol=1e-6)
    centroids = vectors[100:133]
    distances = np.square(vectors[:, None] - centroids).sum(axis=2)
    assert np.array_equal(closest_on("cpu", vectors, centroids), distances.argmin(axis=1))


def test_k_means_ends_where_centroids_are_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_PRODUCTS", 500)
    chance = np.random.default_rng(2)
    corners = 10 * np.eye(4, dtype=np.float32)
    points = np.repeat(corners, 50, axis=0) + chance.standard_normal((200, 4)).astype(np.float32)
    found = kmeans_on("cpu", points, 20, 30, 7)
    assert np.array_equal(found, kmeans_on("cpu", points, 20, 30, 7))
    members = closest_on("cpu", points, found)
    for number in np.unique(members):
        assert np.allclose(found[number], points[members == number].mean(axis=0), atol=1e-4)
    assert np.square(points - found[members]).sum(axis=1).mean() < 4.0  # a corner alone leaves the noise's 4


def test_an_index_built_there_keeps_its_recall(
    vectors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(construction, "accelerated", lambda device: device == "cpu")
    clusters = lists.cluster(vectors[:COPIED], 30, 0, "cpu")
    assert len(clusters.centroids) <= 40
    assert np.allclose(clusters.centroids[3], vectors[:COPIED][clusters.members == 3].mean(axis=0), atol=1e-6)
    compared = []
    monkeypatch.setattr(lists, "closest_on", lambda *given: compared.append(1) or closest_on(*given))
    monkeypatch.setattr(vectors_module, "BLOCK_ROWS", 1024)
    # As a stream, block by block, into files.
    folder = tmp_path / "index"
    index = LeanVecIndex.build(vectors, dims=16, kind="ivf", recall=0.95, lists=30, into=folder, device="cpu")
    assert len(compared) >= 3
    queries = np.random.default_rng(3).standard_normal((60, 24)).astype(np.float32)
    _, wanted = DeviceIndex(index, "cpu").search(queries, 10)
    _, found = index.search(queries, 10)
    shares = [len(set(one) & set(other)) / 10 for one, other in zip(found, wanted, strict=True)]
    assert np.mean(shares) > 0.85


def test_lean_vectors_take_a_device_in_the_place_of_an_effort(vectors: Any) -> None:
    index = LeanVecIndex.build(vectors[:300])
    scores, found = index.search(vectors[:20], 5, device="cpu")
    there = DeviceIndex(index, "cpu").search(vectors[:20], 5)
    assert np.array_equal(scores, there[0])
    assert np.array_equal(found, there[1])
    with pytest.raises(UsageError, match="neither effort nor threads"):
        index.search(vectors[:2], 5, threads=1, device="cpu")
    with pytest.raises(UsageError, match="'abacus' is not a device"):
        index.search(vectors[:2], 5, device="abacus")
    with pytest.raises(UsageError, match="'abacus' is not a device"):
        LeanVecIndex.build(vectors, device="abacus")


def test_without_torch_its_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    index = LeanVecIndex.build(np.eye(30, dtype=np.float32))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"leanseek\[encode\]"):
        index.search(np.eye(30, dtype=np.float32)[:2], 5, device="cpu")
    with pytest.raises(MissingPackageError, match=r"leanseek\[encode\]"):
        names.check_device("cuda")
