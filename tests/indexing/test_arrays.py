from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek.errors import IndexDamagedError
from leanseek.indexing.arrays import ArrayAppender, open_array, write_array

ARRAYS = (
    np.arange(7, dtype=np.int64),
    np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    np.arange(6, dtype=np.float16).reshape(3, 2),
    np.zeros((0, 5), np.uint8),
    np.zeros(0, np.int32),
)


@pytest.mark.parametrize("values", ARRAYS, ids=lambda values: f"{values.dtype}{values.shape}")
def test_arrays_of_any_shape_come_back_mapped_and_read_only(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    write_array(path, values)
    for shape in (values.shape, (None,) * values.ndim):
        found = open_array(path, values.dtype, shape)
        assert found.dtype == values.dtype and found.shape == values.shape
        assert np.array_equal(found, values)
        assert not values.size or not found.flags.writeable
    assert np.array_equal(np.load(path, allow_pickle=False), values)


def test_an_array_can_be_written_piece_by_piece(tmp_path: Path) -> None:
    with ArrayAppender(tmp_path / "pieces.npy", np.int32) as pieces:
        for start in (0, 5, 9):
            pieces.append(np.arange(start, start + 3))
        assert len(pieces) == 9
    found = open_array(tmp_path / "pieces.npy", np.int32)
    assert found.tolist() == np.load(tmp_path / "pieces.npy").tolist() == [0, 1, 2, 5, 6, 7, 9, 10, 11]


def test_values_are_converted_and_laid_out_by_rows(tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(6, dtype=">i8").reshape(2, 3))
    write_array(tmp_path / "values.npy", values, np.int32)
    assert open_array(tmp_path / "values.npy", np.int32, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("values", ARRAYS, ids=lambda values: f"{values.dtype}{values.shape}")
def test_another_file_is_damage(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    write_array(path, values)
    other = np.uint16 if values.dtype != np.uint16 else np.int8
    longer = (*values.shape[:-1], values.shape[-1] + 1)
    for dtype, shape in ((other, values.shape), (values.dtype, longer), (values.dtype, (*values.shape, 1))):
        with pytest.raises(IndexDamagedError, match=r"values\.npy.*leanseek verify"):
            open_array(path, dtype, shape)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", whole[:100], b"", b"x" + whole[1:], bytes(128) + whole[128:]):
        path.write_bytes(damaged)
        with pytest.raises(IndexDamagedError, match=r"values\.npy"):
            open_array(path, values.dtype, values.shape)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        open_array(path, values.dtype, values.shape)


def test_objects_and_columns_first_are_damage(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "columns.npy", np.asfortranarray(np.ones((2, 3), np.float32)))
    with pytest.raises(IndexDamagedError):
        open_array(tmp_path / "objects.npy", object, (2,))
    with pytest.raises(IndexDamagedError):
        open_array(tmp_path / "columns.npy", np.float32, (2, 3))
