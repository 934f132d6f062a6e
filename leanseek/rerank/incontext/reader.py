"""From the attention on tokens to the scores of documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.decode.capture import Heads
from leanseek.decode.decoder import Decoder
from leanseek.rerank.incontext.prompts import (
    NO_QUERY,
    Prompt,
    Span,
    TokenizedPrompt,
    Wording,
    common,
    tokenize,
)
from leanseek.types import Float64Array


def counted(tokens: Float64Array) -> Float64Array:
    """(…, n) a document's calibrated attention; tokens more than two deviations below the mean are set to 0.

    The deviation is that of a sample. A query without content looks at such tokens far more than
    the real one. A single token always counts.
    """
    if tokens.shape[-1] < 2:
        return tokens
    least = tokens.mean(axis=-1, keepdims=True) - 2 * tokens.std(axis=-1, ddof=1, keepdims=True)
    return np.where(tokens > least, tokens, 0.0)


def document_attention(attention: Float64Array, documents: Sequence[Span]) -> list[Float64Array]:
    """The attention that counts of each document's tokens, from the calibrated `attention` (…, p) on all tokens."""
    return [counted(attention[..., span.start : span.end]) for span in documents]


def document_scores(attention: Float64Array, documents: Sequence[Span]) -> Float64Array:
    """(…, documents) each the sum over its tokens that count, from the calibrated `attention` (…, p)."""
    return np.stack([tokens.sum(axis=-1) for tokens in document_attention(attention, documents)], axis=-1)


def document_masses(attention: Float64Array, documents: Sequence[Span]) -> Float64Array:
    """(…, documents) all of the `attention` (…, p) on each document's tokens."""
    return np.stack([attention[..., span.start : span.end].sum(axis=-1) for span in documents], axis=-1)


class Task(NamedTuple):
    """A query and the documents of one prompt, in their order."""

    query: str
    documents: tuple[str, ...]


class Read(NamedTuple):
    """The reading of one document: (tokens,) the attention that counts of each of its tokens, and their places.

    `offsets` are characters of the prompt, in which the document's own text goes from `begin` to `end`.
    """

    attention: Float64Array
    offsets: Sequence[tuple[int, int]]
    begin: int
    end: int

    @property
    def score(self) -> float:
        """The attention in all."""
        return float(self.attention.sum())


class Looks(NamedTuple):
    """(heads, tokens before the query's) the attention of the query, and that of "N/A" (None: not computed)."""

    query: Float64Array
    blank: Float64Array | None = None

    @property
    def calibrated(self) -> Float64Array:
        """How much more the query looks at each token than a query without content does."""
        return self.query if self.blank is None else self.query - self.blank


class TooLong(Exception):  # noqa: N818 - not an error for people: it requests a shorter prompt
    """Raised before prompts are read that are longer than the model's context; `excess` says by how many tokens."""

    def __init__(self, excess: Mapping[int, int]) -> None:
        """`excess` has the number of tokens of each such task, by its place in the batch."""
        self.excess = excess


def check_length(lengths: Mapping[int, int], context: int | None) -> None:
    """Raise TooLong where the prompt of a task, by its place, has more tokens than the model reads."""
    excess = {row: length - context for row, length in lengths.items() if context and length > context}
    if excess:
        raise TooLong(excess)


class Reader:
    """Has a decoder read tasks: two forward passes for a batch, the second one over its last tokens alone."""

    def __init__(self, decoder: Decoder, wording: Wording, heads: Heads, calibrated: bool) -> None:
        self.decoder = decoder
        self.wording = wording
        self.heads = heads
        self.calibrated = calibrated

    def read(self, tasks: Sequence[Task]) -> list[list[Read]]:
        """For each task the reading of each of its documents; all of them in one batch."""
        prompts = [self.wording.compose(task.query, task.documents) for task in tasks]
        tokens = [tokenize(self.decoder.tokenizer, prompt) for prompt in prompts]
        return [
            [
                read(prompt, one, place, attention)
                for place, attention in enumerate(document_attention(looks.calibrated[0], one.documents))
            ]
            for prompt, one, looks in zip(prompts, tokens, self.look(tasks, tokens), strict=True)
        ]

    def look(
        self, tasks: Sequence[Task], tokens: Sequence[TokenizedPrompt], apart: bool = False
    ) -> list[Looks]:
        """What each task's query attends to; `tokens` are those of its prompt. The heads are summed, or `apart`.

        Raises TooLong for prompts that are longer than the model's context.
        """
        sides = [tokens]
        if self.calibrated:
            # The calibrating pass comes first and computes the documents; the query's is short.
            blank = [self.wording.compose(NO_QUERY, task.documents) for task in tasks]
            sides = [[tokenize(self.decoder.tokenizer, prompt) for prompt in blank], tokens]
        check_length(
            {row: max(len(side[row].ids) for side in (*sides, tokens)) for row in range(len(tokens))},
            self.decoder.context,
        )
        cuts = [
            min(one.question, *(common(side[row].ids, one.ids) for side in sides))
            for row, one in enumerate(tokens)
        ]
        found = self.decoder.attention(
            [one.ids[:cut] for one, cut in zip(tokens, cuts, strict=True)],
            [[one.ids[cut:] for one, cut in zip(side, cuts, strict=True)] for side in sides],
            [[len(one.ids) - one.question for one in side] for side in sides],
            self.heads,
            apart,
        )
        return [
            Looks(*(side[row, :, side.shape[2] - cut :] for side in reversed(found)))
            for row, cut in enumerate(cuts)
        ]


def read(prompt: Prompt, tokens: TokenizedPrompt, place: int, attention: Float64Array) -> Read:
    """The reading of the document at a place of a prompt."""
    span, (start, end) = tokens.documents[place], prompt.documents[place]
    return Read(attention, tokens.offsets[span.start : span.end], start + len(f"[{place + 1}] "), end)
