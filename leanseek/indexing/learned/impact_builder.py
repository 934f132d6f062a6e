"""A segment's impacts, from the vectors of its passages or from the impacts of other segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.learned_vectors import LearnedVectors
from leanseek.indexing.learned.impact_postings import ImpactPostings, ImpactReader, ImpactWriter
from leanseek.indexing.learned.impacts import passage_impacts
from leanseek.indexing.settings import LearnedSettings
from leanseek.indexing.sparse.builder import TermPostings, merged_terms
from leanseek.indexing.sparse.places import WINDOW
from leanseek.types import Int64Array


class ImpactBlock:
    """The impacts of at most 2**16 passages in memory, three bytes a posting."""

    def __init__(self, vectors: LearnedVectors, settings: LearnedSettings) -> None:
        self._passages = len(vectors.tokens)
        if self._passages > WINDOW:
            raise ValueError(f"{self._passages} passages are too many for a block")
        passages, terms, impacts = passage_impacts(vectors, settings)
        order = np.lexsort((passages, terms))
        self._terms, starts = np.unique(terms[order], return_index=True)
        self._places: NDArray[np.uint16] = passages[order].astype(np.uint16)
        self._impacts = impacts[order]
        self.run_starts: Int64Array = np.append(starts, len(order)).astype(np.int64)
        self.term_runs: Int64Array = np.arange(len(self._terms) + 1)

    def __len__(self) -> int:
        return self._passages

    def vocabulary(self) -> list[int]:
        """The model's numbers of the terms, by their numbers here."""
        terms: list[int] = self._terms.tolist()
        return terms

    def postings(self, first: int, last: int) -> ImpactPostings:
        """The postings of the terms first, ..., last - 1."""
        here = slice(int(self.run_starts[first]), int(self.run_starts[last]))
        return ImpactPostings(self._places[here].astype(np.int64), self._impacts[here])


def write_impacts(folder: Path, blocks: Iterable[LearnedVectors], settings: LearnedSettings) -> None:
    """Write the impacts of passages into an existing folder; their vectors come in blocks, in order of ordinals."""
    made = [ImpactBlock(vectors, settings) for vectors in blocks]
    sizes = [len(block) for block in made]
    origin = np.repeat(np.arange(len(made)), sizes)
    ordinals = np.concatenate([np.zeros(0, np.int64), *map(np.arange, sizes)])
    _write(folder, made, origin, ordinals, lambda: None)


def merge_impacts(
    readers: Sequence[ImpactReader],
    origin: Int64Array,
    ordinals: Int64Array,
    folder: Path,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Write one segment's impacts into an existing folder; `tell` is called again and again meanwhile.

    Its passage i is passage `ordinals[i]` of `readers[origin[i]]`, (n,) int64 each; passages that are not named are
    left out. The files are those that `write_impacts` would write.
    """
    _write(folder, readers, origin, ordinals, tell)


def _write(
    folder: Path,
    parts: Sequence[TermPostings[int]],
    origin: Int64Array,
    ordinals: Int64Array,
    tell: Callable[[], None],
) -> None:
    written: list[int] = []
    with ImpactWriter(folder, len(origin)) as writer:
        for terms, keys, impacts in merged_terms(parts, origin, ordinals):
            tell()
            writer.append(keys, impacts, terms=len(terms))
            written.extend(terms)
        writer.finish(written)
