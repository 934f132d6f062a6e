"""Document encoders against what compares long documents without training.

    python benchmarks/train_documents.py --foci 30 --encoder onnx-int8:all-MiniLM-L6-v2

Documents are asked for and searched as by `similar_documents.py`, `--foci` of each half. Document encoders learn from
the long answers on all other foci, without titles: `texts` from these alone, `pairs` also from which of them have the
same focus. The half `tune` is for choosing, `report` for what is reported. Prints Markdown: nDCG@10 on both, and what
each way adds to truncation and to the mean of passages on `report`. What is there is not made again; it stays in --out.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from similar_documents import (
    BASELINES,
    HALVES,
    MEASURE,
    Vectors,
    half_of,
    long_answers,
    masked,
    prepared,
    ranked,
    vectors_of,
)

from leanseek import Document
from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, DocumentTransformer, load_document_transformer
from leanseek.eval import bootstrap, score
from leanseek.searcher.likeness import block_likeness
from leanseek.train import DocumentRecipe, train_documents
from leanseek.types import Float32Array

CHUNK: Final = 60


def symmetric(mine: Float32Array, theirs: Float32Array) -> float:
    """What `similar` does without a document encoder."""
    return float(block_likeness(mine, theirs, np.zeros(1, np.int64))[0][0])


def wholes(transformer: DocumentTransformer, documents: Vectors) -> Vectors:
    """One vector of each document."""
    return {one: transformer.vectors(vectors, np.zeros(1, np.int64)) for one, vectors in documents.items()}


def trained(out: Path, others: dict[str, list[Document]], recipe: DocumentRecipe, pairs: bool) -> Path:
    """The document encoder, made where it is missing."""
    similar: dict[str, dict[str, int]] = {}
    for several in others.values():
        for one, other in combinations(several, 2):
            similar.setdefault(one.id, {})[other.id] = 1
    if not out.exists():
        with progress_bar(quiet=False) as progress:
            documents = [document for several in others.values() for document in several]
            report = train_documents(
                documents, out, recipe, pairs=similar if pairs else None, progress=progress
            )
        print(
            f"{out.name}: {report.texts} documents, loss {report.before:.3f} to {report.after:.3f}; "
            f"{report.pairs} pairs, {report.of_pairs}\n"
        )
    return out


def main() -> None:
    """Train, measure each way and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--foci", type=int, default=30, help="so many of each half are asked for")
    parser.add_argument("--epochs", type=float, default=DocumentRecipe().epochs)
    parser.add_argument("--pair-epochs", type=float, default=DocumentRecipe().pair_epochs)
    parser.add_argument("--learning-rate", type=float, default=DocumentRecipe().learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path("similar-out"))
    given = parser.parse_args()
    answers = long_answers(given.foci)
    others = {focus: several for focus, several in long_answers(None).items() if focus not in answers}
    name = f"{given.encoder.replace('/', '_')}-{given.foci}"
    documents = [document for several in answers.values() for document in several]
    hidden = [masked(document, focus) for focus, several in answers.items() for document in several]

    def opened(chunk: int | None) -> tuple[Vectors, Vectors]:
        """The vectors of the documents asked for, and of all as they are."""
        asked = prepared(given.out / f"{name}-{chunk}-asked", hidden, given.encoder, chunk)
        return vectors_of(asked), vectors_of(
            prepared(given.out / f"{name}-{chunk}", documents, given.encoder, chunk)
        )

    asked, blocks = opened(CHUNK)
    ways = {
        "truncation": (*opened(None), BASELINES["first"]),
        "mean of passages": (asked, blocks, BASELINES["mean"]),
        "`similar`": (asked, blocks, symmetric),
    }
    recipe = DocumentRecipe(
        given.encoder,
        epochs=given.epochs,
        pair_epochs=given.pair_epochs,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )
    settings = f"{given.epochs:g}-{given.pair_epochs:g}-{given.learning_rate:g}-{given.seed}"
    for kind in ("texts", "pairs"):
        folder = given.out / f"{name}-{kind}-{settings}"
        model = load_document_transformer(trained(folder, others, recipe, kind == "pairs"))
        ways[f"document encoder, {kind}"] = (wholes(model, asked), wholes(model, blocks), BASELINES["first"])
    values: dict[str, dict[str, np.ndarray]] = {}
    for half in HALVES:
        qrels = {
            one.id: {other.id: 1 for other in several if other.id != one.id}
            for focus, several in answers.items()
            if half_of(focus) == half
            for one in several
        }
        for way, (mine, theirs, likeness) in ways.items():
            found = score(ranked(mine, theirs, list(qrels), likeness), qrels, [MEASURE])
            values.setdefault(way, {})[half] = np.array(
                [found.per_query[query][MEASURE] for query in qrels], np.float64
            )
    print(f"{len(documents)} documents asked for and searched; {MEASURE}\n")
    print("| way | tune | report | over truncation | over the mean |\n|---|---|---|---|---|")
    for way, halves in values.items():
        cells = [f"{halves[half].mean():.3f}" for half in HALVES]
        gains = [halves["report"] - values[base]["report"] for base in ("truncation", "mean of passages")]
        for gain, within in zip(gains, bootstrap(np.stack(gains, 1), seed=0), strict=True):
            cells.append(f"{gain.mean():+.3f} [{within.low:+.3f}, {within.high:+.3f}]")
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
