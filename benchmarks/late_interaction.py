"""nDCG@10 of the default hybrid search, and of late interaction on its best 100, with significance.

    python benchmarks/late_interaction.py --collections trec-dl-2019 vaswani cranfield cisi
    python benchmarks/late_interaction.py --collections wikiqa --split dev --queries 70
    python benchmarks/late_interaction.py --collections trec-dl-2019 --stored

Prints a row for each collection: the search alone, MaxSim alone, the mean of the z-scores of cosine and MaxSim, and
the default mix, with the p of a paired randomisation test between it and the search. Where a collection has a stored
BM25 run and the split test_full, the run's best 100 are what is ranked. Indexes stay in --out.

With --stored, instead: what is left of nDCG@10 where the token vectors of all these passages are stored, in several
forms, how many bytes a passage takes (its own 8-bit vector and its key included), and the median processor time
that re-ranking one query takes (of the first five), reading the passages as they come and with what is stored.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek import Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.encode.token_model import TokenModel, TokenVectors
from leanseek.encode.token_registry import load_token_model
from leanseek.eval.answers import read_candidates
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.indexing.quantisation import Bits
from leanseek.indexing.tokens.token_writer import store_tokens
from leanseek.rerank import RerankOptions
from leanseek.rerank.lateinteraction import LateInteractionReranker, Mix, load
from leanseek.rerank.lateinteraction.late_interaction import DEFAULT_MIX
from leanseek.rerank.lateinteraction.stored_tokens import with_stored
from leanseek.types import Document, Float32Array, Float64Array, Hit, Qrels, Query

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
COLLECTIONS = ("scifact", "cranfield", "cisi", "vaswani", "cosqa", "trec-dl-2019", "wikiqa")
DEPTH = 100
MEASURE = "nDCG@10"
OFFICIAL = "test_full"
MIXES = {
    "MaxSim": Mix(),
    "cosine + MaxSim": Mix(maxsim=0.5, cosine=0.5),
    "default mix": DEFAULT_MIX,
}
FORMS: tuple[tuple[int | None, Bits], ...] = ((None, 8), (None, 4), (192, 4), (128, 8), (128, 4), (64, 4))
"""Dimensions (None: all) and bits of what is stored."""
TIMED, TURNS = 5, 3
"""Queries that are timed, one by one, and how often each."""


def first_stage(
    collection: Collection, queries: Sequence[Query], index: Path, run: Path | None
) -> list[list[Hit]]:
    """The default hybrid's best 100 of each query, or its order of a stored run's."""
    documents: dict[str, Document] = {document.id: document for document in collection.documents()}
    with progress_bar(quiet=False) as progress:
        if not index.exists():
            Index.create(index).add(documents.values(), progress=progress)
        candidates = read_candidates(run, DEPTH) if run is not None else None
        with Searcher.open(index, relevance=None) as searcher:
            ranked = searcher.rank_batch(
                [query.text for query in queries],
                DEPTH,
                candidates=[candidates.of(query.id) for query in queries] if candidates is not None else None,
                progress=progress,
            )
    return [
        [
            Hit(rank, one.id, one.score, documents[one.id].title, documents[one.id].text, {})
            for rank, one in enumerate(ranking, 1)
        ]
        for ranking in ranked
    ]


def per_query(
    queries: Sequence[Query], hits: Sequence[Sequence[Hit]], scores: Sequence[Float64Array], qrels: Qrels
) -> Float64Array:
    """(queries,) the measure of the hits in the order of the scores."""
    run = {
        query.id: {hit.id: float(one) for hit, one in zip(given, said, strict=True)}
        for query, given, said in zip(queries, hits, scores, strict=True)
    }
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


class Remembering:
    """A `TokenModel` that has another read each passage once, and keeps in float16 what it read."""

    def __init__(self, model: TokenModel) -> None:
        self.name, self.fingerprint, self.whole = model.name, model.fingerprint, model.whole
        self.passage_tokens, self.budget = model.passage_tokens, model.budget
        self.lengths, self.queries = model.lengths, model.queries
        self._model = model
        self._known: dict[str, tuple[NDArray[np.float16], Float32Array | None]] = {}

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            read = self._model.passages(new)
            for place, (text, tokens) in enumerate(zip(new, read.tokens, strict=True)):
                whole = None if read.texts is None else read.texts[place]
                self._known[text] = (tokens.astype(np.float16), whole)
        known = [self._known[text] for text in texts]
        wholes = [whole for _, whole in known if whole is not None]
        return TokenVectors(
            [tokens.astype(np.float32) for tokens, _ in known], np.stack(wholes) if wholes else None
        )


def seconds_a_query(model: TokenModel, queries: Sequence[Query], hits: Sequence[Sequence[Hit]]) -> float:
    """The median processor time that re-ranking one of the queries takes, at the fastest of its turns.

    Whatever else the machine has to do makes the time on the clock worthless.
    """
    reranker = LateInteractionReranker(model)
    reranker.measure([queries[0].text], [hits[0][:1]])
    seconds = []
    for query, given in zip(queries, hits, strict=True):
        turns = []
        for _ in range(TURNS):
            began = time.process_time()
            reranker.measure([query.text], [given])
            turns.append(time.process_time() - began)
        seconds.append(min(turns))
    return statistics.median(seconds)


def stored(
    name: str,
    queries: Sequence[Query],
    hits: Sequence[Sequence[Hit]],
    qrels: Qrels,
    model: TokenModel,
    index: Path,
) -> None:
    """Print a row for each form that the token vectors of the hits are stored in."""

    search = [np.array([hit.score for hit in given]) for given in hits]

    def row(label: str, size: str, reading: TokenModel, seconds: float) -> None:
        with progress_bar(quiet=False) as progress:
            reranker = LateInteractionReranker(reading)
            measured = reranker.measure([query.text for query in queries], hits, progress=progress)
        means = [
            per_query(
                queries,
                hits,
                [mix.scores(*one, own) for one, own in zip(measured, search, strict=True)],
                qrels,
            ).mean()
            for mix in (Mix(), DEFAULT_MIX)
        ]
        print(f"| {label} | {size} | {means[0]:.4f} | {means[1]:.4f} | {seconds * 1e3:,.0f} ms |", flush=True)

    print(f"| {name}: dimensions, bits | bytes a passage | MaxSim | default mix | a query |")
    print("|---|---|---|---|---|", flush=True)
    remembering = Remembering(model)
    row("as they come", "", remembering, seconds_a_query(model, queries[:TIMED], hits[:TIMED]))
    passages = {hit.id: Document(hit.id, hit.text, hit.title) for given in hits for hit in given}
    shutil.rmtree(index, ignore_errors=True)
    Index.create(index, encoder=None).add(passages.values())
    for dims, bits in FORMS:
        with progress_bar(quiet=False) as progress:
            report = store_tokens(index, remembering, dims=dims, bits=bits, progress=progress)
        reading = with_stored(model, index)
        seconds = seconds_a_query(reading, queries[:TIMED], hits[:TIMED])
        row(f"{report.dims}, {bits}", f"{report.bytes_per_passage:,.0f}", reading, seconds)


def main() -> None:
    """Measure each collection and print its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--split", help="another than test; its name")
    parser.add_argument(
        "--queries", type=int, help="so many of each collection, drawn with seed 0; by default all"
    )
    parser.add_argument("--model", help="as late-interaction:MODEL takes it")
    parser.add_argument("--stored", action="store_true", help="measure what is stored instead")
    parser.add_argument("--out", type=Path, default=Path("late-interaction-out"))
    given = parser.parse_args()
    reranker = load(RerankOptions(given.model))
    if not given.stored:
        print(f"| collection | queries | search | {' | '.join(MIXES)} | p |")
        print(f"|---|---|---|{'---|' * len(MIXES)}---|")
    for name in given.collections:
        collection = open_collection(DATA / name)
        runs = sorted((DATA / name / "runs").glob("BM25__*.trec"))
        split = given.split or (OFFICIAL if runs else "test")
        qrels = collection.qrels(split)
        judged = [
            query for query in collection.queries(split) if max(qrels.get(query.id, {"": 0}).values()) > 0
        ]
        if given.queries is not None:
            random.Random(0).shuffle(judged)
            judged = judged[: given.queries]
        hits = first_stage(collection, judged, given.out / name, runs[0] if runs else None)
        if given.stored:
            stored(name, judged, hits, qrels, load_token_model(given.model), given.out / f"{name}-tokens")
            continue
        with progress_bar(quiet=False) as progress:
            measured = reranker.measure([query.text for query in judged], hits, progress=progress)
        search = [np.array([hit.score for hit in given_]) for given_ in hits]
        before = per_query(judged, hits, search, qrels)
        after = {
            label: per_query(
                judged,
                hits,
                [mix.scores(*one, own) for one, own in zip(measured, search, strict=True)],
                qrels,
            )
            for label, mix in MIXES.items()
        }
        [p] = randomisation((after["default mix"] - before)[:, np.newaxis], seed=0)
        cells = " | ".join(f"{values.mean():.4f}" for values in (before, *after.values()))
        print(f"| {name} {split} | {len(judged)} | {cells} | {p:.3f} |", flush=True)


if __name__ == "__main__":
    main()
