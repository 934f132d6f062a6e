"""Prompts put to a decoder, a batch at a time: what the asking tokens look at, document by document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leanseek.rerank.incontext.capturing import Float64Array, Heads
from leanseek.rerank.incontext.decoder import Decoder
from leanseek.rerank.incontext.prompts import NO_QUERY, Prompt, Wording
from leanseek.rerank.incontext.scoring import document_attention
from leanseek.rerank.incontext.tokens import TokenizedPrompt, common, tokenize


class Task(NamedTuple):
    """A query and the documents that stand together in one prompt, in that order."""

    query: str
    documents: tuple[str, ...]


class Reading(NamedTuple):
    """What came of a task: its prompt, its tokens, and (tokens,) what is counted of each document's tokens."""

    prompt: Prompt
    tokens: TokenizedPrompt
    documents: list[Float64Array]

    @property
    def scores(self) -> list[float]:
        """One for each document."""
        return [float(tokens.sum()) for tokens in self.documents]


class Reader:
    """Puts tasks to a decoder: two forward passes for a batch, the second one over its last tokens alone."""

    def __init__(self, decoder: Decoder, wording: Wording, heads: Heads, calibrated: bool) -> None:
        self.decoder = decoder
        self.wording = wording
        self.heads = heads
        self.calibrated = calibrated

    def read(self, tasks: Sequence[Task]) -> list[Reading]:
        """One reading for each task, all of them in one batch."""
        prompts = [self.wording.compose(task.query, task.documents) for task in tasks]
        tokens = [tokenize(self.decoder.tokenizer, prompt) for prompt in prompts]
        return [
            Reading(prompt, told, document_attention(found[0], told.documents))
            for prompt, told, found in zip(prompts, tokens, self.attention(tasks, tokens), strict=True)
        ]

    def attention(
        self, tasks: Sequence[Task], tokens: Sequence[TokenizedPrompt], apart: bool = False
    ) -> list[Float64Array]:
        """For each task (heads, tokens before the query's): the attention on them, calibrated where that is asked.

        `tokens` are those of the tasks' prompts. The heads are summed (heads is 1) or kept `apart`.
        """
        sides = [tokens]
        if self.calibrated:
            # The calibrating pass comes first and computes the documents; the query's is short.
            blank = [self.wording.compose(NO_QUERY, task.documents) for task in tasks]
            sides = [[tokenize(self.decoder.tokenizer, prompt) for prompt in blank], tokens]
        cuts = [
            min(one.asking, *(common(side[row].ids, one.ids) for side in sides))
            for row, one in enumerate(tokens)
        ]
        found = self.decoder.attention(
            [one.ids[:cut] for one, cut in zip(tokens, cuts, strict=True)],
            [[one.ids[cut:] for one, cut in zip(side, cuts, strict=True)] for side in sides],
            [[len(one.ids) - one.asking for one in side] for side in sides],
            self.heads,
            apart,
        )
        difference = found[1] - found[0] if self.calibrated else found[0]
        return [
            np.asarray(one[:, difference.shape[2] - cut :]) for one, cut in zip(difference, cuts, strict=True)
        ]
