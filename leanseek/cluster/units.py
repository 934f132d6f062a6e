"""Units: some thousand documents of one shard, encoded together, whichever machine does it.

A unit is named by its documents, and what was encoded of it by the encoder too. It is there whole or not at all, so
that work which was cut short goes on with the first unit that is missing, and comes to the same vectors: a unit's texts
are always encoded in the same batches.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from leanseek.cluster.storage import UNITS, Storage
from leanseek.cluster.transport import route
from leanseek.encode import Encoder
from leanseek.encode.base import Encoded
from leanseek.encode.corpus import encode_corpus, encoder_errors, make_encoding
from leanseek.encode.learned_vectors import LearnedEncoder, LearnedVector, LearnedVectors, encode_learned
from leanseek.errors import IndexDamagedError, InputError
from leanseek.indexing.intake import checked
from leanseek.indexing.segment_writer import chunking_of, passages_of
from leanseek.indexing.settings import IndexSettings
from leanseek.types import Document, Float32Array, Int32Array, Int64Array, content

UNIT_PASSAGES: Final = 20_000
UNIT_CHARACTERS: Final = 32_000_000
"""A unit is closed at either: some minutes of one core, which is what a machine that is lost costs."""
MOST_CHARACTERS: Final = 200_000_000
"""A document with more does not fit into a task."""
_WORD: Final = 6
"""Characters of a word with the space after it, for an estimate."""


class Unit(NamedTuple):
    """Documents of one shard; `name` is a digest of them."""

    name: str
    shard: int
    documents: int


def write_units(
    storage: Storage,
    documents: Iterable[Document],
    shards: int,
    settings: IndexSettings,
    left_out: dict[str, str],
) -> Iterator[Unit]:
    """Put the documents into the storage, in units, each given out as soon as it is there.

    `left_out` gets the metadata fields that cannot be stored, with the reason. Raises InputError, and whatever
    iterating over the documents raises.
    """
    waiting: list[list[str]] = [[] for _ in range(shards)]
    passages, characters = [0] * shards, [0] * shards
    stride = max((settings.chunk_words or 0) - settings.chunk_overlap, 1) * _WORD

    def closed(shard: int) -> Unit:
        text = "".join(waiting[shard]).encode()
        unit = Unit(hashlib.sha256(text).hexdigest()[:32], shard, len(waiting[shard]))
        if f"{unit.name}.documents" not in present:
            storage.write(f"{UNITS}/{unit.name}.documents", gzip.compress(text, 1, mtime=0))
        waiting[shard], passages[shard], characters[shard] = [], 0, 0
        return unit

    present = set(storage.names(UNITS))
    for place, given in enumerate(documents):
        document = checked(given, place, left_out)
        size = len(document.text) + len(document.title)
        if size > MOST_CHARACTERS:
            raise InputError(
                f"document {place + 1} of the input ({document.id!r}) has {size:,} characters; a task takes at most "
                f"{MOST_CHARACTERS:,}. Split the document"
            )
        shard = route(document.id, shards)
        more = 1 + (size // stride if settings.chunk_words else 0)
        if waiting[shard] and (
            passages[shard] + more > UNIT_PASSAGES or characters[shard] + size > UNIT_CHARACTERS
        ):
            yield closed(shard)
        values = [document.id, document.text, document.title, document.metadata]
        waiting[shard].append(json.dumps(values) + "\n")
        passages[shard] += more
        characters[shard] += size
    for shard in range(shards):
        if waiting[shard]:
            yield closed(shard)


def read_unit(storage: Storage, name: str) -> Iterator[Document]:
    """The documents of a unit. Raises IndexDamagedError."""
    try:
        text = gzip.decompress(storage.read(f"{UNITS}/{name}.documents"))
    except (FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        storage.remove(f"{UNITS}/{name}.documents")
        raise lost(storage, f"{name}.documents", error) from error
    if hashlib.sha256(text).hexdigest()[:32] != name:
        storage.remove(f"{UNITS}/{name}.documents")
        raise lost(storage, f"{name}.documents", "it differs from its checksum")
    for line in text.splitlines():
        yield Document(*json.loads(line))


def encoding_name(unit: str, settings: IndexSettings) -> str:
    """What the encoded texts of a unit are named by: its documents, how they are split, and by what encoded."""
    encoders = [one.fingerprint if one is not None else None for one in (settings.encoder, settings.learned)]
    how = [*encoders, settings.chunk_words, settings.chunk_overlap, settings.chunk_tokens]
    return f"{unit}-{hashlib.sha256(json.dumps(how).encode()).hexdigest()[:16]}"


def encode_unit(
    storage: Storage,
    unit: str,
    settings: IndexSettings,
    encoder: Encoder | None,
    learned: LearnedEncoder | None,
    tick: Callable[[float], None] = lambda _: None,
) -> int:
    """Encode a unit's texts, unless they are there; returns how many passages were encoded.

    `tick` is called with the share of them that is done.

    Raises ModelError where an encoder fails.
    """
    name = encoding_name(unit, settings)
    with suppress(FileNotFoundError):
        storage.read(f"{UNITS}/{name}.done")
        return 0
    encoding = make_encoding(encoder, (), cache=False) if encoder is not None else None
    chunking = chunking_of(settings, encoding)
    passages = [
        content(passage.title, passage.text)
        for document in read_unit(storage, unit)
        for passage in passages_of(document, chunking)
    ]
    texts = list(dict.fromkeys(passages))
    arrays: dict[str, Float32Array | Int32Array | Int64Array] = {}
    models = (encoder is not None) + (learned is not None)
    if encoder is not None:
        with encoder_errors(encoder):
            tokens: list[Int32Array] = []
            vectors, _ = encode_corpus(
                _Counting(encoder, tokens), texts, None, lambda done: tick(done / len(texts) / models)
            )
        arrays["vectors"] = vectors
        arrays["tokens"] = np.concatenate([np.zeros(0, np.int32), *tokens])
    if learned is not None:
        with encoder_errors(learned):
            rows, _ = encode_learned(
                learned, texts, None, lambda done: tick(1 - (1 - done / len(texts)) / models)
            )
        arrays |= {f"learned-{field}": value for field, value in rows._asdict().items()}
    sums = {}
    for part, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        sums[part] = zlib.crc32(file.getbuffer())
        storage.write(f"{UNITS}/{name}.{part}.npy", file.getvalue())
    marks = {"texts": [key_of(text).hex() for text in texts], "parts": sums}
    storage.write(f"{UNITS}/{name}.done", json.dumps(marks).encode())
    return len(passages)


class _Counting:
    """An encoder whose counts of tokens are kept, in the order of the texts."""

    def __init__(self, encoder: Encoder, tokens: list[Int32Array]) -> None:
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimensions, self.max_tokens = encoder.dimensions, encoder.max_tokens
        self.encode_queries = encoder.encode_queries
        self._encoder, self._tokens = encoder, tokens

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        encoded = self._encoder.encode_documents(texts)
        self._tokens.append(encoded.tokens)
        return encoded


class UnitVectors:
    """What was encoded of some units, looked up by text. Its files are read where they are needed."""

    def __init__(self, storage: Storage, units: Sequence[str], settings: IndexSettings) -> None:
        """Raises IndexDamagedError where a unit is not as it was written."""
        self._fetched = tempfile.TemporaryDirectory(prefix="leanseek-units-")
        keys: list[bytes] = []
        self._parts: list[dict[str, np.ndarray]] = []
        starts = [0]
        for unit in units:
            name = encoding_name(unit, settings)
            try:
                marks = json.loads(storage.read(f"{UNITS}/{name}.done"))
                mine = [bytes.fromhex(text) for text in marks["texts"]]
                self._parts.append(
                    {
                        part: self._open(storage, f"{name}.{part}.npy", crc)
                        for part, crc in marks["parts"].items()
                    }
                )
            except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
                storage.remove(f"{UNITS}/{name}.done")
                raise lost(storage, name, error) from error
            keys += mine
            starts.append(starts[-1] + len(mine))
        halves = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2)
        # Of a text that several units have, the first one's vectors count.
        order = np.lexsort((np.arange(len(halves)), halves[:, 1], halves[:, 0]))
        self._first = halves[order, 0].astype(np.uint64)
        self._second = halves[order, 1].astype(np.uint64)
        self._rows = order
        self._starts = np.array(starts, np.int64)

    def _open(self, storage: Storage, name: str, crc: int) -> np.ndarray:
        if storage.folder is not None:
            path = storage.folder / UNITS / name
        else:
            path = Path(self._fetched.name) / name
            storage.fetch(f"{UNITS}/{name}", path)
        with path.open("rb") as file:
            found = 0
            while block := file.read(1 << 22):
                found = zlib.crc32(block, found)
        if found != crc:
            raise ValueError(f"{name} differs from its checksum")
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def places(self, texts: Sequence[str]) -> list[tuple[int, int] | None]:
        """(unit, row) of each text; None for a text that no unit has."""
        found: list[tuple[int, int] | None] = []
        for text in texts:
            first, second = (int(half) for half in np.frombuffer(key_of(text), ">u8"))
            place = int(np.searchsorted(self._first, np.uint64(first)))
            while place < len(self._first) and int(self._first[place]) == first:
                if int(self._second[place]) == second:
                    row = int(self._rows[place])
                    unit = int(np.searchsorted(self._starts, row, side="right")) - 1
                    found.append((unit, row - int(self._starts[unit])))
                    break
                place += 1
            else:
                found.append(None)
        return found

    def part(self, unit: int, name: str) -> np.ndarray:
        """An array of a unit."""
        return self._parts[unit][name]

    def close(self) -> None:
        """Let the files go."""
        self._parts.clear()
        self._fetched.cleanup()


class UnitEncoder:
    """An encoder whose documents' vectors were computed before; the model is loaded for anything else."""

    def __init__(self, vectors: UnitVectors, settings: IndexSettings, load: Callable[[], Encoder]) -> None:
        recorded = settings.encoder
        assert recorded is not None, "the index has vectors"
        self.name, self.fingerprint = recorded.name, recorded.fingerprint
        self.dimensions, self.max_tokens = recorded.dimensions, recorded.max_tokens
        self._vectors = vectors
        self._load = load

    @cached_property
    def _model(self) -> Encoder:
        return self._load()

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """By the model itself."""
        return self._model.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """(n, D) from the units; by the model what none of them has."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        tokens = np.zeros(len(texts), np.int32)
        missing = []
        for row, place in enumerate(self._vectors.places(texts)):
            if place is None:
                missing.append(row)
                continue
            unit, there = place
            vectors[row] = self._vectors.part(unit, "vectors")[there]
            tokens[row] = self._vectors.part(unit, "tokens")[there]
        if missing:
            made = self._model.encode_documents([texts[row] for row in missing])
            vectors[missing], tokens[missing] = made
        return Encoded(vectors, tokens)

    def count_tokens(self, texts: Sequence[str]) -> Int32Array:
        """(n,) by the model where it can count; by encoding otherwise, as for an index that is not in shards."""
        count = getattr(self._model, "count_tokens", None)
        counted: Int32Array = (
            count(texts) if count is not None else self._model.encode_documents(texts).tokens
        )
        return counted


class UnitLearned:
    """As `UnitEncoder`, for a learned sparse encoder."""

    def __init__(self, vectors: UnitVectors, encoder: LearnedEncoder) -> None:
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.vocabulary, self.max_tokens = encoder.vocabulary, encoder.max_tokens
        self.encode_queries, self.words, self.own_terms = (
            encoder.encode_queries,
            encoder.words,
            encoder.own_terms,
        )
        self._vectors = vectors
        self._encoder = encoder

    def encode_documents(self, texts: Sequence[str]) -> LearnedVectors:
        """From the units; by the model what none of them has."""
        rows: list[LearnedVector] = []
        for text, place in zip(texts, self._vectors.places(texts), strict=True):
            if place is None:
                rows.append(self._encoder.encode_documents([text]).row(0))
                continue
            unit, there = place
            parts = (self._vectors.part(unit, f"learned-{field}") for field in LearnedVectors._fields)
            rows.append(LearnedVectors(*parts).row(there))
        return LearnedVectors.of(rows)


def key_of(text: str) -> bytes:
    """16 bytes by which a text is looked up."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def lost(storage: Storage, name: str, reason: object) -> IndexDamagedError:
    return IndexDamagedError(
        f"'{storage.url}': the unit {name} cannot be used ({reason}). Repeat the command, which makes it again."
    )
