"""How a query and its documents are put into prompts: whole where they fit, else in windows, in pieces or cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from leanseek.decode.decoder import Decoder
from leanseek.encode.tokenizer import encodable
from leanseek.errors import UsageError
from leanseek.rerank.incontext.driver import FEWEST, LEAST
from leanseek.rerank.incontext.listing import Listing, Piece, cost, in_pieces
from leanseek.rerank.incontext.prompts import NO_QUERY, Wording, tokenize

_SHARE = 4
"""A query that does not fit beside its documents leaves them at least one part in so many of the context."""


class Planner:
    """Makes listings that fit into a decoder's context, and collects `notes` on what that took.

    `apart`: documents are read each by itself, so that only each of them must fit.
    """

    def __init__(
        self, decoder: Decoder, wording: Wording, window: int | None, stride: int | None, apart: bool
    ) -> None:
        self._decoder = decoder
        self._wording = wording
        self._window = window
        self._stride = stride
        self._apart = apart
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What did not fit so far."""
        return tuple(self._notes)

    def plan(
        self,
        query: str,
        documents: Sequence[str],
        most: int | None = None,
        reach: float | None = None,
    ) -> Listing:
        """The listing of a query and its documents, with prompts of at most `most` tokens of documents.

        Under a deadline, of those of the last documents alone, which are the most promising, that cost `reach` tokens;
        at least of two.

        Raises UsageError where not even the instruction leaves room for documents.
        """
        query, documents = encodable(query), list(map(encodable, documents))
        tokenizer, separator = self._decoder.tokenizer, self._wording.separator
        pieces = in_pieces(tokenizer, documents, separator, None)
        room = self._room(query)
        left_out = 0
        if reach is not None and (left_out := self._out_of_reach(pieces, room, most, reach)):
            documents = documents[left_out:]
            pieces = in_pieces(tokenizer, documents, separator, None)
        if room is not None and self._fits(pieces, room, query, documents):
            room = None
        elif room is not None:
            query, room = self._cut(query, room)
        if most is not None:
            room = most if room is None else min(room, most)
        if room is not None:
            longest = self._longest(pieces, room)
            if any(piece.tokens > longest for piece in pieces):
                pieces = in_pieces(tokenizer, documents, separator, longest)
        return Listing(query, pieces, most if self._apart else room, self._window, self._stride, left_out)

    def note(self, listing: Listing) -> None:
        """Note what was unusual about a listing that was read."""
        if listing.crowded and self._window is None:
            self._note("documents that do not fit into one prompt together were read in windows")
        elif listing.crowded:
            self._note(
                f"fewer than {self._window:,} documents fit into one prompt, so the windows were smaller"
            )
        if len({piece.owner for piece in listing.pieces}) < len(listing.pieces):
            self._note(
                "passages too long for a prompt beside others were read in pieces; the best piece counts"
            )

    def _fits(self, pieces: Sequence[Piece], room: int, query: str, documents: Sequence[str]) -> bool:
        """Whether the documents of any window fit into the room."""
        if self._apart:
            return all(piece.tokens <= room for piece in pieces)
        if not pieces or self._largest(pieces) <= room:
            return True
        # Each by itself, documents may have a few tokens more than together.
        return (self._window is None or self._window >= len(pieces)) and (
            self._tokens(query, documents) <= (self._decoder.context or 0)
        )

    def _out_of_reach(self, pieces: Sequence[Piece], room: int | None, most: int | None, reach: float) -> int:
        """How many documents, from the first on, are left out so that the others cost at most `reach` tokens."""
        limits = [limit for limit in (None if self._apart else room, most) if limit is not None]
        limit = max(LEAST, min(limits)) if limits else None
        sizes = [piece.tokens for piece in pieces]
        return bisect_left(
            range(max(0, len(sizes) - FEWEST)),
            -reach,
            key=lambda first: -cost(sizes[first:], limit, self._window, self._stride),
        )

    def _longest(self, pieces: Sequence[Piece], room: int) -> int:
        """How many tokens a piece may have: at least two must fit together, or there is nothing to compare."""
        return room if self._apart or self._largest(pieces) <= room else room // 2

    def _largest(self, pieces: Sequence[Piece]) -> int:
        """How many tokens the documents of a window have at most."""
        sizes = sorted((piece.tokens for piece in pieces), reverse=True)
        return sum(sizes[: self._window])

    def _tokens(self, query: str, documents: Sequence[str] = ()) -> int:
        """How many tokens a prompt has, with the query or with that for calibration, whichever is longer."""
        wording = self._wording
        prompts = [wording.compose(text, documents) for text in (query, NO_QUERY)]
        return max(len(tokenize(self._decoder.tokenizer, prompt).ids) for prompt in prompts)

    def _room(self, query: str) -> int | None:
        """How many tokens of documents fit into a prompt; None where there is no limit."""
        return None if self._decoder.context is None else self._decoder.context - self._tokens(query)

    def _cut(self, query: str, room: int) -> tuple[str, int]:
        """The query, cut where it would leave too little room for documents, and the room that it leaves."""
        context = self._decoder.context or 0
        free = context - self._tokens("")
        least = max(LEAST, min(context // _SHARE, free // 2))
        if room >= least:
            return query, room
        if free < LEAST:
            raise UsageError(
                f"the instruction alone has {context - free:,} tokens, which leaves no room for documents in the "
                f"model's context of {context:,}; choose another model"
            )
        encoded = self._decoder.tokenizer(
            query, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ends = [end for _, end in encoded["offset_mapping"]]
        kept, shorter = min(len(ends), free - least), query
        while room < least:
            shorter = query[: ends[kept - 1]] if kept > 0 else ""
            room = context - self._tokens(shorter)
            kept -= 1
        self._note(f"queries too long for the model's context of {context:,} tokens were cut")
        return shorter, room

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)
