"""Facets: what counting the values of a field takes, beside the same search without them and beside SQLite.

    python benchmarks/facets.py [--passages 100000] [--folder DIR]

An index of short documents with six fields, from three values to one of its own for every document, is made in the
folder (a temporary one by default; one that is there is used again). "First" is the first count in a generation, which
reads the field; "then" the median of further ones, "filtered" with a filter that half of the documents meet. Each is
the processor's time of `Searcher.answer` with the facet less that of the same call without, in milliseconds. "SQLite"
is GROUP BY over the same table of metadata, for those that meet the filter.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from leanseek import Document, Index, Searcher

FIELDS = ("lang", "year", "author", "tags", "date", "url")
FILTER = "year >= 1988"
ROUNDS = 15
GROUPED = """
SELECT value, count(DISTINCT row) FROM metadata
WHERE field = ? AND row IN (SELECT row FROM metadata WHERE field = 'year' AND kind = 'number' AND value >= 1988)
GROUP BY kind, value ORDER BY 2 DESC LIMIT 100
"""


def documents(count: int) -> list[Document]:
    """Documents of two words with metadata of all kinds."""
    chance = random.Random(0)
    return [
        Document(
            f"d{number}",
            f"word{number % 100} word{number % 7}",
            metadata={
                "lang": chance.choice(["en", "de", "fr"]),
                "year": chance.randint(1950, 2025),
                "author": f"a{int(chance.paretovariate(0.5)) % 5000}",
                "tags": chance.sample("abcdefghij", 3),
                "date": f"{chance.randint(1990, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                "url": f"https://example.org/{number}",
            },
        )
        for number in range(count)
    ]


def milliseconds(work: Callable[[], object]) -> float:
    """The processor's time of some work."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def by_sqlite(file: Path, field: str) -> float:
    """The processor's time that SQLite takes to count the values of a field."""
    database = sqlite3.connect(file)
    try:
        return milliseconds(lambda: database.execute(GROUPED, (field,)).fetchall())
    finally:
        database.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp()) / "facets.index"
    if not folder.exists():
        Index.create(folder, encoder=None).add(documents(given.passages))
    print(f"{'field':8}{'values':>9}{'first':>9}{'then':>9}{'filtered':>10}{'SQLite':>9}   milliseconds")
    for field in FIELDS:
        with Searcher.open(folder) as searcher:

            def asked(facets: tuple[str, ...], condition: str | None = None) -> float:
                return milliseconds(lambda: searcher.answer("word1", 10, facets=facets, filter=condition))

            asked((), FILTER)
            asked(())
            first = asked((field,)) - asked(())
            then = [asked((field,)) - asked(()) for _ in range(ROUNDS)]
            filtered = [asked((field,), FILTER) - asked((), FILTER) for _ in range(ROUNDS)]
            distinct = searcher.answer("word1", 1, facets=[field]).facets[field].distinct
        [file] = folder.glob("segments/*/passages.sqlite")
        grouped = [by_sqlite(file, field) for _ in range(3)]
        print(
            f"{field:8}{distinct:9,}{first:9.1f}{statistics.median(then):9.1f}{statistics.median(filtered):10.1f}"
            f"{statistics.median(grouped):9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
