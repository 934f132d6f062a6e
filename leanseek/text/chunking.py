"""Splitting long texts into overlapping passages that begin and end at sentence ends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from leanseek.errors import UsageError
from leanseek.text.sentences import PASSAGE, sentence_ends
from leanseek.types import content


class Chunk(NamedTuple):
    """A passage: `text` is the source's `[start : start + len(text)]`."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Chunking:
    """How texts are split: passages of at most `words` words, neighbours sharing about `overlap` of them.

    Where `count` gives the lengths of texts in tokens, passages with more than `limit`, their title included, are
    split further. A word is a run without white space; in scripts that do not separate words, two characters
    (Chinese and Japanese) or four (Thai, Lao, Burmese, Khmer). Raises UsageError unless 0 <= overlap < words.
    """

    words: int
    overlap: int = 0
    count: Callable[[Sequence[str]], Iterable[int]] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.words < 1:
            raise UsageError(f"--chunk is {self.words}; a passage has at least 1 word (200 is usual)")
        if not 0 <= self.overlap < self.words:
            raise UsageError(
                f"--overlap is {self.overlap}; it must be 0 or more, and less than --chunk ({self.words})"
            )

    def split(self, text: str, title: str = "") -> list[Chunk]:
        """The passages of a text with this title, in order: each character that is no white space is in one.

        There are none for a blank text.
        Passages begin and end with sentences. A sentence of more than `words` words is cut between words. The
        overlap is made of whole sentences and comes as close to `overlap` words as these allow, ties going to
        the smaller; it is 0 where the next sentence would otherwise not fit.
        """
        chunks = self._split(text)
        if self.count is None or self.limit is None or not chunks:
            return chunks
        lengths = self.count([content(title, chunk.text) for chunk in chunks])
        parts = [
            part
            for chunk, length in zip(chunks, lengths, strict=True)
            for part in ([chunk] if length <= self.limit else self._narrowed(chunk, title, length))
        ]
        # Where neighbours overlap, a part of one may be wholly inside the other.
        kept: list[Chunk] = []
        for part in sorted(parts, key=lambda part: (part.start, -len(part.text))):
            if not kept or part.start + len(part.text) > kept[-1].start + len(kept[-1].text):
                kept.append(part)
        return kept

    def _narrowed(self, chunk: Chunk, title: str, length: int) -> list[Chunk]:
        """A passage of too many tokens, `length`, in parts that fit, or of one word where none does."""
        assert self.limit is not None
        words = sum(1 for _ in PASSAGE.word.finditer(chunk.text))
        if words <= 1:
            return [chunk]
        fewer = max(1, min(words - 1, words * self.limit // length))
        narrow = replace(self, words=fewer, overlap=min(self.overlap, fewer // 5))
        return [part._replace(start=chunk.start + part.start) for part in narrow.split(chunk.text, title)]

    def _split(self, text: str) -> list[Chunk]:
        words = [match.span() for match in PASSAGE.word.finditer(text)]
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
        for end in sentence_ends(text, words, PASSAGE):
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
