"""Finding long documents like a long document: `Searcher.similar`, beside simpler ways with the same encoder.

    python benchmarks/similar_documents.py
    python benchmarks/similar_documents.py --half tune --chunk 30 60 100

The documents are the answers of medquad with at least 500 words whose focus, a disease or a topic, several have. The
answers with the focus of the one that is asked are relevant. Titles, which are the focus, are left out, and in the
document that is asked the words of its focus are left out too. The foci are divided into two halves by their names:
`--half tune` is for choosing, `report` for what is reported; all documents are searched either way. `--foci` takes so
many foci of each half, drawn with seed 0.

Ways: `truncation`, one vector of each document, of as many tokens as the encoder reads; `first`, the vector of the
first passage; `mean`, the mean of the vectors of all passages; `best`, the nearest pair of passages; and `similar`.
Indexes and vectors stay in --out and in the cache.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from leanseek import Document, Index
from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL
from leanseek.eval import bootstrap, open_collection, score
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.likeness import similar_hits, spread
from leanseek.text import load_analyzer
from leanseek.types import Float32Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
WORDS: Final = 500
HALVES: Final = ("tune", "report")
MEASURE: Final = "nDCG@10"

Vectors: TypeAlias = dict[str, Float32Array]
"""(m, D) the vectors of the passages of each document."""
Likeness: TypeAlias = Callable[[Float32Array, Float32Array], float]


def half_of(focus: str) -> str:
    return HALVES[zlib.crc32(focus.encode()) % 2]


def long_answers(foci: int | None) -> dict[str, list[Document]]:
    """The long answers of each focus that has several, without titles."""
    found: dict[str, list[Document]] = {}
    for document in open_collection(DATA / "medquad").documents():
        if len(document.text.split()) >= WORDS:
            found.setdefault(document.title, []).append(Document(document.id, document.text))
    several = sorted(focus for focus, answers in found.items() if len(answers) > 1)
    if foci is not None:
        several = [
            focus
            for half in HALVES
            for focus in random.Random(0).sample([one for one in several if half_of(one) == half], foci)
        ]
    return {focus: found[focus] for focus in several}


def masked(document: Document, focus: str) -> Document:
    """The document without the words of its focus, in any form that has their stem."""
    analyzer = load_analyzer("english")
    terms = set(analyzer.tokens(focus))

    def kept(word: re.Match[str]) -> str:
        return "" if terms.intersection(analyzer.tokens(word[0])) else word[0]

    return Document(document.id, re.sub(r"\w+", kept, document.text))


def prepared(path: Path, documents: Sequence[Document], encoder: str, chunk: int | None) -> Snapshot:
    """The index of the documents, made where it is missing."""
    if not path.exists():
        with progress_bar(quiet=False) as progress:
            index = Index.create(path, encoder=encoder, chunk_words=chunk, sparse=None, dense="flat")
            index.add(documents, progress=progress)
            index.close()
    return Snapshot.open(path)


def vectors_of(snapshot: Snapshot) -> Vectors:
    found = snapshot.find(snapshot.ids())
    return {one: snapshot.vectors(spread(np.array(sorted(parts), np.int64))) for one, parts in found.items()}


def cosine_of_means(mine: Float32Array, theirs: Float32Array) -> float:
    mean, other = mine.mean(axis=0), theirs.mean(axis=0)
    return float(mean @ other / (np.linalg.norm(mean) * np.linalg.norm(other)))


BASELINES: dict[str, Likeness] = {
    "first": lambda mine, theirs: float(mine[0] @ theirs[0]),
    "mean": cosine_of_means,
    "best": lambda mine, theirs: float((mine @ theirs.T).max()),
}


def ranked(
    asked: Vectors, documents: Vectors, ids: Sequence[str], likeness: Likeness
) -> dict[str, dict[str, float]]:
    """The likeness of each document to each of those asked, itself left out."""
    return {
        one: {other: likeness(asked[one], theirs) for other, theirs in documents.items() if other != one}
        for one in ids
    }


def main() -> None:
    """Measure each way and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=HALVES, default="report", help="whose foci are asked for")
    parser.add_argument("--chunk", type=int, nargs="+", default=[60], help="words of a passage")
    parser.add_argument("--foci", type=int, help="so many of each half")
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path("similar-out"))
    given = parser.parse_args()
    answers = long_answers(given.foci)
    documents = [document for several in answers.values() for document in several]
    hidden = [
        masked(document, focus)
        for focus, several in answers.items()
        if half_of(focus) == given.half
        for document in several
    ]
    qrels = {
        one.id: {other.id: 1 for other in several if other.id != one.id}
        for focus, several in answers.items()
        if half_of(focus) == given.half
        for one in several
    }
    name = f"{given.encoder.replace('/', '_')}-{given.foci or 'all'}"

    def opened(chunk: int | None) -> tuple[Snapshot, Vectors, Vectors]:
        """The index of the documents, and the vectors of those asked and of all."""
        index = prepared(given.out / f"{name}-{chunk}", documents, given.encoder, chunk)
        asked = prepared(given.out / f"{name}-{chunk}-{given.half}", hidden, given.encoder, chunk)
        return index, vectors_of(asked), vectors_of(index)

    _, asked, all_vectors = opened(None)
    whole = score(ranked(asked, all_vectors, list(qrels), BASELINES["first"]), qrels, [MEASURE])
    print(
        f"{len(documents)} documents, {len(qrels)} asked for ({given.half}); {MEASURE}, and what `similar` adds\n"
    )
    print(
        "| words of a passage | truncation | first | mean | best | `similar` | over truncation | over mean |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for chunk in given.chunk:
        index, asked, all_vectors = opened(chunk)
        ways = {"truncation": whole}
        for way, likeness in BASELINES.items():
            ways[way] = score(ranked(asked, all_vectors, list(qrels), likeness), qrels, [MEASURE])
        found = {
            one: {hit.id: hit.score for hit in similar_hits(index, asked[one], 10, without=one)}
            for one in qrels
        }
        ways["similar"] = score(found, qrels, [MEASURE])
        values = np.array(
            [[one.per_query[query][MEASURE] for one in ways.values()] for query in qrels], np.float64
        )
        gains = values[:, [-1]] - values[:, [0, 2]]
        cells = [f"{mean:.3f}" for mean in values.mean(axis=0)] + [
            f"{mean:+.3f} [{within.low:+.3f}, {within.high:+.3f}]"
            for mean, within in zip(gains.mean(axis=0), bootstrap(gains, seed=0), strict=True)
        ]
        print(f"| {chunk} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
