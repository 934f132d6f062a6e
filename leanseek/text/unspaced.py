"""Scripts without spaces between words: each character is a term, and so are each two neighbours.

Pairs tell apart what single characters do not, and single characters find words of one character (茶). A character is
a letter with its marks: น้ำ is two, น้ํ and า, and a Korean syllable is one, stored whole or as jamo.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from leanseek.text.compounds import Term
from leanseek.text.letters import CLASSES

UNSPACED: Final = "[cLVTHJ][cLVTHJm]*+|s[sm]*+"
_CHARACTER: Final = re.compile("[cs]m*+|L*(?:[HV]V*+|J)T*+m*+|L++m*+|T++m*+")
_LONGEST: Final = 32
"""Code points of a character; more than that are no writing."""
_MEMO_CHARACTERS: Final = 1 << 16


class Unspaced:
    """Finds the terms of runs without spaces. Thread-safe."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._memo: dict[str, list[str]] = {}

    def terms(self, text: str, classes: str, start: int, end: int) -> list[Term]:
        """The terms of the run at [start, end) of a text: each pair of neighbours before the first of the two."""
        found: list[Term] = []
        previous: Term | None = None
        for match in _CHARACTER.finditer(classes, start, end):
            at, stop = match.span()
            for char in self._folded(text[at : min(stop, at + _LONGEST)]):
                if previous is not None:
                    found.append(Term(previous.text + char, previous.start, stop, False))
                    found.append(previous)
                previous = Term(char, at, stop, False)
        if previous is not None:
            found.append(previous)
        return found

    def _folded(self, char: str) -> list[str]:
        """What a character stands for: ㍿ for four, which share its place."""
        known = self._memo.get(char)
        if known is None:
            folded = self._fold(char)
            matches = _CHARACTER.finditer(folded.translate(CLASSES))
            known = [folded[slice(*match.span())] for match in matches]
            if len(self._memo) >= _MEMO_CHARACTERS:
                self._memo.clear()
            self._memo[char] = known
        return known
