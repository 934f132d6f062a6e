"""Hits packed into a prompt: no passage twice, every passage under its citation, never over the budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from leanseek.errors import UsageError
from leanseek.text.sentences import ends_sentence, split_words
from leanseek.types import Hit

SHINGLE = 5
"""Words in a row that count as the same passage of text."""
NEAR_DUPLICATE = 0.8
"""A passage is left out if at least this share of its shingles is in the better-ranked ones."""

ELLIPSIS = "…"
_WORD = re.compile(r"\w+")
_GAP = f" {ELLIPSIS} "


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a document's text as it is indexed, and the page and section that they begin in.

    `page` counts from 1; it and `heading` are None where they are not known.
    """

    start: int
    end: int
    page: int | None = None
    heading: str | None = None


@dataclass(frozen=True, slots=True)
class Cited:
    """One source in a context: `number` as the text cites it, from 1; the score and probability of its best hit.

    `text` is what the document's text has at the `spans`, in order, with … where it leaves something out.
    """

    number: int
    id: str
    title: str
    text: str
    score: float
    probability: float | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """Passages for a prompt.

    `text` has an entry for each source, `[1] Title (id)` on a line of its own and the passages below it, a
    blank line between entries. `passages` are the same entries, `tokens` is what the text counts, `left_out`
    how many hits did not fit; near-duplicates are not among them. `notes` are sentences on what a reader must know
    of the passages, such as that one is cut; they name documents by their ids.
    """

    text: str
    passages: tuple[Cited, ...]
    tokens: int
    left_out: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """A hit's text, which starts at character `start` of its source; `cut` if only its beginning.

    `kept` are the characters of it that are shown, in runs; none: all. `resumed`: text before it is left out.
    """

    hit: Hit
    start: int
    text: str
    cut: bool = False
    kept: tuple[tuple[int, int], ...] = ()
    resumed: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def shows(self, end: int) -> bool:
        """Whether something is shown where the text ends at that character."""
        return not self.kept or any(first < end <= last for first, last in self.kept)

    def showing(self, runs: Sequence[tuple[int, int]]) -> _Part:
        """The part with what is shown of its hit's text."""
        stripped = len(self.hit.text) - len(self.hit.text.lstrip())
        return replace(self, kept=tuple((first - stripped, last - stripped) for first, last in runs))

    def pieces(self) -> list[_Part]:
        """The runs of what is shown, each as a part."""
        if not self.kept:
            return [self]
        return [
            _Part(
                self.hit,
                self.start + first,
                self.text[first:last],
                cut=self.cut or last < len(self.text),
                resumed=first > 0,
            )
            for first, last in self.kept
            if first < len(self.text)
        ]


Shorten: TypeAlias = Callable[[Sequence[Hit]], Sequence[Sequence[tuple[int, int]]]]
"""The characters [start, end) of each hit's text that are shown, in runs; none: all."""


def pack(
    hits: Sequence[Hit],
    max_tokens: int,
    count_tokens: Callable[[str], int],
    *,
    whole: bool = False,
    shorten: Shorten | None = None,
) -> Context:
    """As many of the hits, best first, as fit into `max_tokens`, counted by `count_tokens` on the whole text.

    - A hit of which at least 80 % of the word 5-grams stand in better hits already is left out.
    - Parts of one document make one entry, in the order of the document; where they overlap or follow each
      other they are joined, elsewhere … marks the gap. Entries stand in the order of their best hits.
    - The first hit that does not fit is shortened at a sentence's end, with …, or left out; no later one is
      tried. If it is the very first and not one sentence fits, it is cut after a word.
    - Neighbours of hits (rank 0) count as the hits do, but not as left out, and those before them are not shortened.
      Where documents should be `whole`, a note names those that are not.
    - `shorten` is called with those hits that may fit; … stands for what it leaves out.
    - A header is whole or absent. Where nothing fits, the context is empty, and a note says so.

    Raises `UsageError` if `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}; give at least 1 (1500 is usual).")
    distinct = _Distinct()
    waiting = iter(hits)
    parts: list[_Part] = []

    def shortened(given: Sequence[_Part]) -> list[_Part]:
        if shorten is None:
            return list(given)
        kept = shorten([part.hit for part in given])
        return [part.showing(runs) for part, runs in zip(given, kept, strict=True)]

    def fits(chosen: Sequence[_Part]) -> bool:
        return count_tokens(_text(_entries(chosen))) <= max_tokens

    def first_fit(count: int) -> bool:
        more: list[_Part] = []
        while len(parts) + len(more) < count and (hit := next(waiting, None)) is not None:
            more.extend(distinct.parts([hit]))
        parts.extend(shortened(more))
        return len(parts) >= count and fits(parts[:count])

    most = _most(len(hits), first_fit)
    chosen, reached = parts[:most], len(parts)
    rest = list(waiting)
    # Of what does not fit only the hits matter: how many they are.
    parts += distinct.parts(hit for hit in rest if hit.rank > 0)
    if following := [part for part in parts[most:] if not _precedes(part, chosen)][:1]:
        [part] = following if following[0] in parts[:reached] else shortened(following)
        chosen += _shortened(part, lambda part: fits([*parts[:most], part]), at_words=most == 0)
    entries = _entries(chosen)
    text = _text(entries)
    if parts and not chosen:
        notes = [_too_little(parts[0], max_tokens, count_tokens)]
    else:
        missing = {part.hit.id for part in parts[most:]} | {hit.id for hit in rest}
        notes = _shortcomings(chosen, missing if whole else set())
    left_out = sum(part.hit.rank > 0 for part in parts) - sum(part.hit.rank > 0 for part in chosen)
    return Context(text, entries, count_tokens(text) if text else 0, left_out, tuple(notes))


def _too_little(part: _Part, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The sentence on a budget that has no room for the first part."""
    words = split_words(part.text)[:1]
    end = words[0].end if words else 0
    least = count_tokens(
        _text(_entries([replace(part, text=part.text[:end], cut=end < len(part.text), kept=())]))
    )
    return (
        f"nothing fits: the citation of {part.hit.id!r} with one word takes {least:,} tokens, and max_tokens is "
        f"{max_tokens:,}"
    )


def _shortcomings(chosen: Sequence[_Part], missing: Set[str]) -> list[str]:
    """A sentence for each document that is shown in part: of those of `missing` other passages are missing, too."""
    shown = Counter(part.hit.id for part in chosen)
    notes = {}
    for part in chosen:
        id, passage = part.hit.id, part.hit.passage
        if id in missing and passage is not None:
            notes[id] = f"of {id!r} only a part fits: {shown[id]:,} of its {passage.count:,} passages"
        elif part.cut:
            notes[id] = f"only the beginning of {'a passage of ' if passage is not None else ''}{id!r} fits"
    return list(notes.values())


def _precedes(part: _Part, chosen: Sequence[_Part]) -> bool:
    """Whether a part is a neighbour that stands before all chosen ones of its document: its end would be missed."""
    starts = [other.start for other in chosen if other.hit.id == part.hit.id]
    return part.hit.rank == 0 and part.start < min(starts, default=0)


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits without near-duplicates of better ones, as `pack` leaves them out."""
    return [part.hit for part in _Distinct().parts(hits)]


class _Distinct:
    """The hits that say something which no better one says, each given once, best first."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()
        self._kept: dict[str, list[_Part]] = {}

    def parts(self, hits: Iterable[Hit]) -> Iterator[_Part]:
        """The texts of those of these further hits."""
        for hit in hits:
            text = hit.text.lstrip()
            start = (hit.passage.start if hit.passage else 0) + len(hit.text) - len(text)
            part = _Part(hit, start, text.rstrip())
            earlier = self._kept.setdefault(hit.id, [])
            shingles = _shingles(_uncovered(part, earlier) if part.text else hit.title)
            # A part that others cover adds no words, but shows that nothing is missing between them.
            fresh = hit.passage is not None or bool((part.text or hit.title.strip()) and not earlier)
            if len(shingles & self._seen) < NEAR_DUPLICATE * len(shingles) if shingles else fresh:
                self._seen |= shingles
                earlier.append(part)
                yield part


def _shingles(text: str) -> set[tuple[str, ...]]:
    """All runs of five words, or the whole of a shorter text; empty for a text without words."""
    words = _WORD.findall(text.casefold())
    return {tuple(words[at : at + SHINGLE]) for at in range(max(len(words) - SHINGLE, 0) + 1)} - {()}


def _uncovered(part: _Part, earlier: Sequence[_Part]) -> str:
    """What of a part's text no earlier part of the same source covers."""
    if part.hit.passage is None:
        return part.text
    pieces: list[str] = []
    position = part.start
    for other in sorted(earlier, key=lambda other: other.start):
        pieces.append(part.text[position - part.start : max(other.start, position) - part.start])
        position = max(position, other.end)
    pieces.append(part.text[position - part.start :])
    return " ".join(pieces)


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to the limit that fits, by bisection; 0 always fits."""
    high = 1
    while high <= limit and fits(high):
        high *= 2
    low, high = high // 2, min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _shortened(part: _Part, fits: Callable[[_Part], bool], at_words: bool) -> list[_Part]:
    """The part up to the last sentence's end that fits; empty if there is none."""
    words = split_words(part.text)
    shown = [number for number, word in enumerate(words[:-1]) if part.shows(word.end)]
    ends = [words[number].end for number in shown]
    sentences = [words[number].end for number in shown if ends_sentence(part.text, words, number)]
    return _beginning(part, sentences, fits) or (_beginning(part, ends, fits) if at_words else [])


def _beginning(part: _Part, ends: Sequence[int], fits: Callable[[_Part], bool]) -> list[_Part]:
    cuts = [replace(part, text=part.text[:end], cut=True) for end in ends]
    count = _most(len(cuts), lambda count: fits(cuts[count - 1]))
    return cuts[count - 1 : count]


def _entries(parts: Sequence[_Part]) -> tuple[Cited, ...]:
    sources: dict[str, list[_Part]] = {}
    for part in parts:
        sources.setdefault(part.hit.id, []).append(part)
    return tuple(_cited(number, same) for number, same in enumerate(sources.values(), 1))


def _cited(number: int, parts: Sequence[_Part]) -> Cited:
    """The parts of one source as one text, in its order, without what two of them share."""
    best = parts[0].hit
    shown = [piece for part in parts for piece in part.pieces()]
    first, *others = sorted(shown, key=lambda part: part.start)
    pieces, last = [first], first
    for part in others:
        piece = pieces[-1]
        shared = piece.end - part.start
        gap = " " if shared == -1 else "\n" * -shared  # as the document's text has it
        if 0 < shared <= len(piece.text) and part.text.startswith(piece.text[-shared:][: len(part.text)]):
            pieces[-1] = replace(piece, text=piece.text + part.text[shared:])
        elif shared == 0 or (shared < 0 and not (last.cut or part.resumed) and _follows(part, last)):
            pieces[-1] = replace(piece, text=piece.text + gap + part.text)
        else:
            pieces.append(part)
        if part.end > last.end:
            last = part
    text = _GAP.join(piece.text for piece in pieces)
    if last.cut:
        text += f" {ELLIPSIS}"
    spans = tuple(_span(piece) for piece in pieces if piece.text)
    return Cited(number, best.id, best.title, text, best.score, best.probability, spans)


def _span(piece: _Part) -> Span:
    """Where a piece stands in its document."""
    known = [mark for mark in piece.hit.marks if mark.start <= piece.start][-1:]
    page, heading = (known[0].page, known[0].heading) if known else (None, None)
    return Span(piece.start, piece.end, page, heading)


def _follows(part: _Part, other: _Part) -> bool:
    """Whether nothing but white space lies between two parts."""
    one, two = other.hit.passage, part.hit.passage
    return one is not None and two is not None and two.number == one.number + 1


def _text(entries: Sequence[Cited]) -> str:
    return "\n\n".join(f"{_header(entry)}\n{entry.text}".rstrip() for entry in entries)


def _header(entry: Cited) -> str:
    title = " ".join(entry.title.split())
    return f"[{entry.number}] {title} ({entry.id})" if title else f"[{entry.number}] {entry.id}"
