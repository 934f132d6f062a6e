"""Indexes that are built from vectors read block by block, into files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import clustered_vectors

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.indexing import LeanVecIndex, vectors
from leanseek.indexing.arrays import ArrayAppender
from leanseek.indexing.dense.lean import lists, recall
from leanseek.indexing.dense.lean.lists import Cells
from leanseek.indexing.leanvec import dims
from leanseek.types import Float32Array, Int64Array

WIDTH, BLOCK = 32, 700


@pytest.fixture(scope="module")
def data() -> Float32Array:
    return clustered_vectors(4_500, WIDTH, 1)


@pytest.fixture(scope="module")
def learning() -> Float32Array:
    return clustered_vectors(200, WIDTH, 2)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (vectors, lists):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK // 32 * 32)
    monkeypatch.setattr(dims, "_BLOCK_ROWS", BLOCK)


class Source:
    """Vectors that are handed out on request; `reads` are the numbers of rows asked for together."""

    def __init__(self, values: Float32Array, error: BaseException | None = None, after: int = 0) -> None:
        self.values, self.error, self.after = values, error, after
        self.shape: tuple[int, ...] = values.shape
        self.reads: list[int] = []

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int64Array, /) -> Float32Array:
        found = self.values[rows].copy()
        self.reads.append(len(found))
        if self.error is not None and len(self.reads) > self.after:
            raise self.error
        return found


def same_answers(one: LeanVecIndex, other: LeanVecIndex, asked: Float32Array) -> None:
    (scores, found), (other_scores, other_found) = one.search(asked, 10), other.search(asked, 10)
    assert np.array_equal(scores, other_scores) and np.array_equal(found, other_found)


def contents(folder: Path) -> dict[str, object]:
    """Arrays as dtype, shape and values, since a header may be written in two ways; other files as they are."""

    def content(path: Path) -> object:
        if path.suffix != ".npy":
            return path.read_bytes()
        values = np.load(path)
        return values.dtype, values.shape, values.tobytes()

    return {path.name: content(path) for path in folder.iterdir()}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("secondary", ["sq8", "float16"])
def test_a_streamed_index_is_the_one_built_in_memory(
    secondary: str, data: Float32Array, learning: Float32Array, tmp_path: Path
) -> None:
    options = {"dims": 16, "secondary": secondary, "recall": 0.9}
    LeanVecIndex.build(data, learning, **options).save(tmp_path / "whole")  # type: ignore[arg-type]
    source = Source(data)
    streamed = LeanVecIndex.build(source, learning, into=tmp_path / "streamed", **options)  # type: ignore[arg-type]
    assert contents(tmp_path / "streamed") == contents(tmp_path / "whole")
    assert max(source.reads) <= BLOCK < len(data) / 6
    whole, asked = LeanVecIndex.open(tmp_path / "whole"), clustered_vectors(40, WIDTH, 3)
    same_answers(streamed, whole, asked)


@pytest.mark.usefixtures("small_blocks")
def test_a_memory_map_is_read_as_the_array_that_it_holds(learning: Float32Array, tmp_path: Path) -> None:
    half = clustered_vectors(2_000, WIDTH, 4).astype(np.float16)
    np.save(tmp_path / "vectors.npy", half)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    index = LeanVecIndex.build(mapped, learning, dims=16, recall=0.9, into=tmp_path / "index")
    assert not index._rows.data.flags.writeable and index.vectors(np.arange(3)).dtype == np.float32
    held = LeanVecIndex.build(half.astype(np.float32), learning, dims=16, recall=0.9)
    same_answers(index, held, clustered_vectors(40, WIDTH, 3))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("after", [3, 12, 25])
def test_what_interrupts_a_build_leaves_nothing(
    after: int, data: Float32Array, learning: Float32Array, tmp_path: Path
) -> None:
    source = Source(data, KeyboardInterrupt(), after)
    with pytest.raises(KeyboardInterrupt):
        LeanVecIndex.build(source, learning, dims=16, into=tmp_path / "index")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_blocks")
def test_bad_vectors_and_full_disks_leave_nothing(
    data: Float32Array, learning: Float32Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = data.copy()
    spoilt[4_400, 3] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        LeanVecIndex.build(Source(spoilt), learning, dims=16, into=tmp_path / "index")
    with pytest.raises(UsageError, match=r"shape \(4500,\)"):
        LeanVecIndex.build(data[:, 0], learning, into=tmp_path / "index")

    def full(self: ArrayAppender, values: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArrayAppender, "append", full)
    with pytest.raises(StorageError, match="No space left"):
        LeanVecIndex.build(Source(data), learning, dims=16, into=tmp_path / "index")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(data: Float32Array, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    source = Source(data)
    with pytest.raises(UsageError, match="is not empty"):
        LeanVecIndex.build(source, into=tmp_path)
    with pytest.raises(UsageError, match="is not empty"):
        LeanVecIndex.build(source, into=tmp_path / "mine.txt")
    assert contents(tmp_path) == {"mine.txt": b"kept"} and not source.reads


def nearest(points: Float32Array, centroids: Float32Array) -> Int64Array:
    apart = np.square(points[:, None].astype(np.float64) - centroids[None]).sum(axis=2)
    return np.asarray(apart.argmin(axis=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 8))
def test_with_few_groups_the_nearest_centroid_is_found(seed: int, count: int, groups: int) -> None:
    chance = np.random.default_rng(seed)
    centroids, coarse, points = (
        chance.standard_normal((rows, 5)).astype(np.float32) for rows in (count, groups, 50)
    )
    cells = Cells(centroids, coarse, np.sort(chance.integers(0, groups, count)))
    assert np.array_equal(cells.nearest(points), nearest(points, centroids))


def test_with_many_groups_it_is_almost_always(data: Float32Array) -> None:
    cells = Cells.learn(data, 400, 0)
    some = data[:400]
    assert len(cells.centroids) == pytest.approx(400, abs=20) and len(cells._coarse) == 20
    assert (cells.nearest(some) == nearest(some, cells.centroids)).mean() > 0.98


def test_the_queries_measured_with_grow_fewer_in_very_many_vectors() -> None:
    assert [recall.measured(size) for size in (0, 1_000_000, 2_000_000, 5_000_000, 10**8)] == [
        3_000,
        3_000,
        2_000,
        800,
        400,
    ]
