"""What learning how to fuse is worth with 5 to 100 judged queries, on queries that took no part in it.

    python benchmarks/fusion_labels.py scifact:train:test cranfield:test … --data FOLDER_OF_COLLECTIONS [--out indexes]
        [--labels 5 10 20 50 100] [--draws 300]

COLLECTION:LEARN:REPORT learns from queries drawn from one split and reports on all of the other; with one split, its
queries are halved anew for each draw. Prints Markdown: per number of labels the mean change of nDCG@10 against the
default in percent, the worst, and the share of draws that lose more than 0.5 %; first as it is learned, then with the
best fusion of the same grid taken as it comes. The first run encodes the collections; later ones take the vectors
from the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, Encoder, load_encoder
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.index_build import prepare_index
from leanseek.eval.systems import System
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.request import QueryEncoder
from leanseek.train.fusion.grid import (
    DEFAULT,
    PAIRS,
    Place,
    Scaled,
    Tried,
    choose,
    ndcg_by_weight,
    on_all_scales,
    try_all,
)
from leanseek.train.fusion.judged_candidates import JudgedQuery, gather, labelled
from leanseek.types import Float64Array, Int64Array

LOSS = -0.5
"""Percent of the default's nDCG@10 that learning must not cost."""


class Study(NamedTuple):
    """What was tried on the queries to learn from, and those to report on; the same where there is one split."""

    name: str
    tried: Tried
    report: list[JudgedQuery]
    scores: list[Scaled]
    halved: bool

    def measured(self, place: Place) -> Float64Array:
        """(m,) nDCG@10 of each query reported on."""
        sides, weight = PAIRS[place.pair], np.array([self.tried.weights[place.pair, place.share]])
        return np.array(
            [
                ndcg_by_weight(query, scores.sparse[sides[0]], scores.dense[sides[1]], weight)[0]
                for query, scores in zip(self.report, self.scores, strict=True)
            ]
        )


def study(data: Path, out: Path, wanted: str, encoder: Encoder) -> Study:
    """One collection's candidates, scored by both sides, and every fusion tried on the queries to learn from."""
    name, learn, *report = wanted.split(":")
    collection = open_collection(data / name)
    with progress_bar(quiet=False) as progress:
        prepared = prepare_index(
            collection, out / name, System(encoder=encoder).plan(), replaceable=False, progress=progress
        )
    snapshot = Snapshot.open(prepared.folder)
    queries = QueryEncoder(snapshot.state.settings.encoder, encoder)
    learning = judged(snapshot, queries, collection, learn)
    reported = judged(snapshot, queries, collection, report[0]) if report else learning
    snapshot.close()
    return Study(
        f"{name} {' → '.join([learn, *report])}",
        try_all(learning),
        reported,
        list(map(on_all_scales, reported)),
        not report,
    )


def judged(
    snapshot: Snapshot, encoder: QueryEncoder, collection: Collection, split: str
) -> list[JudgedQuery]:
    """The split's judged queries with their candidates."""
    qrels = collection.qrels(split)
    return gather(snapshot, encoder, labelled(snapshot, collection.queries(split), qrels).queries, qrels)


def changes(
    one: Study, labels: int, draws: int, rule: Callable[[Float64Array], Place]
) -> Float64Array | None:
    """(draws,) the relative change of nDCG@10 on the queries reported on, in percent; None with too few queries."""
    measured = cache(one.measured)
    queries = len(one.tried.ndcg)
    if labels > (queries // 2 if one.halved else queries):
        return None
    found = np.empty(draws)
    for draw in range(draws):
        order: Int64Array = np.random.default_rng([draw, labels]).permutation(queries)
        held_out = order[queries // 2 :] if one.halved else np.arange(len(one.report))
        place = rule(one.tried.ndcg[order[:labels]])
        found[draw] = 100 * (measured(place)[held_out].mean() / measured(DEFAULT)[held_out].mean() - 1)
    return found


def learned(ndcg: Float64Array) -> Place:
    """The product's rule."""
    return choose(ndcg).taken


def luckiest(ndcg: Float64Array) -> Place:
    """The fusion of the grid that is best on the labels."""
    pair, share = np.unravel_index(int(ndcg.mean(axis=0).argmax()), ndcg.shape[1:])
    return Place(int(pair), int(share))


def table(
    studies: Sequence[Study], labels: Sequence[int], draws: int, rule: Callable[[Float64Array], Place]
) -> Iterator[str]:
    """Lines of Markdown: mean change, worst, share of draws below the allowed loss, for each number of labels."""
    yield f"| collection | default | {' | '.join(f'{number} labels' for number in labels)} |"
    yield f"|---|---|{'---|' * len(labels)}"
    for one in studies:
        cells = [f"{one.name} ({len(one.report):,})", f"{one.measured(DEFAULT).mean():.4f}"]
        for number in labels:
            found = changes(one, number, draws, rule)
            cells.append(
                f"{found.mean():+.2f} (worst {found.min():+.1f}; {np.mean(found < LOSS):.1%})"
                if found is not None
                else ""
            )
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="COLLECTION:LEARN[:REPORT]")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("fusion-labels"))
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    parser.add_argument("--draws", type=int, default=300)
    options = parser.parse_args()
    encoder = load_encoder(DEFAULT_MODEL)
    studies = [study(options.data, options.out, wanted, encoder) for wanted in options.collections]
    for title, rule in (("As learned", learned), ("The best on the labels, as it comes", luckiest)):
        print(f"\n{title}:\n", flush=True)
        for line in table(studies, options.labels, options.draws, rule):
            print(line, flush=True)


if __name__ == "__main__":
    main()
