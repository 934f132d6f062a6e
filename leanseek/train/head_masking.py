"""What heads are worth to a decoder: how much worse it ranks without them than without as many others."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leanseek.decode.attention import masking
from leanseek.decode.capture import Heads
from leanseek.decode.decoder import Decoder
from leanseek.errors import UsageError
from leanseek.rerank.incontext.heads import Head, by_layer
from leanseek.rerank.incontext.prompts import tokenize
from leanseek.rerank.incontext.reader import Reader, Task, document_scores
from leanseek.train.prompt_examples import Example, fitting, ndcg
from leanseek.types import Progress

DRAWS: Final = 5
"""How often other heads are drawn."""


@dataclass(frozen=True, slots=True)
class HeadCheck:
    """The mean nDCG@10 by all heads, without the selected ones, and without as many others, draw by draw."""

    whole: float
    without_selected: float
    without_others: tuple[float, ...]

    @property
    def lost(self) -> float:
        """What masking the selected heads loses."""
        return self.whole - self.without_selected

    @property
    def lost_by_others(self) -> float:
        """What masking others loses, the mean of the draws."""
        return self.whole - float(np.mean(self.without_others))


def check_heads(
    reader: Reader,
    heads: Sequence[Head],
    examples: Sequence[Example],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> HeadCheck:
    """Rank the examples with heads masked: their output is nothing in the pass, and their attention does not count.

    `reader` reads with all heads. Raises UsageError where fewer other heads are left than are to be masked.
    """
    decoder = reader.decoder
    others = [head for head in every_head(decoder) if head not in set(heads)]
    if len(others) <= len(heads):
        raise UsageError(
            f"of {len(others) + len(heads):,} heads {len(heads):,} are selected: no more others are left to compare "
            "them with; choose fewer heads"
        )
    draw = random.Random(f"mask {seed}")
    sets: list[Sequence[Head]] = [(), heads, *(draw.sample(others, len(heads)) for _ in range(draws))]
    fitted = [fitting(reader, example) for example in examples]
    found = []
    for number, masked in enumerate(sets):
        found.append(float(np.mean([ranked_without(reader, masked, example) for example in fitted])))
        if progress is not None:
            progress("masking heads", number + 1, len(sets))
    return HeadCheck(found[0], found[1], tuple(found[2:]))


def ranked_without(reader: Reader, masked: Iterable[Head], example: Example) -> float:
    """nDCG@10 of an example by the heads that are not masked."""
    decoder, silent = reader.decoder, by_layer(masked)
    counted = {
        layer: [head for head in range(decoder.width) if head not in silent.get(layer, ())]
        for layer in range(decoder.depth)
    }
    rest = Reader(decoder, reader.wording, Heads(counted), reader.calibrated)
    task = Task(example.query, example.documents)
    tokens = tokenize(decoder.tokenizer, reader.wording.compose(*task))
    with masking(silent):
        (looks,) = rest.look([task], [tokens])
    scores = document_scores(looks.calibrated, tokens.documents)
    return float(ndcg(scores, np.array(example.relevant))[0])


def every_head(decoder: Decoder) -> list[Head]:
    """All heads of a decoder, layer by layer."""
    return [Head(layer, head) for layer in range(decoder.depth) for head in range(decoder.width)]
