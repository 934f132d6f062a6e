"""Passages too long for the model, in pieces that fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A part of a passage: its text, which passage it is of, where it starts there, and its size in tokens."""

    text: str
    owner: int
    start: int
    tokens: int


def in_pieces(tokenizer: Any, documents: Sequence[str], separator: str, room: int | None) -> list[Piece]:
    """The documents in their order, those of more than `room` tokens in pieces; sizes are those in a prompt."""
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
        extra = ends.count(0)
        step = max(1, room - extra)
        cuts = sorted({0, *ends[extra + step - 1 :: step], len(document)})
        for start, end in pairwise(cuts):
            text = document[start:end]
            if text.strip():
                pieces.append(Piece(text, owner, start, min(room, len(offsets))))
    return pieces
