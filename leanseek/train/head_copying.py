"""How reliably each attention head copies: while a decoder reads a sentence again, it looks at that sentence.

Wu et al.: "Retrieval Head Mechanistically Explains Long-Context Factuality", arXiv 2404.15574: the share of a
sentence's tokens that a head points to, by its strongest attention, at the moment when the model writes them. Here the
sentence is not generated but given (teacher forcing), so that heads can be found whether or not the model would answer
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.rerank.incontext.prompts import Span, TokenizedPrompt, covering, tokenize
from leanseek.rerank.incontext.reader import Reader
from leanseek.text import split_sentences
from leanseek.train.prompt_examples import Example, fitting
from leanseek.types import Float64Array, Progress

RETRIEVAL: Final = 0.1
"""Heads above this score are called retrieval heads in the paper; of most models they are under 5 %."""


def copy_scores(
    reader: Reader, examples: Sequence[Example], progress: Progress | None = None
) -> Float64Array:
    """(heads,) each head's share of a relevant document's sentence that it points to: the mean over the examples."""
    scores = []
    for example in examples:
        scores.append(copied(reader, fitting(reader, example)))
        if progress is not None:
            progress("watching heads", len(scores), len(examples))
    return np.asarray(np.mean(scores, axis=0))


def copied(reader: Reader, example: Example) -> Float64Array:
    """(heads,) the share of the tokens of one sentence at which each head points to the token that comes next.

    The sentence stands in the first relevant document; that of its sentences with most words of the query. It is read
    again after the prompt, up to the end of the model's context.
    """
    decoder = reader.decoder
    prompt = reader.wording.compose(example.query, example.documents)
    tokens = tokenize(decoder.tokenizer, prompt)
    place = example.relevant.index(True)
    begin = prompt.documents[place][1] - len(example.documents[place])
    first, last = sentence_for(example.query, example.documents[place])
    span = covering(tokens.offsets, (begin + first, begin + last))
    if decoder.context is not None:
        span = Span(span.start, min(span.end, span.start + decoder.context - len(tokens.ids) + 1))
    again = tokens.ids[span.start : span.end - 1]
    return pointed(decoder.strongest([*tokens.ids, *again], len(again) + 1), tokens, span)


def pointed(places: np.ndarray, tokens: TokenizedPrompt, span: Span) -> Float64Array:
    """(heads,) the share of the span's tokens that are pointed to, from the strongest `places` (heads, tokens).

    A token counts where the head points into the span, at a token that is the same: a word may occur twice.
    """
    ids = np.array(tokens.ids)
    inside = (places >= span.start) & (places < span.end)
    same = ids[np.where(inside, places, 0)] == ids[span.start : span.end]
    return np.asarray((inside & same).mean(axis=1))


def sentence_for(query: str, document: str) -> tuple[int, int]:
    """The (start, end) of the document's sentence that shares most words with the query, the first such."""
    wanted = set(query.lower().split())
    sentences = [(one[0], one[1]) for one in split_sentences(document)] or [(0, len(document))]
    return max(sentences, key=lambda one: len(wanted & set(document[one[0] : one[1]].lower().split())))
