"""Places, frequencies and names as the files have them: read back they are what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.indexing.sparse.frequencies import BLOCK, Frequencies, pack_frequencies
from leanseek.indexing.sparse.names import BlockNames, PlainNames, pack_names
from leanseek.indexing.sparse.places import LISTS, WINDOW, Places, pack_places


def runs(sizes: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    places = [np.sort(generator.choice(WINDOW, size, replace=False)) for size in sizes]
    starts = np.cumsum([0, *sizes])
    return np.concatenate([np.empty(0, np.int64), *places]).astype(np.uint16), starts


@given(
    sizes=st.lists(st.sampled_from([1, 2, LISTS - 1, LISTS, LISTS + 1, WINDOW]), max_size=6),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_places_of_any_runs_are_read_back(sizes: list[int], seed: int) -> None:
    places, starts = runs(sizes, seed)
    packed = Places(pack_places(places, starts[:-1]), starts)
    for first in range(len(sizes)):
        for last in range(first, len(sizes) + 1):
            assert np.array_equal(packed.read(first, last), places[starts[first] : starts[last]])


def test_long_runs_take_half() -> None:
    places, starts = runs([20_000], 1)
    assert len(pack_places(places, starts[:-1])) == 256 + 10_000


def test_damaged_places_are_noticed() -> None:
    places, starts = runs([LISTS], 1)
    words = pack_places(places, starts[:-1])
    with pytest.raises(ValueError, match="words"):
        Places(words[:-1], starts)
    for at, value in ((0, 1), (7, 9999), (255, LISTS + 1)):
        spoilt = words.copy()
        spoilt[at] = value
        with pytest.raises(ValueError, match="ascend"):
            Places(spoilt, starts).read(0, 1)


@given(st.lists(st.one_of(st.just(1), st.integers(1, 255)), max_size=3 * BLOCK), st.data())
@settings(max_examples=60, deadline=None)
def test_frequencies_are_read_back_from_anywhere(values: list[int], data: st.DataObject) -> None:
    frequencies = np.array(values, np.uint8)
    packed = Frequencies(*pack_frequencies(frequencies))
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(first, len(values)))
    assert packed.read(first, last).tolist() == values[first:last]
    assert len(packed.codes) == -(-len(values) // 4)


def test_damaged_frequencies_are_noticed() -> None:
    codes, more, counts = pack_frequencies(np.array([1, 9, 2, 7], np.uint8))
    with pytest.raises(ValueError, match="counted"):
        Frequencies(codes, more[:-1], counts)
    with pytest.raises(ValueError, match="missing"):
        Frequencies(codes | 3, more, counts).read(0, 4)


names = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.binary(min_size=13, max_size=18),
    st.sampled_from([b"a" * 14, b"a" * 15, b"a" * 16, b"a" * 17 + b"b", b"a" * 200, b"a" * 200 + b"c" * 300]),
)


@given(st.sets(names, max_size=70), names)
@settings(max_examples=100, deadline=None)
def test_names_are_read_back_and_found(given_names: set[bytes], other: bytes) -> None:
    vocabulary = sorted(given_names)
    packed = pack_names(vocabulary)
    plain = PlainNames(
        np.frombuffer(b"".join(vocabulary), np.uint8), np.cumsum([0, *map(len, vocabulary)]).astype(np.int64)
    )
    for found in (BlockNames(packed.content, packed.block_sizes, len(vocabulary)), plain):
        assert list(found) == vocabulary
        assert [found.find(name) for name in vocabulary] == list(range(len(vocabulary)))
        if other not in given_names:
            assert found.find(other) == -1


def test_damaged_names_are_noticed() -> None:
    packed = pack_names([f"{n:03}".encode() for n in range(40)])
    with pytest.raises(ValueError, match="names"):
        BlockNames(packed.content, packed.block_sizes, 60)
    content = packed.content.copy()
    content[0] = 0x0F
    with pytest.raises(ValueError, match="block 0"):
        list(BlockNames(content, packed.block_sizes, 40))
