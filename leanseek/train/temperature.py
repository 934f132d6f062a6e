"""Which temperature of attention suits an index's documents: its encoder tried at several, on judged queries."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.encode.variants import with_settings
from leanseek.errors import UsageError
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.indexing.creation import Plan, make_plan
from leanseek.indexing.index import Index
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.searcher import Searcher
from leanseek.train.fusion.judged_candidates import labelled
from leanseek.types import Document, Float64Array, Progress, Qrels, Query

TEMPERATURES: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
MEASURE: Final = "nDCG@10"


@dataclass(frozen=True, slots=True)
class TriedTemperature:
    """The mean nDCG@10 of the dense search by the `encoder` at a temperature; its gain over a temperature of 1 on the
    same queries, with the p of a paired randomisation test (1 at that temperature itself)."""

    temperature: float
    encoder: str
    ndcg: float
    gain: float
    p: float


def try_temperatures(
    path: str | os.PathLike[str],
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    max_tokens: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> list[TriedTemperature]:
    """Encode the documents of the index at `path` at each temperature, search them, and say what comes of it.

    A temperature of 1 is always tried, and comes first. `max_tokens` is how much of a text is read; by default as much
    as by the index's encoder. The index stays as it is, and vectors are kept in the vector cache, so that an index that
    is made with the best temperature finds them there. On few queries the best of several is best by chance: mind p.

    Raises UsageError where the index has no dense side, or its encoder has no name; ModelError for one whose attention
    has no temperature; InputError where the queries and judgments do not fit the index (see `labelled`).
    """
    folder = Path(path)
    snapshot = Snapshot.open(folder, dense=False)
    try:
        settings = snapshot.state.settings
        if settings.encoder is None:
            raise UsageError(f"'{folder}' has no dense side, so no encoder whose temperature could be chosen")
        judged = labelled(snapshot, queries, qrels).queries
        documents = list(snapshot.whole(snapshot.ids()))
    finally:
        snapshot.close()
    tried: list[tuple[float, str, Float64Array]] = []
    for temperature in dict.fromkeys((1.0, *temperatures)):
        name = with_settings(settings.encoder.name, temperature=temperature, max_tokens=max_tokens)
        plan = make_plan(
            encoder=name,
            dense="flat",
            sparse=None,
            # Passages that fit the encoder fit the variant, as they would in an index made with it.
            chunk_words=settings.chunk_words if settings.chunk_tokens is None else "auto",
            chunk_overlap=settings.chunk_overlap,
            device=device,
        )
        tried.append((temperature, name, _measured(plan, documents, judged, qrels, progress)))
    first = tried[0][2]
    found = []
    for temperature, name, values in tried:
        gain = values - first
        [p] = randomisation(gain[:, np.newaxis], seed=0) if gain.any() else [1.0]
        found.append(TriedTemperature(temperature, name, float(values.mean()), float(gain.mean()), float(p)))
    return found


def _measured(
    plan: Plan,
    documents: Sequence[Document],
    queries: Sequence[Query],
    qrels: Qrels,
    progress: Progress | None,
) -> Float64Array:
    """(queries,): the measure of the dense search of an index made by the plan."""
    with tempfile.TemporaryDirectory(prefix="leanseek-") as work:
        folder = Path(work) / "index"
        Index.make(folder, documents, plan, progress=progress)
        with Searcher.open(folder, relevance=None) as searcher:
            rankings = searcher.rank_batch([query.text for query in queries], 10)
    run = {
        query.id: {one.id: one.score for one in ranking}
        for query, ranking in zip(queries, rankings, strict=True)
    }
    values = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([values[query.id][MEASURE] for query in queries])
