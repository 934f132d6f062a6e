"""Questions back: how often one is asked, how often it is valid, and what its answer adds, with a simulated user.

    python benchmarks/clarification.py COLLECTION... [--mode sparse|dense|hybrid] [--split test] [--half 0|1]
        [--queries N] [--random] [--folder DIR]

The user wants the documents that are judged relevant, and picks the option that they have most over its share of the
best hits: the greatest difference of the two shares. Where no option is had by a greater share of them the question is
not valid, the user picks none, and the hits stay as they were. With --random the user picks any option. `asked` is the
share of queries with a question, `valid` that of the questions; nDCG@10 is over all queries, `worse` and `better` count
queries. --half takes every other query: what was chosen on one half is reported on the other. The folder keeps indexes.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np

from leanseek import Document, Index, Searcher
from leanseek.eval import open_collection, randomisation, score
from leanseek.filters import parse_filter
from leanseek.text import Analyzer
from leanseek.types import ClarifyingOption, Question, content

MEASURE = "nDCG@10"
LINE = "{:20} {:>7} {:>6} {:>6} {:>8} {:>8} {:>8} {:>6} {:>6} {:>7}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--mode", choices=["sparse", "dense", "hybrid"], default="sparse")
    parser.add_argument("--split", default="test")
    parser.add_argument("--half", type=int, choices=[0, 1])
    parser.add_argument("--queries", type=int)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp())
    print(
        LINE.format(
            "collection", "queries", "asked", "valid", "typed", "answered", "gain", "worse", "better", "p"
        )
    )
    for name in asked.collections:
        collection = open_collection(name)
        path = folder / f"{collection.name}{'' if asked.mode == 'sparse' else '.dense'}.index"
        if not path.exists():
            with Index.create(
                path, **({"encoder": None} if asked.mode == "sparse" else {"dense": "flat"})
            ) as index:
                index.add(collection.documents())
        qrels = {query: dict(grades) for query, grades in collection.qrels(asked.split).items()}
        queries = sorted(collection.queries(asked.split), key=lambda one: one.id)
        if asked.half is not None:
            queries = queries[asked.half :: 2]
        if asked.queries is not None:
            queries = queries[:: max(1, len(queries) // asked.queries)][: asked.queries]
        with Searcher.open(path, mode=asked.mode) as searcher:
            texts = {one.id: one.text for one in queries}
            report(
                searcher,
                f"{collection.name} ({asked.split})",
                texts,
                {one: qrels[one] for one in texts},
                asked.random,
            )


def report(
    searcher: Searcher,
    name: str,
    queries: dict[str, str],
    qrels: dict[str, dict[str, int]],
    any_option: bool,
) -> None:
    """Print the line of a collection."""
    generator = random.Random(0)
    analyzer = searcher.source.passages.analyzer
    asked, valid = 0, 0
    typed, answered = {}, {}
    for query, text in queries.items():
        typed[query] = dict(searcher.rank_batch([text], 100)[0])
        answered[query] = typed[query]
        question = searcher.clarify(text, literal=True)
        if question is None:
            continue
        asked += 1
        relevant = searcher.documents([one for one, grade in qrels[query].items() if grade > 0])
        chosen = picked(question, relevant, analyzer)
        valid += chosen is not None
        if any_option:
            chosen = generator.choice(question.options)
        if chosen is not None:
            answered[query] = dict(searcher.rank_batch([chosen.query], 100, filter=chosen.filter)[0])
    before, after = (score(one, qrels, [MEASURE]).per_query for one in (typed, answered))
    gains = np.array([after[one][MEASURE] - before[one][MEASURE] for one in queries])
    mean = np.mean([before[one][MEASURE] for one in queries])
    p = randomisation(gains[:, None], seed=0)[0]
    print(
        LINE.format(
            name,
            len(queries),
            f"{asked / len(queries):.2f}",
            f"{valid / max(asked, 1):.2f}",
            f"{mean:.4f}",
            f"{mean + gains.mean():.4f}",
            f"{gains.mean():+.4f}",
            int((gains < 0).sum()),
            int((gains > 0).sum()),
            f"{p:.4f}",
        ),
        flush=True,
    )


def picked(question: Question, relevant: list[Document], analyzer: Analyzer) -> ClarifyingOption | None:
    """The option that relevant documents have most over its share of the hits; None where they have none over it."""
    best = None
    said = [set(analyzer.tokens(content(one.title, one.text))) for one in relevant]
    for option in question.options:
        if question.field is None:
            word = analyzer.tokens(option.text)[0]  # that of the whole word, where it has parts
            having = sum(word in one for one in said)
        else:
            condition = parse_filter(option.filter or "")
            having = sum(condition.matches(one.metadata) for one in relevant)
        over = having / max(len(relevant), 1) - option.documents / question.documents
        if over > 0 and (best is None or over > best[0]):
            best = over, option
    return None if best is None else best[1]


if __name__ == "__main__":
    main()
