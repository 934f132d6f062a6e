"""A segment's n-grams, from its texts or from the n-grams of other segments."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens
from leanseek.indexing.ngrams.fm_index import FMIndex, write_fm_index
from leanseek.indexing.ngrams.ngram_index import TOKENS, WORDS, SegmentNGrams
from leanseek.indexing.ngrams.term_table import write_terms
from leanseek.indexing.occurrence import Sequences, chunks
from leanseek.types import Int32Array, Int64Array


class WordNumbers(dict[frozenset[str], int]):
    """Words, by their terms, numbered as they first come."""

    def __missing__(self, terms: frozenset[str]) -> int:
        self[terms] = number = len(self)
        return number


class ChunkNumbers(dict[str, tuple[int, ...]]):
    """The numbers of the words between two spaces of a text."""

    def __init__(self, sequences: Sequences, numbers: WordNumbers) -> None:
        super().__init__()
        self._sequences = sequences
        self._numbers = numbers

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        found = tuple(self._numbers[place] for place in self._sequences.of_chunk(chunk))
        self[chunk] = found
        return found


def write_ngrams(
    folder: Path, blocks: Iterable[Sequence[str]], sequences: Sequences, decoder: DecoderTokens | None
) -> None:
    """Write the n-grams of passages, whose texts come in blocks, into an existing folder.

    Raises what `write_fm_index` raises.
    """
    numbers = WordNumbers()
    of_chunk = ChunkNumbers(sequences, numbers)
    words: list[Int32Array] = []
    tokens: list[Int32Array] = []
    for texts in blocks:
        for text in texts:
            found = array("i")
            for chunk in chunks(text):
                found.extend(of_chunk[chunk])
            words.append(np.frombuffer(found, np.int32) if found else np.zeros(0, np.int32))
        if decoder is not None:
            tokens += decoder(texts)
    write_fm_index(folder, WORDS, words)
    write_terms(folder, list(numbers))
    if decoder is not None:
        write_fm_index(folder, TOKENS, tokens)


def merge_ngrams(
    parts: Sequence[SegmentNGrams],
    origin: Int64Array,
    ordinals: Int64Array,
    folder: Path,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Write the n-grams of a segment whose passage i is passage `ordinals[i]` of `parts[origin[i]]`, (n,) int64 each.

    No text is read. `tell` is called again and again meanwhile.
    """
    numbers = WordNumbers()

    def renumbered() -> Iterator[list[Int32Array]]:
        for part in parts:
            new = np.array([numbers[terms] for terms in part.terms.words], np.int32)
            yield [new[text] for text in part.words.texts()]

    write_fm_index(folder, WORDS, picked(renumbered(), origin, ordinals, tell))
    write_terms(folder, list(numbers))
    tokens = [part.tokens for part in parts if part.tokens is not None]
    if tokens:
        write_fm_index(folder, TOKENS, picked(map(FMIndex.texts, tokens), origin, ordinals, tell))


def picked(
    texts: Iterable[Sequence[Int32Array]], origin: Int64Array, ordinals: Int64Array, tell: Callable[[], None]
) -> list[Int32Array]:
    """The texts of a merged segment, from those of each of its parts."""
    found: list[Int32Array] = [np.zeros(0, np.int32)] * len(origin)
    for number, of_part in enumerate(texts):
        tell()
        for place in np.flatnonzero(origin == number).tolist():
            found[place] = of_part[ordinals[place]]
    return found
