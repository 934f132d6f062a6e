"""The names of a segment's terms, in ascending order: each as what it has beyond the one before.

They are in blocks of 16, the first of which is whole, so that a name is found by looking at few. A name is a byte, of
which the upper half says how many bytes it shares with the name before, and the lower half how many follow; 15 of these
say that a varint (`leanseek.indexing.varints`) has what there is over 15.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import offsets_of
from leanseek.indexing.varints import pack
from leanseek.types import Int64Array

BLOCK: Final = 16
_MOST: Final = 15


class Names(Protocol):
    """Names in ascending order, numbered from 0."""

    def find(self, name: bytes) -> int:
        """The number of a name, or -1."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...


class PackedNames(NamedTuple):
    """The bytes (b,) of names, and how many of them each block has."""

    content: NDArray[np.uint8]
    block_sizes: Int64Array


def pack_names(names: Sequence[bytes]) -> PackedNames:
    """The bytes of names, which ascend."""
    whole = np.frombuffer(b"".join(names), np.uint8)
    sizes = np.fromiter(map(len, names), np.int64, len(names))
    starts = offsets_of(sizes)[:-1]
    shared = _shared(whole, starts, sizes)
    own = sizes - shared
    long = np.flatnonzero(own >= _MOST)
    rest = {number: pack(own[number : number + 1] - _MOST) for number in long.tolist()}
    heads = np.ones(len(names), np.int64)
    heads[long] += np.fromiter(map(len, rest.values()), np.int64, len(rest))
    ends = np.cumsum(heads + own)
    content = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    at = ends - own - heads
    content[at] = shared << 4 | np.minimum(own, _MOST)
    for number, more in rest.items():
        content[at[number] + 1 : at[number] + 1 + len(more)] = more
    # Where each byte of a name comes from, and where it goes.
    of_each = np.repeat(np.arange(len(names)), own)
    within = np.arange(len(of_each)) - np.repeat(np.cumsum(own) - own, own)
    content[(ends - own)[of_each] + within] = whole[(starts + shared)[of_each] + within]
    firsts = np.arange(0, len(names), BLOCK)
    return PackedNames(content, np.diff(np.append(at[firsts], len(content))))


def _shared(whole: NDArray[np.uint8], starts: Int64Array, sizes: Int64Array) -> Int64Array:
    """(n,) how many bytes each name shares with the one before, 15 at most; none at the start of a block."""
    shared = np.zeros(len(sizes), np.int64)
    alike = np.flatnonzero(np.arange(len(sizes)) % BLOCK)
    for depth in range(_MOST):
        alike = alike[(sizes[alike] > depth) & (sizes[alike - 1] > depth)]
        alike = alike[whole[starts[alike] + depth] == whole[starts[alike - 1] + depth]]
        shared[alike] += 1
    return shared


class BlockNames:
    """The Names of `pack_names`' bytes (b,), `block_sizes` (k,) of which are of each block.

    All of them raise ValueError where the bytes are damaged.
    """

    def __init__(self, content: NDArray[np.uint8], block_sizes: Int64Array, count: int) -> None:
        if len(block_sizes) != -(-count // BLOCK) or block_sizes.sum() != len(content):
            raise ValueError(f"{len(content)} bytes in {len(block_sizes)} blocks are not {count} names")
        self._content = content.data
        self._starts = offsets_of(block_sizes).data
        self._count = count

    def find(self, name: bytes) -> int:
        """The number of a name, or -1."""
        after = bisect_right(range(len(self._starts) - 1), name, key=self._first)
        if after:
            for number, found in enumerate(self._block(after - 1), (after - 1) * BLOCK):
                if found == name:
                    return number if number < self._count else -1
        return -1

    def __iter__(self) -> Iterator[bytes]:
        for block in range(len(self._starts) - 1):
            names = list(self._block(block))
            if len(names) != min(BLOCK, self._count - block * BLOCK):
                raise ValueError(f"block {block} of the names has {len(names)}")
            yield from names

    def _first(self, block: int) -> bytes:
        """The first name of a block."""
        at = self._starts[block]
        own = self._content[at] & 15
        if own < _MOST:
            return bytes(self._content[at + 1 : at + 1 + own])
        return next(self._block(block), b"")

    def _block(self, number: int) -> Iterator[bytes]:
        at, end = self._starts[number], self._starts[number + 1]
        content = self._content
        name = b""
        while at < end:
            shared, own = divmod(content[at], 16)
            at += 1
            if own == _MOST:
                bits = 0
                while True:
                    if at >= end:
                        return
                    own += (content[at] & 127) << bits
                    at += 1
                    if content[at - 1] < 128:
                        break
                    bits += 7
            name = name[:shared] + bytes(content[at : at + own])
            at += own
            yield name


class PlainNames:
    """The Names of bytes (b,) one after another, which end at `ends` (n + 1,): those of index formats up to 3."""

    def __init__(self, content: NDArray[np.uint8], ends: Int64Array) -> None:
        self._content = content.data
        self._ends = ends

    def find(self, name: bytes) -> int:
        """The number of a name, or -1."""
        low, high = 0, len(self._ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self._name(middle) < name:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._ends) - 1 and self._name(low) == name else -1

    def _name(self, number: int) -> bytes:
        return bytes(self._content[self._ends[number] : self._ends[number + 1]])

    def __iter__(self) -> Iterator[bytes]:
        return map(self._name, range(len(self._ends) - 1))
