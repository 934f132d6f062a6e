"""Attention heads of a decoder that look from a query at the documents that answer it, found by examples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from leanseek.decode.decoder import Decoder
from leanseek.decode.decoder_loader import load_decoder
from leanseek.errors import InputError, UsageError
from leanseek.rerank.incontext.heads import Head, HeadList
from leanseek.rerank.incontext.in_context import InContextReranker
from leanseek.rerank.incontext.prompts import check_kind, tokenize
from leanseek.rerank.incontext.reader import Reader, Task, document_masses, document_scores
from leanseek.train.head_copying import copy_scores
from leanseek.train.head_masking import HeadCheck, check_heads
from leanseek.train.prompt_examples import Example, fitting, ndcg
from leanseek.types import Float64Array, Progress

Method = Literal["contrastive", "ndcg", "mass", "copy"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
COUNTS: Final[dict[Method, int]] = {"contrastive": 8, "ndcg": 16, "mass": 16, "copy": 16}
"""How many heads the publications use; for copying as many as by nDCG."""
TEMPERATURES: Final = (0.1, 0.01, 0.001)
"""Those of the publication, which are different from model to model."""
FEWEST: Final = 9
"""Examples from which heads can be found; a third of them is held out."""


class Watched(NamedTuple):
    """The attention of each head in an example: calibrated `scores` and plain `masses`, both (heads, documents).

    `relevant` (documents,) is the example's.
    """

    scores: Float64Array
    masses: Float64Array
    relevant: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FoundHeads:
    """Heads, and the mean nDCG@10 that they and all heads reach on `held_out` examples that they were not found on.

    `learned_from`: how many they were found on. `check`: what masking them loses, where that was measured.
    """

    heads: HeadList
    ndcg: float
    ndcg_of_all: float
    learned_from: int
    held_out: int
    check: HeadCheck | None = None


def find_heads(
    model_or_path: Any,
    examples: Sequence[Example],
    *,
    method: Method = "contrastive",
    count: int | None = None,
    temperature: float | None = None,
    prompt: str = "IE",
    check: bool = False,
    device: str | None = None,
    seed: int = 0,
    source: str = "",
    progress: Progress | None = None,
) -> FoundHeads:
    """The `count` heads that find the relevant documents best, from 50 to 300 examples.

    - "contrastive": heads that look at a relevant document and not at the others (Tran et al.: Contrastive
      Retrieval Heads Improve Attention-Based Re-Ranking, arXiv 2510.02219), with a softmax over documents at
      `temperature`; by default that of the publication's by which the heads rank the examples best;
    - "ndcg": heads that order the documents best, each by itself; "mass": heads that look most at the relevant
      ones (both Zhang et al.: Query-Focused Retrieval Heads Improve Long-Context Reasoning and Re-ranking, EMNLP 2025);
    - "copy": heads that point to a relevant sentence word by word while it is read again (Wu et al.: Retrieval Head
      Mechanistically Explains Long-Context Factuality, arXiv 2404.15574).

    With `check` the held-out examples are also ranked without the heads, and without as many others.

    The documents are shuffled, and a third of the examples held out, by the `seed`. `source` is recorded in the list.

    Raises UsageError for an unknown method or too few heads, InputError for too few examples, and what loading a
    model raises.
    """
    if method not in METHODS:
        raise UsageError(f"'{method}' is not a method of finding heads. Choose from: {', '.join(METHODS)}")
    decoder = load_decoder(model_or_path, device)
    count = heads_to_keep(decoder, method, count)
    if temperature is not None and not temperature > 0:
        raise UsageError(f"the temperature is {temperature}; it must be above 0")
    useful = [one for one in examples if any(one.relevant) and not all(one.relevant)]
    if len(useful) < FEWEST:
        raise InputError(
            f"of {len(examples):,} examples {len(useful):,} have both relevant and other documents; heads are found "
            f"from at least {FEWEST}, better from 50 to 300: judge more queries"
        )
    draw = random.Random(f"heads {seed}")
    # A document's place in the prompt must not reveal whether it is relevant.
    shuffled = [
        one.take(draw.sample(range(len(one.documents)), len(one.documents)))
        for one in draw.sample(useful, len(useful))
    ]
    reader = InContextReranker(decoder, prompt).reader
    third = len(shuffled) // 3
    if method == "copy":
        order = np.argsort(-copy_scores(reader, shuffled[third:], progress), kind="stable")
        held = watch(reader, shuffled[:third], progress)
    else:
        watched = watch(reader, shuffled, progress)
        held = watched[:third]
        order = best_order(watched[third:], method, count, temperature)
    best = order[:count]
    heads = HeadList(
        model=decoder.name,
        fingerprint=decoder.weights,
        layers=decoder.depth,
        width=decoder.width,
        heads=tuple(Head(*divmod(int(place), decoder.width)) for place in best),
        method=method,
        source=source,
        prompt=check_kind(prompt),
    )
    checked = (
        check_heads(reader, heads.heads, shuffled[:third], seed=seed, progress=progress) if check else None
    )
    return FoundHeads(
        heads,
        reached(held, best),
        reached(held, order),
        len(shuffled) - third,
        third,
        checked,
    )


def best_order(
    watched: Sequence[Watched], method: Method, count: int, temperature: float | None
) -> NDArray[np.intp]:
    """All heads, best first. Without a temperature that whose `count` best heads rank the examples best."""
    temperatures = TEMPERATURES if method == "contrastive" and temperature is None else (temperature or 1.0,)
    orders = [np.argsort(-worth(watched, method, one), kind="stable") for one in temperatures]
    return max(orders, key=lambda order: reached(watched, order[:count]))


def reached(watched: Sequence[Watched], heads: NDArray[np.intp]) -> float:
    """The mean nDCG@10 by some heads together."""
    return float(np.mean([ndcg(one.scores[heads].sum(axis=0)[None], one.relevant)[0] for one in watched]))


def heads_to_keep(decoder: Decoder, method: Method, count: int | None) -> int:
    """How many heads to take: `count`, or the method's own. Raises UsageError where there are not so many."""
    taken = COUNTS[method] if count is None else count
    most = decoder.depth * decoder.width
    if not 1 <= taken <= most:
        raise UsageError(f"{taken} heads asked for; {decoder.name} has {most:,}: choose 1 to {most:,}")
    return taken


def watch(reader: Reader, examples: Sequence[Example], progress: Progress | None = None) -> list[Watched]:
    """The attention of each head of the reader's decoder in each example."""
    watched = []
    for example in examples:
        example = fitting(reader, example)
        task = Task(example.query, example.documents)
        tokens = tokenize(reader.decoder.tokenizer, reader.wording.compose(*task))
        (looks,) = reader.look([task], [tokens], apart=True)
        watched.append(
            Watched(
                document_scores(looks.calibrated, tokens.documents),
                document_masses(looks.query, tokens.documents),
                np.array(example.relevant),
            )
        )
        if progress is not None:
            progress("watching heads", len(watched), len(examples))
    return watched


def worth(watched: Sequence[Watched], method: Method, temperature: float) -> Float64Array:
    """(heads,) how well each head finds the relevant documents by a method of `find_heads`: the mean over examples."""
    if method == "contrastive":
        found = [contrast(one.masses, one.relevant, temperature) for one in watched]
    elif method == "mass":
        found = [one.masses[:, one.relevant].sum(axis=1) for one in watched]
    else:
        found = [ndcg(one.scores, one.relevant) for one in watched]
    return np.asarray(np.mean(found, axis=0))


def contrast(masses: Float64Array, relevant: NDArray[np.bool_], temperature: float) -> Float64Array:
    """(heads,) the share of a relevant document in a softmax over it and the others, from `masses` (heads, documents).

    With several relevant documents, the mean of theirs, each beside the others alone.
    """
    others = masses[:, ~relevant] / temperature
    shares = []
    for place in np.flatnonzero(relevant):
        above = others - masses[:, place, None] / temperature
        # 1 / (1 + sum of exp(above)), without overflow.
        highest = np.maximum(above.max(axis=1), 0.0)
        rest = np.exp(above - highest[:, None]).sum(axis=1)
        shares.append(np.exp(-highest) / (np.exp(-highest) + rest))
    return np.asarray(np.mean(shares, axis=0))
