"""Analysers: from a text to the terms by which it is found."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Span(NamedTuple):
    """A term and the characters [start, end) of the text it comes from.

    A whole has the characters of all its parts (`getUserById`: getuserbyid, get, user, id), and comes before them: a
    span that has later ones inside stands for the same words as these.
    """

    token: str
    start: int
    end: int


class Analyzer(Protocol):
    """Turns a text into terms, in order; `load_analyzer` makes one. Thread-safe."""

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        ...

    def spans(self, text: str, only: Container[str] | None = None) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, in order of their starts.

        `only`: those of these terms alone, which is found much sooner where few words have them.
        """
        ...


@runtime_checkable
class ChunkAnalyzer(Analyzer, Protocol):
    """An analyser no term of which crosses white space, so that a text is cut there, and each chunk has its terms."""

    @property
    def cuts(self) -> str:
        """The 128 characters of ASCII, with a space for those that texts of ASCII alone are cut at."""
        ...

    @property
    def dependent(self) -> frozenset[str]:
        """The chunks whose terms depend on their neighbours."""
        ...

    def chunk_tokens(self, chunks: Sequence[str], at: int) -> Sequence[str]:
        """The terms of one of a text's chunks; but for `dependent` ones, the others do not matter."""
        ...
