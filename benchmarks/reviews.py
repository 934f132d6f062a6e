"""Systematic reviews: the work that a ranking by title and learning from labels save, and where reading ends.

    python benchmarks/reviews.py --peer PYTHON

The data are drug class reviews (Cohen et al., JAMIA 2006) in BEIR's layout, a folder a review, with one query. The
constants of leanseek.understanding.reviews were chosen on the first four by name, and the last four only measured.
The reviewer is simulated by the judgments, ten documents at a time, with no label before.

`title`: WSS@95 of the order by the title alone, by each side and by both. `labels`: WSS@95 with feedback; asreview, in
the environment of PYTHON (pip install asreview), has its default model, ELAS u4, the same batches, and begins with the
documents that leanseek begins with, until one is relevant and one is not; or with documents drawn at random, in the
mean over --random seeds. `stop`: in each of --seeds runs, of a review from which one in ten candidates was left out
at random, reading ends where the confidence that 95 % was found is that of the column. A run is right if it is, and
read / needed is how many were read, of how many would have been enough in the same order.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek import Index, Searcher, read, read_queries
from leanseek.errors import UsageError
from leanseek.eval.review_measures import ReviewMeasure
from leanseek.reading import read_qrels
from leanseek.types import Document
from leanseek.understanding.reviews import Screening

DATA = Path(
    os.environ.get("LEANSEEK_SCREENING", Path(__file__).parents[1] / ".." / "shared" / "data" / "screening")
)
TUNED = 4
BATCH = 10
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
WSS = ReviewMeasure("WSS", 95.0)


class Review(NamedTuple):
    """A review of the data."""

    name: str
    title: str
    documents: list[Document]
    labels: dict[str, int]

    def needed(self, order: Sequence[str], among: Sequence[str] | None = None) -> int:
        """How many must be read in this order until 95 % of what is relevant is found."""
        candidates = order if among is None else among
        wanted = int(np.ceil(0.95 * sum(self.labels[id] for id in candidates) - 1e-9))
        found = np.cumsum([self.labels[id] for id in order])
        return int(np.searchsorted(found, wanted)) + 1


def load(folder: Path) -> Review:
    """The review in a folder."""
    [query] = read_queries(folder)
    judged = read_qrels(folder / "qrels" / "test.tsv")[query.id]
    return Review(
        folder.name, query.text, list(read(folder)), {id: int(grade > 0) for id, grade in judged.items()}
    )


def opened(review: Review, work: Path) -> Searcher:
    """A searcher of the review's index, which is made where it is not there yet."""
    path = work / f"{review.name}.index"
    if not path.exists():
        with Index.create(path) as index:
            index.add(review.documents)
    return Searcher.open(path, relevance=None)


def simulated(review: Review, screening: Screening) -> list[str]:
    """The order in which all candidates are read, as far as everything relevant is found; the others follow."""
    total = sum(review.labels[one.id] for one in screening.ranking())
    while sum(screening.labels.values()) < total:
        screening.label({one.id: review.labels[one.id] for one in screening.next(BATCH)})
    return [one.id for one in screening.ranking()]


def first_read(order: Sequence[str], labels: dict[str, int]) -> list[str]:
    """The first batches of an order that have a relevant document and one that is not."""
    count = BATCH
    while len({labels[id] for id in order[:count]}) < 2:
        count += BATCH
    return list(order[:count])


def by_peer(python: str, review: Review, first: Sequence[str]) -> list[str]:
    """The order in which asreview has all documents read."""
    places = {one.id: place for place, one in enumerate(review.documents)}
    given = {
        "titles": [one.title for one in review.documents],
        "texts": [one.text for one in review.documents],
        "labels": [review.labels[one.id] for one in review.documents],
        "first": [places[id] for id in first],
        "batch": BATCH,
    }
    script = Path(__file__).with_name("reviews_asreview.py")
    done = subprocess.run(
        [python, str(script)], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return [review.documents[place].id for place in json.loads(done.stdout)]


class Stop(NamedTuple):
    """Where reading ended at one confidence: the recall there, and the documents read of those needed."""

    confidence: float
    recall: float
    ratio: float


def stops(review: Review, searcher: Searcher, seed: int, share: float = 0.9) -> list[Stop]:
    """Where a run ends at each of the confidences."""
    rng = np.random.default_rng(seed)
    ids = sorted(review.labels)
    some = [ids[place] for place in np.sort(rng.permutation(len(ids))[: int(share * len(ids))])]
    screening = Screening(searcher, review.title, candidates=some)
    total = sum(review.labels[id] for id in some)
    ended: dict[float, tuple[int, int]] = {}
    order: list[str] = []
    while len(ended) < len(CONFIDENCES) or sum(review.labels[id] for id in order) < 0.95 * total:
        screening.label({one.id: review.labels[one.id] for one in screening.next(BATCH)})
        order = list(screening.labels)
        estimate = screening.estimate()
        for confidence in CONFIDENCES:
            if estimate.reached(confidence):
                ended.setdefault(confidence, (estimate.read, estimate.found))
    needed = review.needed(order, some)
    return [Stop(one, found / total, read / needed) for one, (read, found) in ended.items()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reviews", nargs="*", help="names of reviews; by default all")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("reviews"), help="where the indexes are")
    parser.add_argument("--parts", nargs="+", default=["title", "labels", "stop"])
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has asreview")
    parser.add_argument("--random", type=int, default=0, help="random beginnings of asreview")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    names = sorted(folder.parent.name for folder in given.data.glob("*/corpus.jsonl"))
    given.work.mkdir(parents=True, exist_ok=True)
    ended: dict[str, list[Stop]] = {}
    for name in given.reviews or names:
        review = load(given.data / name)
        with opened(review, given.work) as searcher:
            if "title" in given.parts:
                orders = {}
                for mode in ("sparse", "dense", "hybrid"):
                    try:
                        orders[mode] = [
                            one.id for one in Screening(searcher, review.title, mode=mode).ranking()
                        ]
                    except UsageError as error:
                        print(f"{name}: {error}")
                values = "  ".join(
                    f"{mode} {WSS.value(order, review.labels):.3f}" for mode, order in orders.items()
                )
                print(f"title   {name:24} {values}", flush=True)
            if "labels" in given.parts:
                screening = Screening(searcher, review.title)
                by_title = [one.id for one in screening.ranking()]
                line = f"leanseek {WSS.value(simulated(review, screening), review.labels):.3f}"
                if given.peer:
                    order = by_peer(given.peer, review, first_read(by_title, review.labels))
                    line += f"  asreview {WSS.value(order, review.labels):.3f}"
                    values_ = []
                    for seed in range(given.random):
                        drawn = np.random.default_rng(seed).permutation(sorted(review.labels)).tolist()
                        order = by_peer(given.peer, review, first_read(drawn, review.labels))
                        values_.append(WSS.value(order, review.labels))
                    line += f"  from random {np.mean(values_):.3f}" if values_ else ""
                print(f"labels  {name:24} {line}", flush=True)
            if "stop" in given.parts:
                ended[name] = [stop for seed in range(given.seeds) for stop in stops(review, searcher, seed)]
                print_stops(name, ended[name])
    for part, some in (("tuned on", names[:TUNED]), ("not seen", names[TUNED:])):
        if kept := [stop for name in some for stop in ended.get(name, [])]:
            print_stops(part, kept)


def print_stops(name: str, found: Sequence[Stop]) -> None:
    """A line: at each confidence the share of runs that are right, and what was read of what was needed."""
    cells = []
    for confidence in CONFIDENCES:
        runs = [one for one in found if one.confidence == confidence]
        right = np.mean([one.recall >= 0.95 for one in runs])
        cells.append(f"{confidence:g}: {right:.2f} right, {np.mean([one.ratio for one in runs]):.2f} read")
    print(f"stop    {name:24} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
