"""Nothing to find: the queries of one real collection put to another's index come back empty.

In the default mode, and only between collections where it can be told (docs/relevance.md has the others): Vaswani's
physics is partly Cranfield's, CISI's questions about libraries name the sciences of SciFact, and 95 % of Cranfield's
many relevant documents lie so deep that a third of CoSQA's queries find something as probable.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leanseek import Index, Searcher, read, read_queries
from leanseek.types import Query

ENCODER = "onnx:sentence-transformers/all-MiniLM-L6-v2"
DEPTH = 1000
FOREIGN = {
    "scifact": ("cranfield", "vaswani", "cosqa"),
    "cranfield": ("scifact", "cisi"),
}
RECALL = 0.95
EMPTY = 0.88
LEAST_EMPTY = 0.8

# In one process with other tests that encode these collections, so that the vector cache spares them the work.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("vectors of scifact")]


def judged(folder: Path) -> tuple[list[Query], dict[str, set[str]]]:
    """The test queries of a collection, and the ids of the relevant documents of each."""
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(document)
    return [query for query in read_queries(folder) if query.id in relevant], relevant


@pytest.fixture(scope="module", params=sorted(FOREIGN))
def indexed(
    request: pytest.FixtureRequest,
    collection: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("foreign") / "index"
    Index.create(path, encoder=ENCODER).add(read(collection(request.param)))
    return request.param, path


def test_foreign_queries_find_nothing_where_own_ones_keep_their_recall(
    indexed: tuple[str, Path], collection: Callable[[str], Path]
) -> None:
    name, path = indexed
    queries, relevant = judged(collection(name))
    with Searcher.open(path) as searcher:
        own = searcher.search_batch([query.text for query in queries], DEPTH)
        found = [
            hit.probability
            for query, hits in zip(queries, own, strict=True)
            for hit in hits
            if hit.id in relevant[query.id]
        ]
        threshold = float(np.quantile(np.array(found, np.float64), 1 - RECALL, method="lower"))
        kept = searcher.search_batch([q.text for q in queries], DEPTH, min_probability=threshold)
        still = sum(
            len({hit.id for hit in hits} & relevant[query.id])
            for query, hits in zip(queries, kept, strict=True)
        )
        assert still >= RECALL * len(found)
        shares = {}
        for other in FOREIGN[name]:
            asked = [query.text for query in read_queries(collection(other))][:200]
            answers = searcher.search_batch(asked, 10, min_probability=threshold)
            shares[other] = sum(not hits for hits in answers) / len(asked)
    assert np.mean(list(shares.values())) >= EMPTY and min(shares.values()) >= LEAST_EMPTY, (
        threshold,
        shares,
    )
