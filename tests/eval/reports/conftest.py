"""Small folders of results, written by the evaluation's own writers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from leanseek.eval.measures import score
from leanseek.eval.results import (
    RUN,
    Efficiency,
    IndexBuild,
    Latency,
    Machine,
    Provenance,
    Result,
    SystemSettings,
    result_folder,
    write_evidence,
    write_per_query,
    write_result,
)
from leanseek.indexing.settings import SparseSettings
from leanseek.reading.runs import write_run
from leanseek.types import Query, Ranked, Rankings

HOSTILE = "<script>alert('&\"')</script> {{ 7 * 7 }} | _x_ $y$"
MACHINE = Machine("Some CPU", 2, "Linux 6.1")
MEASURES = ("nDCG@10", "R@100", "RR@10")
COUNT = 40

Maker = Callable[..., None]


def make_qrels() -> dict[str, dict[str, int]]:
    return {f"q{number}": {f"d{number}": 2, f"d{number + 1}": 1} for number in range(COUNT)}


def make_rankings(quality: float, seed: int) -> dict[str, dict[str, float]]:
    """The first relevant document is near the top with the probability `quality`, among random others."""
    chance = random.Random(seed)
    rankings: dict[str, dict[str, float]] = {}
    for number in range(COUNT):
        documents = chance.sample([f"d{other}" for other in range(200, 300)], 30)
        documents.insert(chance.randint(0, 2) if chance.random() < quality else 20, f"d{number}")
        documents.insert(chance.randint(0, 25), f"d{number + 1}")
        rankings[f"q{number}"] = {document: float(-rank) for rank, document in enumerate(documents)}
    return rankings


@pytest.fixture
def add_result(tmp_path: Path) -> Maker:
    """`add_result("bm25", rankings)` stores that system's result under `tmp_path / "out"`."""

    def add(
        system: str,
        rankings: Rankings,
        *,
        collection: str = "tiny",
        mode: str = "sparse",
        measures: tuple[str, ...] = MEASURES,
        checksum: str = "c",
        latency: Latency | None = Latency(COUNT, 1.0, 2.0, 3.0),  # noqa: B008 - frozen
        texts: Mapping[str, str] | None = None,
    ) -> None:
        qrels = make_qrels()
        folder = result_folder(tmp_path / "out", collection, "test", system)
        queries = [Query(query, (texts or {}).get(query, f"the text of {query}")) for query in qrels]
        scores = score(rankings, qrels, list(measures))
        folder.mkdir(parents=True)
        write_evidence(folder, queries, qrels)
        ranked = [
            (query, [Ranked(id, value) for id, value in rankings.get(query.id, {}).items()])
            for query in queries
        ]
        write_run(folder / RUN, ranked, tag="tag")
        write_per_query(folder, scores.per_query)
        build = IndexBuild(1.5, 300, 300, 200.0, 0, 12345, None, MACHINE)
        write_result(
            folder,
            Result(
                collection=collection,
                split="test",
                system=system,
                settings=SystemSettings(
                    mode, SparseSettings(), None, None, None, None, None, None, 0, None, None
                ),
                k=1000,
                documents=300,
                queries=COUNT,
                measures=scores.measures,
                means=scores.means,
                rules=scores.rules,
                warnings=(),
                efficiency=Efficiency(build if latency else None, latency, 0.5, 80.0, None, MACHINE),
                provenance=Provenance(
                    ("leanseek", "eval", "collection", "tiny"),
                    "0.1.0",
                    None,
                    "3.11",
                    {"numpy": "2"},
                    None,
                    "f" * 64,
                    checksum,
                    None,
                    "r" * 64,
                    "i" * 64,
                    {},
                    "2026-01-01T00:00:00Z",
                ),
            ),
        )

    return add


@pytest.fixture
def three_systems(add_result: Maker, tmp_path: Path) -> Path:
    """A baseline, a clearly better system and a copy of the baseline; one query's text is hostile."""
    base = make_rankings(0.3, 1)
    add_result("bm25", base, texts={"q0": HOSTILE, "q1": HOSTILE})
    add_result("better", make_rankings(0.95, 2), mode="dense", texts={"q0": HOSTILE, "q1": HOSTILE})
    add_result("same_as <bm25> & 100%", base, mode="hybrid", texts={"q0": HOSTILE, "q1": HOSTILE})
    return tmp_path / "out"
