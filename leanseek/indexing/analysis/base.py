"""The contract of an analyser: one text to the terms it is found by."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """A term and the characters [start, end) of the text it comes from."""

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

    def spans(self, text: str) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, for highlighting."""
        ...
