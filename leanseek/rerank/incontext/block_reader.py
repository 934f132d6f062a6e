"""Documents read each by itself: their states serve every query, and their order means nothing.

Each document sees the beginning of the prompt and itself; the instruction and the query see all documents. (Gupta et
al.: "Scalable In-context Ranking with Generative Models", arXiv 2510.05396, train a model for it; here any decoder is
used as it is.) All documents have the same positions, right after the beginning, and the query comes after the
longest: nothing depends on the kind of position encoding, and no state has to be moved to another position.

States may be kept in 8 bits. The first query reads them so too: a score does not depend on what was read before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from leanseek.decode.capture import Heads
from leanseek.decode.decoder import Decoder
from leanseek.decode.states import LayerStates, PackedStates, States
from leanseek.rerank.incontext.prompts import NO_QUERY, Prompt, TokenizedPrompt, Wording, covering, tokenize
from leanseek.rerank.incontext.reader import Looks, Read, Task, check_length, counted, read

_TOGETHER = 4096
"""Tokens of documents whose states are computed in one pass."""

Ids = tuple[int, ...]


class Block(NamedTuple):
    """A document alone in a prompt: its tokens `begin` to `question` are the block, with the separators around it."""

    prompt: Prompt
    tokens: TokenizedPrompt
    begin: int

    @property
    def ids(self) -> Ids:
        """The block's tokens."""
        return self.tokens.ids[self.begin : self.tokens.question]


class StateCache:
    """States of blocks, at most `limit` bytes of them; the least recently used go first. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._states: OrderedDict[Ids, LayerStates] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ids: Ids) -> LayerStates | None:
        """The states of a block; None where they are not here."""
        with self._lock:
            found = self._states.get(ids)
            if found is not None:
                self._states.move_to_end(ids)
            return found

    def put(self, ids: Ids, states: LayerStates) -> None:
        """Add the states of a block."""
        with self._lock:
            former = self._states.pop(ids, None)
            self._bytes += states.bytes - (former.bytes if former is not None else 0)
            self._states[ids] = states
            while self._bytes > self._limit:
                self._bytes -= self._states.popitem(last=False)[1].bytes


class BlockReader:
    """Has a decoder read tasks a document at a time; `memory` bytes of their states are kept for other queries.

    `packed`: states are in 8 bits.
    """

    def __init__(
        self,
        decoder: Decoder,
        wording: Wording,
        heads: Heads,
        calibrated: bool,
        memory: int,
        packed: bool = False,
    ) -> None:
        self.decoder = decoder
        self.wording = wording
        self.heads = heads
        self.calibrated = calibrated
        self.packed = packed
        self._cache = StateCache(memory)
        self._beginning: States | None = None

    def read(self, tasks: Sequence[Task]) -> list[list[Read]]:
        """For each task the reading of each of its documents. Raises TooLong for one beyond the model's context."""
        return [self._read(task, row) for row, task in enumerate(tasks)]

    def _read(self, task: Task, row: int) -> list[Read]:
        blocks = [self._block(task.query, document) for document in task.documents]
        states = self._states(blocks)
        beginning = self._begin(blocks[0])
        sides = [blocks[0].tokens]
        if self.calibrated:
            sides.append(self._block(NO_QUERY, task.documents[0]).tokens)
        longest = max(len(block.ids) for block in blocks)
        question = max(len(side.ids) - side.question for side in sides)
        check_length({row: blocks[0].begin + longest + question}, self.decoder.context)
        found = self.decoder.attention_on(
            [beginning, *states],
            [
                *range(beginning.tokens),
                *(beginning.tokens + place for one in states for place in range(one.tokens)),
            ],
            [side.ids[side.question :] for side in sides],
            [len(side.ids) - side.question for side in sides],
            self.heads,
        )
        attention, reads = Looks(*found).calibrated, []
        reached = beginning.tokens
        for block, one in zip(blocks, states, strict=True):
            span = block.tokens.documents[0]
            first = reached + span.start - block.begin
            reads.append(
                read(block.prompt, block.tokens, 0, counted(attention[first : first + span.end - span.start]))
            )
            reached += one.tokens
        return reads

    def _block(self, query: str, document: str) -> Block:
        prompt = self.wording.compose(query, [document])
        tokens = tokenize(self.decoder.tokenizer, prompt)
        # Tokens that reach into the separator belong to the block.
        begin = covering(tokens.offsets, (len(self.wording.opening()), len(prompt.text))).start
        return Block(prompt, tokens, begin)

    def _begin(self, block: Block) -> States:
        if self._beginning is None:
            (self._beginning,) = self.decoder.states([block.tokens.ids[: block.begin]], self.heads.deepest)
        return self._beginning

    def _states(self, blocks: Sequence[Block]) -> list[LayerStates]:
        """The states of the blocks: from the cache, or computed, some of about the same length at a time."""
        found = {block.ids: self._cache.get(block.ids) for block in blocks}
        missing = sorted(
            (ids for ids, states in found.items() if states is None), key=lambda ids: (len(ids), ids)
        )
        while missing:
            count = max(1, min(len(missing), _TOGETHER // len(missing[-1])))
            together = missing[-count:]
            del missing[-count:]
            beginning = self._begin(blocks[0])
            made = self.decoder.states(together, self.heads.deepest, beginning)
            for ids, exact in zip(together, made, strict=True):
                new = PackedStates.of(exact) if self.packed else exact
                self._cache.put(ids, new)
                found[ids] = new
        return [states for block in blocks if (states := found[block.ids]) is not None]
