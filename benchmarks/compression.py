"""How often a compressed context still has the sentence that answers: `Searcher.context(compress=…)`.

    python benchmarks/compression.py
    python benchmarks/compression.py --collections selqa --split dev --queries 200 --shares 0.5 0.25

The collections are of answer sentences: a question's candidates, in their order, are made a document, each sentence a
paragraph of its own, and questions without an answer are left out. An answer is kept where all of it stands in the
spans of the context, and a question counts where one of its answers is kept. Ways to choose sentences: the first ones,
by the words that they share with the question, and by the vectors of their tokens, which are stored in the index.
Indexes stay in --out.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from leanseek import Document, Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval.collections import open_collection
from leanseek.indexing.tokens.token_writer import store_tokens
from leanseek.searcher.context.compression import WordOrder, fill, neighbours, split
from leanseek.text import load_analyzer
from leanseek.text.sentences import split_words
from leanseek.types import Hit

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
COLLECTIONS = ("wikiqa", "selqa", "trecqa")
EVERYTHING = 10**9

Place = tuple[int, int]
"""Characters [start, end) of a text."""


class Pool(NamedTuple):
    """A question, the document of its candidates, and where the answers are."""

    question: str
    document: Document
    answers: list[Place]


def pools(name: str, split_name: str, most: int | None) -> list[Pool]:
    """The questions of a collection's split that have an answer; at most so many, drawn with seed 0."""
    collection = open_collection(DATA / name)
    qrels = collection.qrels(split_name)
    judged = [
        query for query in collection.queries(split_name) if max(qrels.get(query.id, {"": 0}).values()) > 0
    ]
    if most is not None and most < len(judged):
        judged = random.Random(0).sample(judged, most)
    wanted = {one for query in judged for one in qrels[query.id]}
    sentences = {document.id: document for document in collection.documents() if document.id in wanted}
    found = []
    for query in judged:
        text, answers = "", []
        for one, grade in qrels[query.id].items():
            start = len(text)
            text += sentences[one].text.strip()
            if grade > 0:
                answers.append((start, len(text)))
            text += "\n\n"
        title = sentences[next(iter(qrels[query.id]))].title
        found.append(Pool(query.text, Document(query.id, text.strip(), title), answers))
    return found


def prepare(name: str, given: Sequence[Pool], out: Path) -> Path:
    """The index of the pools' documents with the vectors of their tokens, made where it is missing."""
    path = out / f"{name}-{len(given)}"
    if not path.exists():
        with progress_bar(quiet=False) as progress:
            Index.create(path).add((pool.document for pool in given), progress=progress)
            store_tokens(path, progress=progress)
    return path


def words(text: str) -> int:
    return len(split_words(text))


def first_sentences(pool: Pool, share: float) -> list[Place]:
    """The spans of a document's first sentences."""
    sentences = split(pool.document.text)
    return spans_of(pool, sentences, range(len(sentences)), share)


def shared_words(pool: Pool, share: float) -> list[Place]:
    """The spans of the sentences that share words with the question."""
    hit, sentences = Hit(1, pool.document.id, 1.0, "", pool.document.text, {}), split(pool.document.text)
    [order] = WordOrder(pool.question, [hit], load_analyzer("english").tokens)([hit], [sentences])
    return spans_of(pool, sentences, order, share)


def spans_of(pool: Pool, sentences: Sequence[Place], order: Sequence[int], share: float) -> list[Place]:
    """The spans of a share of the document, in an order of its sentences."""
    lengths = [words(pool.document.text[start:end]) for start, end in sentences]
    runs = neighbours(fill(order, lengths, share))
    return [(sentences[first][0], sentences[last][1]) for first, last in runs]


def by_context(searcher: Searcher) -> Callable[[Pool, float], list[Place]]:
    """The spans of a compressed context of a document alone."""

    def spans(pool: Pool, share: float) -> list[Place]:
        only = f'id = "{pool.document.id}"'
        context = searcher.context(pool.question, EVERYTHING, k=1, filter=only, compress=share)
        return [(span.start, span.end) for cited in context.passages for span in cited.spans]

    return spans


def measure(
    given: Sequence[Pool], spans: Callable[[Pool, float], list[Place]], share: float
) -> tuple[float, float]:
    """How many of the pools keep an answer, and the share of all words that is kept."""
    kept = shown = total = 0
    for pool in given:
        runs = spans(pool, share)
        kept += any(start <= first and last <= end for first, last in pool.answers for start, end in runs)
        shown += sum(words(pool.document.text[start:end]) for start, end in runs)
        total += words(pool.document.text)
    return kept / len(given), shown / total


def rows(name: str, given: Sequence[Pool], index: Path, shares: Sequence[float]) -> Iterator[str]:
    """A row of the table for each share."""
    with Searcher.open(index, relevance=None) as searcher:
        ways = (first_sentences, shared_words, by_context(searcher))
        for share in shares:
            cells = [
                f"{kept:.3f} ({part:.0%})" for kept, part in (measure(given, way, share) for way in ways)
            ]
            yield f"| {name} | {len(given)} | {share:.2f} | {' | '.join(cells)} |"


def main() -> None:
    """Measure each collection and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--split", default="test", help="whose questions (default: test)")
    parser.add_argument("--queries", type=int, help="so many of each collection, drawn with seed 0")
    parser.add_argument("--shares", type=float, nargs="+", default=[1 / 2, 1 / 3])
    parser.add_argument("--out", type=Path, default=Path("compression-out"))
    given = parser.parse_args()
    print("Documents that keep an answer (and the share of all words that is kept)\n")
    print("| collection | documents | compress | first sentences | words | token vectors |")
    print("|---|---|---|---|---|---|")
    for name in given.collections:
        found = pools(name, given.split, given.queries)
        index = prepare(f"{name}-{given.split}", found, given.out)
        for row in rows(name, found, index, given.shares):
            print(row, flush=True)


if __name__ == "__main__":
    main()
