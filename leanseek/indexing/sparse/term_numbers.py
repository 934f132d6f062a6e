"""The terms of many texts as numbers, four bytes each: what postings are made of."""

from __future__ import annotations

from array import array
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from leanseek.text import Analyzer
from leanseek.text.analyzer import ChunkAnalyzer

_MOST_CHUNKS = 1 << 20
"""Distinct chunks of texts in a table, some 60 bytes each."""


class TermNumbers(Protocol):
    """The terms of many texts as numbers, in the order in which they first come."""

    def __len__(self) -> int:
        """How many terms the texts have, repetitions included."""
        ...

    def add(self, text: str) -> int:
        """Take the next text; returns how many terms it has."""
        ...

    def numbers(self) -> NDArray[np.int32]:
        """The terms of all texts, one after another."""
        ...

    def names(self) -> list[bytes]:
        """The terms in UTF-8, by number."""
        ...


class _Numbers(dict[str, int]):
    """Terms numbered as they first come."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class PlainTermNumbers:
    """The TermNumbers of any analyser."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._known = _Numbers()
        self._numbers = array("i")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, text: str) -> int:
        """Take the next text; returns how many terms it has."""
        terms = self._analyzer.tokens(text)
        self._numbers.extend(map(self._known.__getitem__, terms))
        return len(terms)

    def numbers(self) -> NDArray[np.int32]:
        """The terms of all texts, one after another."""
        return np.frombuffer(self._numbers, np.int32)

    def names(self) -> list[bytes]:
        """The terms in UTF-8, by number."""
        return [term.encode() for term in self._known]


def term_numbers(analyzer: Analyzer, most: int = _MOST_CHUNKS) -> TermNumbers:
    """Those of native/terms.cpp, which remember the terms of chunks, where it was built and the analyser can do it.

    `most` is how many chunks they remember; past this they start anew.
    """
    if isinstance(analyzer, ChunkAnalyzer):
        try:
            native = import_module("leanseek._terms")
        except ImportError:
            return PlainTermNumbers(analyzer)
        numbers: TermNumbers = native.TermNumbers(analyzer, analyzer.cuts, analyzer.dependent, most)
        return numbers
    return PlainTermNumbers(analyzer)
