"""One query's way through its windows: what stands in the next prompt, and the scores in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.rerank.incontext.capturing import Float64Array
from leanseek.rerank.incontext.explaining import DocumentAttention, explain
from leanseek.rerank.incontext.pieces import Piece
from leanseek.rerank.incontext.reading import Read, Task
from leanseek.rerank.incontext.windows import cost, sliding


class Listing:
    """A query and its documents (in pieces where they are long), the most promising last.

    `task` is the next prompt; None once `scores` (documents,) are known. `crowded`: fewer documents than asked for
    fitted into a prompt, so that there are more windows. `left_out` less promising documents are not in it, for want
    of time. Its length is the number of documents.
    """

    def __init__(
        self,
        query: str,
        pieces: Sequence[Piece],
        room: int | None,
        window: int | None = None,
        stride: int | None = None,
        left_out: int = 0,
    ) -> None:
        self.query = query
        self.pieces = pieces
        self.room = room
        self.left_out = left_out
        self.crowded = False
        self.scores: Float64Array | None = None
        self.task: Task | None = None
        self._reads: dict[int, Read] = {}
        self._inside: list[int] = []
        self._window = len(pieces) if window is None else window
        self._arguments = [piece.tokens for piece in pieces], room, window, stride
        self._steps = sliding(*self._arguments)
        if pieces:
            self._show(next(self._steps))
        else:
            self.scores = np.zeros(0)

    def __len__(self) -> int:
        return len(self._owners())

    @property
    def cost(self) -> int:
        """How many tokens of documents are read in all, about: those that stand in several windows count in each."""
        return cost(*self._arguments)

    @property
    def size(self) -> int:
        """How many tokens the documents of the task have."""
        return sum(self.pieces[place].tokens for place in self._inside)

    def tell(self, reads: Sequence[Read]) -> None:
        """Take what came of the task's documents, and go on to the next."""
        self._reads.update(zip(self._inside, reads, strict=True))
        try:
            places = self._steps.send([one.score for one in reads])
            self.crowded |= len(self._inside) < self._window
            self._show(places)
        except StopIteration as end:
            self.task = None
            self._pieces_scores: Float64Array = end.value
            self.scores = np.array([end.value[self._best(owner)] for owner in self._owners()])

    def attention(self) -> list[DocumentAttention]:
        """What was looked at in each document, in its best piece. Once the scores are known."""
        if self.scores is None:
            return []
        best = [self._best(owner) for owner in self._owners()]
        return [
            explain(self._reads[place]).shifted(self.pieces[place].start)._replace(score=float(score))
            for place, score in zip(best, self.scores, strict=True)
        ]

    def _show(self, places: list[int]) -> None:
        self._inside = places
        self.task = Task(self.query, tuple(self.pieces[place].text for place in places))

    def _owners(self) -> range:
        return range(self.pieces[-1].owner + 1 if self.pieces else 0)

    def _best(self, owner: int) -> int:
        """The place of the document's piece with the highest score."""
        own = [place for place, piece in enumerate(self.pieces) if piece.owner == owner]
        return max(own, key=lambda place: self._pieces_scores[place])
