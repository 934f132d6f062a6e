"""Splitting long texts into overlapping passages that begin and end at sentence ends."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from leanseek.errors import UsageError

# Scripts without spaces between words. A word has about two characters in Chinese and Japanese, and about
# four in Thai, Lao, Burmese and Khmer.
_HAN: Final = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_INDOCHINA: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_CLOSING: Final = r"\"'”’»›)\]}」』】〉》）］"
_STOPS: Final = "。！？｡．"
WORD: Final = re.compile(
    rf"[{_HAN}]{{1,2}}[{_STOPS}{_CLOSING}、，：；…!?.,;:]*"
    rf"|[{_INDOCHINA}]{{1,4}}"
    # Nobody's word is longer than this: what is, such as encoded data, is cut like a text.
    rf"|[^\s{_HAN}{_INDOCHINA}]{{1,100}}"
)
_FULL_STOP: Final = re.compile(rf"[{_STOPS}][{_CLOSING}{_STOPS}…]*$")
_MARK: Final = re.compile(rf"[.!?…։؟۔।॥።]+[{_CLOSING}]*$")
_PERIOD: Final = re.compile(r"[(\[{\"'“‘«]*(.+)\.$")
_INITIALS: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_]+)*")
_BEFORE_NAME: Final = re.compile(
    "capt|cf|col|dr|drs|ed|eds|gen|gov|hon|jr|lt|messrs|mr|mrs|ms|mt|prof|rep|rev|sen|sgt|sr|st|viz|vs"
)
_BEFORE_NUMBER: Final = re.compile(
    "app|approx|art|ca|ch|chap|eq|eqs|fig|figs|no|nos|nr|op|p|pp|para|pt|ref|refs|sec|sect|tab|vol|vols"
)


class Chunk(NamedTuple):
    """A passage: `text` is the source's `[start : start + len(text)]`."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Chunking:
    """How texts are split: passages of at most `words` words, neighbours sharing about `overlap` of them.

    A word is a run without white space; in scripts that do not separate words, two characters (Chinese and
    Japanese) or four (Thai, Lao, Burmese, Khmer). Raises UsageError unless 0 <= overlap < words.
    """

    words: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.words < 1:
            raise UsageError(f"--chunk is {self.words}; a passage has at least 1 word (200 is usual)")
        if not 0 <= self.overlap < self.words:
            raise UsageError(
                f"--overlap is {self.overlap}; it must be 0 or more, and less than --chunk ({self.words})"
            )

    def split(self, text: str) -> list[Chunk]:
        """The passages in order: each character that is no white space is in one; none for a blank text.

        Passages begin and end with sentences. A sentence of more than `words` words is cut between words. The
        overlap is made of whole sentences and comes as close to `overlap` words as these allow, ties going to
        the smaller; it is 0 where the next sentence would otherwise not fit.
        """
        words = [match.span() for match in WORD.finditer(text)]
        if len(words) <= self.words:
            return [_chunk(text, words, 0, len(words))] if words else []
        starts = self._unit_starts(text, words)
        chunks: list[Chunk] = []
        first = 0
        last = len(starts) - 1
        while True:
            # The largest `end` whose unit start is at most `words` words on; one unit always fits.
            end = bisect_left(starts, starts[first] + self.words + 1) - 1
            chunks.append(_chunk(text, words, starts[first], starts[end]))
            if end == last:
                return chunks
            first = self._next(starts, first, end)

    def _unit_starts(self, text: str, words: Sequence[tuple[int, int]]) -> list[int]:
        """The word numbers at which units begin (sentences, or pieces of long ones), and of the end."""
        # A piece of this size can be repeated by the next passage and still leaves room for a new one.
        piece = min(self.overlap, self.words - self.overlap) or self.words
        starts: list[int] = []
        begin = 0
        for end in sentence_ends(text, words):
            starts.extend(range(begin, end, piece) if end - begin > self.words else (begin,))
            begin = end
        starts.append(len(words))
        return starts

    def _next(self, starts: Sequence[int], first: int, end: int) -> int:
        """The unit that the passage after units [first, end) begins with."""
        wanted = starts[end] - self.overlap
        begin = bisect_left(starts, wanted, first + 1, end)
        if begin - 1 > first and wanted - starts[begin - 1] < starts[begin] - wanted:
            begin -= 1
        while begin < end and starts[end + 1] - starts[begin] > self.words:
            begin += 1
        return begin


def _chunk(text: str, words: Sequence[tuple[int, int]], first: int, end: int) -> Chunk:
    start = words[first][0]
    return Chunk(start, text[start : words[end - 1][1]])


def sentence_ends(text: str, words: Sequence[tuple[int, int]]) -> list[int]:
    """The numbers of the words after which a sentence ends, counted from 1; the last is the last word's."""
    ends: list[int] = []
    begin = 0
    for number in range(1, len(words)):
        start, stop = words[number - 1]
        following = words[number][0]
        word = text[start:stop]
        if _FULL_STOP.search(word):
            ended = True
        elif following == stop:
            ended = False
        else:
            ended = text.count("\n", stop, following) > 1 or _ends(word, text[following], number - 1 == begin)
        if ended:
            ends.append(number)
            begin = number
    ends.append(len(words))
    return ends


def _ends(word: str, following: str, alone: bool) -> bool:
    """Whether a sentence ends with this word, before white space and the character `following`.

    `alone` tells that the sentence has no other word yet, as in the number of a list's item.
    """
    if not _MARK.search(word) or following.islower():
        return False
    period = _PERIOD.fullmatch(word)
    if period is None:
        return True
    stem = period[1]
    if stem.isdecimal():
        return not alone
    if _INITIALS.fullmatch(stem) or _BEFORE_NAME.fullmatch(stem.casefold()):
        return False
    return not (following.isdecimal() and _BEFORE_NUMBER.fullmatch(stem.casefold()))
