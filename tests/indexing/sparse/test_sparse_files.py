"""What is written: merged equals rebuilt, orders and omissions, and damage that is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import IndexDamagedError
from leanseek.indexing import array_columns
from leanseek.indexing.arrays import read_arrays, write_array, write_arrays
from leanseek.indexing.sparse import (
    Bm25Index,
    Bm25Parameters,
    PostingsReader,
    SparseBuilder,
    merge_sparse,
)

passages = st.lists(
    st.lists(st.sampled_from(["a", "b", "ca", "é", "茶道"]), max_size=8).map(" ".join), max_size=12
)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def build(folder: Path, texts: list[str], order: list[int], simple: Any) -> PostingsReader:
    builder = SparseBuilder(simple)
    for text in texts:
        builder.add(text)
    folder.mkdir()
    builder.write(folder, np.array(order, np.int64))
    return PostingsReader(folder)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_merging_writes_what_building_would(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, simple: Any
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    segments = [data.draw(passages) for _ in range(data.draw(st.integers(1, 3)))]
    readers = [
        build(folder / f"{number}", texts, list(range(len(texts))), simple)
        for number, texts in enumerate(segments)
    ]
    every = [(s, o) for s, texts in enumerate(segments) for o in range(len(texts))]
    kept = [place for place in data.draw(st.permutations(every)) if data.draw(st.booleans())]
    (folder / "merged").mkdir()
    origin = np.array([s for s, _ in kept], np.int64)
    merge_sparse(readers, origin, np.array([o for _, o in kept], np.int64), folder / "merged")
    texts = [segments[s][o] for s, o in kept]
    build(folder / "built", texts, list(range(len(texts))), simple)
    assert written(folder / "merged") == written(folder / "built")


def test_merging_in_many_batches(
    many_texts: list[str], segment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = many_texts[:70_000]
    whole = written(segment(texts).folder)
    readers = [segment(texts[:30_000]), segment(texts[30_000:])]
    monkeypatch.setattr("leanseek.indexing.sparse.builder._BATCH", 50_000)
    origin = np.repeat([0, 1], [30_000, 40_000])
    ordinals = np.concatenate([np.arange(30_000), np.arange(40_000)])
    merge_sparse(readers, origin, ordinals, tmp_path)
    assert written(tmp_path) == whole
    assert written(segment(texts).folder) == whole


def test_postings_say_what_the_texts_say(many_texts: list[str], segment: Any) -> None:
    texts = ["", "b a b", *many_texts[:200], "c"]
    reader = segment(texts)
    counted: dict[str, dict[int, int]] = {}
    for ordinal, text in enumerate(texts):
        for word in text.split():
            of_word = counted.setdefault(word, {})
            of_word[ordinal] = of_word.get(ordinal, 0) + 1
    assert [name.decode() for name in reader.vocabulary()] == sorted(counted)
    for word, expected in counted.items():
        number = reader.find(word.encode())
        ordinals, frequencies = reader.postings(number, number + 1)
        assert dict(zip(ordinals.tolist(), frequencies.tolist(), strict=True)) == expected
        assert reader.frequency(number) == len(expected)
    assert reader.lengths.tolist() == [len(text.split()) for text in texts]
    assert reader.find(b"nowhere") == -1


def test_order_and_omission(tmp_path: Path, simple: Any) -> None:
    reader = build(tmp_path / "s", ["a b", "only here", "b c c"], [2, 0], simple)
    assert reader.lengths.tolist() == [3, 2]
    assert reader.vocabulary() == [b"a", b"b", b"c"]
    assert reader.postings(0, 3).ordinals.tolist() == [1, 0, 1, 0]
    assert reader.postings(0, 3).frequencies.tolist() == [1, 1, 1, 2]


def test_builder_counts_tokens(simple: Any) -> None:
    builder = SparseBuilder(simple)
    assert (builder.tokens, len(builder)) == (0, 0)
    builder.add("one two two")
    builder.add("")
    assert (builder.tokens, len(builder)) == (3, 2)


def test_files_are_plain_numpy(segment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_columns, "TOGETHER", 0)
    for path in segment(["a b", "b"]).folder.iterdir():
        array = np.load(path, allow_pickle=False)
        assert array.ndim == 1
    assert np.load(segment(["a b", "b"]).folder / "sparse.passage_lengths.npy").tolist() == [2, 1]


def test_few_postings_are_one_file_and_say_the_same(
    many_texts: list[str], segment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["b " * 300, *many_texts[:3000]]
    together = segment(texts)
    monkeypatch.setattr(array_columns, "TOGETHER", 10_000)  # reached in the middle of them
    monkeypatch.setattr("leanseek.indexing.sparse.builder._BATCH", 500)
    apart = segment(texts)
    assert [path.name for path in together.folder.iterdir()] == ["sparse.arrays"]
    found = read_arrays(together.folder / "sparse.arrays")
    assert {f"sparse.{name}.npy" for name in found} == {path.name for path in apart.folder.iterdir()}
    for name, values in found.items():
        array = np.load(apart.folder / f"sparse.{name}.npy")
        assert array.dtype == values.dtype and np.array_equal(array, values)
        assert values.ctypes.data % values.itemsize == 0


@pytest.fixture(params=["apart", "together"])
def folder(
    segment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A segment of its own for a test to spoil."""
    if request.param == "apart":
        monkeypatch.setattr(array_columns, "TOGETHER", 0)
    source = segment(["a b c", "b " * 300, "c d", "茶道 a"])
    shutil.copytree(source.folder, tmp_path / "spoilt")
    return tmp_path / "spoilt"


def test_truncated_files_are_damaged(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        sound = path.read_bytes()
        for length in (0, 5, 100, len(sound) - 1):
            path.write_bytes(sound[:length])
            with pytest.raises(IndexDamagedError, match=path.name):
                PostingsReader(folder)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            PostingsReader(folder)
        path.write_bytes(sound)
    PostingsReader(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("names", np.zeros(9, np.uint8)),
        ("name_blocks", np.array([1, 1, 1, 200], np.uint8)),
        ("name_blocks", np.array([], np.uint8)),
        ("runs", np.array([3, 3, 3, 3, 2], np.uint8)),
        ("runs", np.array([5, 5, 5, 3, 0x81, 0x80, 0x80, 0x80, 0x80, 1], np.uint8)),
        ("windows", np.array([0, 0, 9, 0, 0], np.uint8)),
        ("places", np.zeros(3, np.uint16)),
        ("frequencies", np.zeros(8, np.int32)),
        ("frequencies", np.zeros(8, np.uint8)),
        ("more", np.zeros(2, np.uint8)),
        ("more_counts", np.array([2], np.uint8)),
        ("more_counts", np.array([1, 0], np.uint8)),
        ("passage_lengths", np.zeros(4, np.int64)),
        ("large_at", np.array([1 << 40], np.int64)),
        ("large", np.array([1, 2], np.int32)),
    ],
)
def test_files_that_do_not_fit_are_damaged(folder: Path, name: str, values: np.ndarray) -> None:
    if (folder / "sparse.arrays").is_file():
        arrays = read_arrays(folder / "sparse.arrays")
        write_arrays(folder / "sparse.arrays", {**arrays, name: values.ravel()})
    else:
        write_array(folder / f"sparse.{name}.npy", values.ravel(), values.dtype.type)
    with pytest.raises(
        IndexDamagedError, match=rf"sparse\.({name}|names|places|more|frequencies|large|arrays)"
    ):
        PostingsReader(folder)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_do_no_more_than_give_wrong_scores(
    data: st.DataObject, segment: Any, simple: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans()):
            patch.setattr(array_columns, "TOGETHER", 0)
        source = segment(["a b c", "b " * 300, "c d a", "d e"]).folder
    for path in source.iterdir():
        shutil.copy(path, folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        index = Bm25Index([PostingsReader(folder)], [None], simple, Bm25Parameters(), lambda _: [])
    except IndexDamagedError:
        return
    found = index.search("a b c d e", 10)
    assert all(0 <= ordinal < index.size for ordinal in found.ordinals.tolist())
    index.score("a b c d e", np.arange(index.size))
