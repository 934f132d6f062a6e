"""Attention heads of a decoder that look from a query at the documents that answer it, found by examples."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from leanseek.decode.decoder import Decoder
from leanseek.decode.decoder_loader import load_decoder
from leanseek.errors import InputError, UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank.incontext.heads import Head, HeadList
from leanseek.rerank.incontext.in_context import InContextReranker
from leanseek.rerank.incontext.listing import text_of
from leanseek.rerank.incontext.prompts import NO_QUERY, check_kind, tokenize
from leanseek.rerank.incontext.reader import Reader, Task, document_masses, document_scores
from leanseek.searcher.searcher import Searcher
from leanseek.train.fusion.judged_candidates import CUT, DISCOUNTS, labelled
from leanseek.types import Float64Array, Progress, Qrels, Query

Method = Literal["contrastive", "ndcg", "mass"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
COUNTS: Final[dict[Method, int]] = {"contrastive": 8, "ndcg": 16, "mass": 16}
"""How many heads the publications use."""
TEMPERATURE: Final = 0.1
FEWEST: Final = 9
"""Examples from which heads can be found; a third of them is held out."""


class Example(NamedTuple):
    """A query with the documents of a prompt, and which of them are relevant: at least one, and not all."""

    query: str
    documents: tuple[str, ...]
    relevant: tuple[bool, ...]

    def take(self, places: Sequence[int]) -> Example:
        """The example with the documents at these places, in that order."""
        return Example(
            self.query,
            tuple(self.documents[place] for place in places),
            tuple(self.relevant[place] for place in places),
        )


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

    `learned_from`: how many they were found on.
    """

    heads: HeadList
    ndcg: float
    ndcg_of_all: float
    learned_from: int
    held_out: int


def find_heads(
    model_or_path: Any,
    examples: Sequence[Example],
    *,
    method: Method = "contrastive",
    count: int | None = None,
    temperature: float = TEMPERATURE,
    prompt: str = "IE",
    device: str | None = None,
    seed: int = 0,
    source: str = "",
    progress: Progress | None = None,
) -> FoundHeads:
    """The `count` heads that find the relevant documents best, from 50 to 300 examples.

    - "contrastive": heads that look at a relevant document and not at the others (Tran et al.: Contrastive
      Retrieval Heads Improve Attention-Based Re-Ranking, arXiv 2510.02219), with a softmax over documents at
      `temperature`;
    - "ndcg": heads that order the documents best, each by itself; "mass": heads that look most at the relevant
      ones (both Zhang et al.: Query-Focused Retrieval Heads Improve Long-Context Reasoning and Re-ranking, EMNLP 2025).

    The documents are shuffled, and a third of the examples held out, by the `seed`. `source` is recorded in the list.

    Raises UsageError for an unknown method or too few heads, InputError for too few examples, and what loading a
    model raises.
    """
    if method not in METHODS:
        raise UsageError(f"'{method}' is not a method of finding heads. Choose from: {', '.join(METHODS)}")
    decoder = load_decoder(model_or_path, device)
    count = heads_to_keep(decoder, method, count)
    if not temperature > 0:
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
    watched = watch(InContextReranker(decoder, prompt).reader, shuffled, progress)
    held = watched[: len(watched) // 3]
    learned_from = watched[len(held) :]
    order = np.argsort(-worth(learned_from, method, temperature), kind="stable")
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
    return FoundHeads(
        heads,
        float(np.mean([ndcg(one.scores[best].sum(axis=0)[None], one.relevant)[0] for one in held])),
        float(np.mean([ndcg(one.scores.sum(axis=0)[None], one.relevant)[0] for one in held])),
        len(learned_from),
        len(held),
    )


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


def fitting(reader: Reader, example: Example) -> Example:
    """The example without its last documents that are not relevant, where they do not fit into the context.

    Raises InputError where not even one of them fits beside the relevant ones.
    """
    context = reader.decoder.context
    while context is not None:
        prompts = [reader.wording.compose(query, example.documents) for query in (example.query, NO_QUERY)]
        if max(len(tokenize(reader.decoder.tokenizer, prompt).ids) for prompt in prompts) <= context:
            break
        others = [place for place, relevant in enumerate(example.relevant) if not relevant]
        if len(others) < 2:
            raise InputError(
                f"the documents of the query '{example.query}' do not fit into the {context:,} tokens of "
                f"{reader.decoder.name}; cut them into passages"
            )
        example = example.take([place for place in range(len(example.documents)) if place != others[-1]])
    return example


def worth(watched: Sequence[Watched], method: Method, temperature: float = TEMPERATURE) -> Float64Array:
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


def ndcg(scores: Float64Array, relevant: NDArray[np.bool_]) -> Float64Array:
    """(heads,) nDCG@10 of the documents in the order of each head's `scores` (heads, documents).

    Of equal scores the documents that are not relevant come first: a head that scores all alike gains nothing.
    """
    order = np.lexsort((np.broadcast_to(relevant, scores.shape), -scores), axis=1)[:, :CUT]
    gains = relevant[order] @ DISCOUNTS[: order.shape[1]]
    return np.asarray(gains / DISCOUNTS[: int(relevant.sum())].sum())


class Examples(NamedTuple):
    """Examples, and `notes` on what of the queries and judgments could not be used."""

    examples: list[Example]
    notes: tuple[str, ...]


def head_examples(
    path: str | os.PathLike[str],
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    most: int,
    documents: int,
    device: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """At most `most` examples from the index at `path`: the best `documents` of its own search for a query.

    A query counts whose hits hold a relevant document and another one; the queries are drawn by the `seed`.

    Raises UsageError for fewer than two documents, InputError where queries, judgments and index do not fit each
    other, and what `Searcher.open` raises.
    """
    if documents < 2 or most < 1:
        raise UsageError(
            f"nothing can be learned from {most} queries with {documents} documents each; give at least 1 query and "
            "2 documents"
        )
    snapshot = Snapshot.open(Path(path), dense=False)
    try:
        useful, notes = labelled(snapshot, queries, qrels)
    finally:
        snapshot.close()
    found: list[Example] = []
    with Searcher.open(path, device=device) as searcher:
        for query in random.Random(f"queries {seed}").sample(useful, len(useful)):
            hits = searcher.search(query.text, documents)
            relevant = tuple(qrels[query.id].get(hit.id, 0) > 0 for hit in hits)
            if any(relevant) and not all(relevant):
                found.append(Example(query.text, tuple(map(text_of, hits)), relevant))
            if progress is not None:
                progress("searching", len(found), most)
            if len(found) == most:
                break
    return Examples(found, notes)
