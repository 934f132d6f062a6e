"""Contexts with the neighbours of found passages, where a question needs two passages.

    python benchmarks/expansion.py

The articles of squad2-dev are documents, split into passages of at most --words words; their paragraphs follow each
other by empty lines, and passages disregard them. A question needs the passages that its paragraph, the one that it
was written on, lies in; the questions are those that need exactly two. Full recall is the share of questions with a
context that quotes both whole, by its spans. Every way has the same budget, four characters a token, and the same hits.
The step between ranks (see leanseek.searcher.context.expansion) was chosen with --half 0, and the documentation has
--half 1: the articles with even and odd numbers. --steps compares others.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from leanseek import Document, Index, Searcher
from leanseek.encode import DEFAULT_MODEL, Encoded, Encoder, load_encoder
from leanseek.eval.collections import open_collection
from leanseek.searcher.context import Context, expansion
from leanseek.text.chunking import Chunking
from leanseek.types import Query

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
WAYS = ("passage", "window:1", "window:2", "document")


class Prepared:
    """An encoder that has encoded the questions beforehand: each is searched many times."""

    def __init__(self, encoder: Encoder, questions: Sequence[str]) -> None:
        encoded = encoder.encode_queries(questions)
        self._rows = {
            question: Encoded(encoded.vectors[row : row + 1], encoded.tokens[row : row + 1])
            for row, question in enumerate(questions)
        }
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimensions, self.max_tokens = encoder.dimensions, encoder.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        [text] = texts
        return self._rows[text]

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        raise NotImplementedError("the index is there already")


class Place(NamedTuple):
    """Characters [start, end) of a document."""

    document: str
    start: int
    end: int


def articles(paragraphs: Sequence[Document]) -> tuple[list[Document], dict[str, Place]]:
    """The articles, and where each paragraph stands, by its id."""
    documents, places = [], {}
    for title, group in groupby(paragraphs, lambda paragraph: paragraph.title):
        text = ""
        for paragraph in group:
            text += "\n\n" if text else ""
            places[paragraph.id] = Place(title, len(text), len(text) + len(paragraph.text))
            text += paragraph.text
        documents.append(Document(title, text, title))
    return documents, places


def needed(
    documents: Sequence[Document], places: dict[str, Place], words: int, half: int
) -> dict[str, list[Place]]:
    """The passages that each paragraph of every other article lies in, by its id."""
    passages = {
        document.id: [
            Place(document.id, start, start + len(text))
            for start, text in Chunking(words).split(document.text, document.title)
        ]
        for document in documents[half::2]
    }
    return {
        id: [one for one in passages[place.document] if one.start < place.end and place.start < one.end]
        for id, place in places.items()
        if place.document in passages
    }


def quotes(context: Context, place: Place) -> bool:
    """Whether the context has all of a passage, in one of its spans."""
    return any(
        cited.id == place.document and span.start <= place.start and place.end <= span.end
        for cited in context.passages
        for span in cited.spans
    )


def measured(
    searcher: Searcher, asked: Sequence[tuple[Query, list[Place]]], way: str, budget: int, k: int
) -> tuple[float, float, float]:
    """Full recall, the share of questions with either passage, and the mean tokens of the contexts."""
    full = either = tokens = 0
    for query, places in asked:
        context = searcher.context(query.text, budget, k=k, expand=way)
        here = [quotes(context, place) for place in places]
        full, either, tokens = full + all(here), either + any(here), tokens + context.tokens
    return full / len(asked), either / len(asked), tokens / len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    parser.add_argument("--questions", type=int, help="so many of them, drawn at random")
    parser.add_argument("--steps", type=float, nargs="+", default=[expansion.STEP])
    parser.add_argument("--index", type=Path, help="keeps the index here, or takes it from here")
    given = parser.parse_args()

    collection = open_collection(str(given.data / "squad2-dev"))
    documents, places = articles(list(collection.documents()))
    passages = needed(documents, places, given.words, given.half)
    qrels = collection.qrels("dev")
    asked = [
        (query, passages[paragraph])
        for query in collection.queries("dev")
        for paragraph in qrels[query.id]
        if len(passages.get(paragraph, ())) == 2
    ]
    if given.questions is not None:
        asked = random.Random(0).sample(asked, min(given.questions, len(asked)))
    with tempfile.TemporaryDirectory() as scratch:
        path = given.index or Path(scratch) / "index"
        if not path.exists():
            Index.create(path, chunk_words=given.words).add(documents)
        print(
            f"{len(asked)} questions that need two passages of at most {given.words} words, {given.k} hits\n"
        )
        print("| budget | step | expand | both passages | one or both | tokens |")
        print("| --- | --- | --- | --- | --- | --- |")
        prepared = Prepared(load_encoder(DEFAULT_MODEL), [query.text for query, _ in asked])
        with Searcher.open(path, encoder=prepared, relevance=None) as searcher:
            for budget in given.budgets:
                for step in given.steps:
                    expansion.STEP = step  # type: ignore[misc]
                    for way in WAYS:
                        full, either, tokens = measured(searcher, asked, way, budget, given.k)
                        print(
                            f"| {budget:,} | {step:g} | `{way}` | {full:.3f} | {either:.3f} | {tokens:,.0f} |",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
