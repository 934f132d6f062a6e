"""The n-grams of one segment: of its words and, where the index names a decoder, of that decoder's tokens."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from leanseek.indexing.ngrams.fm_index import FMIndex, Range
from leanseek.indexing.ngrams.term_table import TermTable

WORDS: Final = "words"
TOKENS: Final = "tokens"


class SegmentNGrams:
    """What `write_ngrams` wrote into a segment's folder: `words`, numbered as in `terms`, and a decoder's `tokens`.

    Immutable, so safe to share between threads.

    Raises IndexDamagedError, FileNotFoundError or MissingPackageError.
    """

    def __init__(self, folder: Path, has_tokens: bool) -> None:
        """`has_tokens`: there are n-grams of a decoder's tokens too."""
        self.words = FMIndex(folder, WORDS)
        self.terms = TermTable(folder)
        self.tokens = FMIndex(folder, TOKENS) if has_tokens else None

    def phrase(self, places: Iterable[Iterable[str]]) -> list[Range]:
        """Where words with any of the first place's terms, of the second's and so on stand one after the other.

        The n-grams are different ones, so that their counts add up.
        """
        found = [self.words.everything]
        for terms in places:
            numbers = self.terms.words_with(terms).tolist()
            extended = (self.words.extend(one, number) for one in found for number in numbers)
            found = [one for one in extended if one.times]
            if not found:
                break
        return found
