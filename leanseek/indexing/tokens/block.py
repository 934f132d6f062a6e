"""Blocks of passages' token vectors: codes of 4 or 8 bits an element, written once and memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError
from leanseek.files import draft_folder
from leanseek.indexing.arrays import ArrayAppender, offsets_of, open_array
from leanseek.indexing.integrity import read_sealed, record_files, storage_errors, write_sealed
from leanseek.indexing.quantisation import Bits, quantise
from leanseek.indexing.tokens.form import TokenForm, TokenSettings
from leanseek.types import Float32Array, Int64Array

FILE: Final = "block.json"
KEY_BYTES: Final = 16
WHOLE_BITS: Final[Bits] = 8
Keys = NDArray[np.bytes_]
"""(n,) of dtype S16."""

_DTYPES: Final[dict[str, type[np.generic]]] = {
    "keys": np.uint8,
    "counts": np.int32,
    "lengths": np.int32,
    "codes": np.uint8,
    "lows": np.float16,
    "steps": np.float16,
    "text_codes": np.uint8,
    "text_lows": np.float16,
    "text_steps": np.float16,
}


class Codes(NamedTuple):
    """n vectors as low + step * code: `codes` (n, `code_width`) uint8, `lows` and `steps` (n,) float16."""

    codes: NDArray[np.uint8]
    lows: NDArray[np.float16]
    steps: NDArray[np.float16]

    def take(self, rows: slice | Int64Array) -> Codes:
        """Those of some of the vectors."""
        return Codes(self.codes[rows], self.lows[rows], self.steps[rows])


def code_width(dims: int, bits: Bits) -> int:
    """Bytes of the codes of a vector of `dims` elements, without its low and step."""
    return -(-dims * bits // 8)


def encode(vectors: Float32Array, bits: Bits) -> Codes:
    """Vectors (n, d) in the codes of `quantise`, and off by what float16 rounds off low and step besides."""
    if bits == 4 and vectors.shape[1] % 2:
        # Two codes make a byte; an element that is there already widens no vector's range.
        vectors = np.concatenate([vectors, vectors[:, :1]], axis=1)
    found = quantise(vectors, bits)
    return Codes(found.codes, found.lows.astype(np.float16), found.steps.astype(np.float16))


def decode(codes: Codes, dims: int, bits: Bits) -> Float32Array:
    """(n, dims) the vectors that the codes stand for."""
    levels = codes.codes
    if bits == 4:
        half = levels.shape[1]
        vectors = np.empty((len(levels), 2 * half), dtype=np.float32)
        vectors[:, :half] = levels & 15
        vectors[:, half:] = levels >> 4
    else:
        vectors = levels.astype(np.float32)
    vectors *= codes.steps.astype(np.float32)[:, np.newaxis]
    vectors += codes.lows.astype(np.float32)[:, np.newaxis]
    return vectors[:, :dims]


def keys_of(contents: Sequence[str]) -> Keys:
    """(n,) the keys of passages: digests of their `leanseek.types.content`."""
    digests = (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        for text in contents
    )
    return np.fromiter(digests, dtype=f"S{KEY_BYTES}", count=len(contents))


class PassageCodes(NamedTuple):
    """One passage: its key, its `length` in tokens before any cut, its tokens' codes and its own, of one vector."""

    key: bytes
    length: int
    tokens: Codes
    text: Codes | None


class Decoded(NamedTuple):
    """Of n passages: an array (t, d) float32 of tokens each, and their own vectors (n, D) or None."""

    tokens: list[Float32Array]
    texts: Float32Array | None


def write_block(folder: Path, form: TokenForm, passages: Iterable[PassageCodes]) -> None:
    """Make the folder a block of the passages, which come in the order of their keys, each once.

    Raises StorageError where the disk refuses; the folder is then not there.
    """
    with storage_errors(folder.parent), draft_folder(folder) as draft:
        names = [name for name in _DTYPES if form.settings.whole or not name.startswith("text_")]
        files = {name: ArrayAppender(draft / f"{name}.npy", _DTYPES[name]) for name in names}
        count = 0
        try:
            for passage in passages:
                count += 1
                files["keys"].append(np.frombuffer(passage.key.ljust(KEY_BYTES, b"\0"), dtype=np.uint8))
                files["counts"].append(np.array([len(passage.tokens.lows)]))
                files["lengths"].append(np.array([passage.length]))
                for part, codes in (("", passage.tokens), ("text_", passage.text)):
                    if codes is not None:
                        files[f"{part}codes"].append(codes.codes.reshape(-1))
                        files[f"{part}lows"].append(codes.lows)
                        files[f"{part}steps"].append(codes.steps)
        finally:
            for file in files.values():
                file.close()
        write_sealed(draft / FILE, {"form": form.digest, "passages": count}, record_files(draft))


class TokenBlock:
    """A block, opened for reading: its arrays are memory-mapped. Safe to use from several threads."""

    def __init__(self, folder: Path, settings: TokenSettings) -> None:
        """Raises IndexDamagedError where a file is not what belongs there, FileNotFoundError where one is missing."""
        self.folder = folder
        self._settings = settings
        n = int(read_sealed(folder / FILE)["passages"])
        flat_keys = open_array(folder / "keys.npy", np.uint8, (n * KEY_BYTES,))
        self.keys: Keys = flat_keys.view(f"S{KEY_BYTES}")
        """(n,), ascending."""
        self.lengths: NDArray[np.int32] = open_array(folder / "lengths.npy", np.int32, (n,))
        """(n,) tokens of the passages, before any cut."""
        counts = open_array(folder / "counts.npy", np.int32, (n,))
        if n and counts.min() < 0:
            raise IndexDamagedError(f"'{folder / 'counts.npy'}' has a number below 0")
        self._starts = offsets_of(counts)
        self._tokens = self._codes("", self.tokens, settings.dims, settings.bits)
        self._texts = self._codes("text_", n, settings.whole, WHOLE_BITS) if settings.whole else None

    @property
    def size(self) -> int:
        """n, the number of passages."""
        return len(self.keys)

    @property
    def tokens(self) -> int:
        """How many tokens all passages have together."""
        return int(self._starts[-1])

    @property
    def bytes(self) -> int:
        """What the block takes on the disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def find(self, keys: Keys) -> Int64Array:
        """(m,) the places of keys (m,) in the block; -1 for one that is not here."""
        places = np.searchsorted(self.keys, keys)
        inside = np.minimum(places, max(self.size - 1, 0))
        here = self.keys[inside] == keys if self.size else np.zeros(len(keys), dtype=np.bool_)
        return np.where(here, inside, -1)

    def read(self, places: Int64Array) -> Decoded:
        """The vectors of the passages at places (m,), m > 0, in that order."""
        settings = self._settings
        parts = [self._of(place) for place in places.tolist()]
        joined = Codes(*map(np.concatenate, zip(*parts, strict=True)))
        vectors = decode(joined, settings.dims, settings.bits)
        ends = np.cumsum([len(part.lows) for part in parts])
        texts = None
        if self._texts is not None:
            texts = decode(self._texts.take(places), settings.whole, WHOLE_BITS)
        return Decoded(np.split(vectors, ends[:-1]), texts)

    def passage(self, place: int) -> PassageCodes:
        """The passage at a place, as it is stored."""
        text = self._texts.take(slice(place, place + 1)) if self._texts is not None else None
        return PassageCodes(bytes(self.keys[place]), int(self.lengths[place]), self._of(place), text)

    def _of(self, place: int) -> Codes:
        return self._tokens.take(slice(int(self._starts[place]), int(self._starts[place + 1])))

    def _codes(self, part: str, count: int, dims: int, bits: Bits) -> Codes:
        width = code_width(dims, bits)
        return Codes(
            open_array(self.folder / f"{part}codes.npy", np.uint8, (count * width,)).reshape(count, width),
            open_array(self.folder / f"{part}lows.npy", np.float16, (count,)),
            open_array(self.folder / f"{part}steps.npy", np.float16, (count,)),
        )
