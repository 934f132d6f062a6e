"""Analysers: from a text to the terms by which it is found."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple, Protocol


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
