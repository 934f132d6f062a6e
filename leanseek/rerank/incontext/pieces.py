"""Passages too long for the model, in pieces that fit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A part of a passage: its text, which passage it is of, where it starts there, and its size in tokens."""

    text: str
    owner: int
    start: int
    tokens: int


def in_pieces(tokenizer: Any, documents: Sequence[str], separator: str, room: int | None) -> list[Piece]:
    """The documents in their order, those of more than `room` tokens in pieces; sizes are those in a prompt.

    Pieces of nothing but white space are left out, but for the first where a passage has no others.
    """
    # The number is as wide as any that a document can get.
    around = f"{separator}[{len(documents)}] "
    if not documents:
        return []
    encoded = tokenizer(
        [around + document for document in documents],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    pieces: list[Piece] = []
    for owner, (document, offsets) in enumerate(zip(documents, encoded["offset_mapping"], strict=True)):
        if room is None or len(offsets) <= room:
            pieces.append(Piece(document, owner, 0, len(offsets)))
            continue
        ends = [max(0, end - len(around)) for _, end in offsets]
        parts = [
            Piece(document[start:end], owner, start, size)
            for start, end, size in cuts(tokenizer, around, document, ends, room)
        ]
        pieces += [piece for piece in parts if piece.text.strip()] or parts[:1]
    return pieces


def cuts(
    tokenizer: Any, around: str, document: str, ends: Sequence[int], room: int
) -> Iterator[tuple[int, int, int]]:
    """The (start, end, tokens) of a document's pieces, which have at most `room` tokens with what is `around` them.

    `ends` are the characters at which the tokens of the whole end. A piece's own are counted again: cut in another
    place a text may have more tokens, and several may make up one character.
    """
    step = max(1, room - bisect_right(ends, 0))
    start = 0
    while start < len(document):
        last = bisect_right(ends, start) + step - 1
        end = max(start + 1, ends[last] if last < len(ends) else len(document))
        while (size := count(tokenizer, around + document[start:end])) > room and end > start + 1:
            end = start + max(1, min(end - start - 1, (end - start) * room // size))
        yield start, end, size
        start = end


def count(tokenizer: Any, text: str) -> int:
    """How many tokens a text has by itself."""
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
