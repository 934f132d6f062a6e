"""Where the quotes of a context stand: offsets into the documents, with their pages and sections."""

from __future__ import annotations

import json
import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from leanseek import Document, Index, Searcher
from leanseek.indexing.settings import SparseSettings
from leanseek.searcher.context import Cited, Span

GAP = re.compile(" … ")
SPACES = [" ", " ", " ", " ", "\n", "\n\n", "  ", " \t", "\n\n\n", "\u3000", "\r\n"]
SCRIPTS = [
    "Ωμέγα",
    "näïve",
    "日本語です。",
    "donaudampfschiff",
    "👩‍🚀",
    "e\u0301tude",
    "“quoted.”",
    "ไทย",
    "…",
    "Dr.",
]


def passage_texts(folder: Path, most: int) -> list[str]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for _, line in zip(range(most), lines, strict=False)]


def laid_out(random: random.Random, number: int, texts: list[str]) -> Document:
    """A document of several texts, with other white space between its words, foreign words, pages and headings."""
    words = " ".join(random.sample(texts, random.randint(1, 4))).split()
    for _ in range(random.randint(0, 12)):
        words.insert(random.randrange(len(words) + 1), random.choice(SCRIPTS))
    body = "".join(word + random.choice(SPACES) for word in words)
    text = random.choice(["", " ", "\n\n"]) + body
    metadata: dict[str, Any] = {}
    if random.random() < 0.7:
        starts = sorted(random.choices(range(len(text)), k=random.randint(1, 8)))
        metadata["page_starts"] = [0, *starts] if random.random() < 0.8 else starts
    if random.random() < 0.7:
        starts = sorted(random.choices(range(len(text)), k=random.randint(1, 8)))
        metadata |= {
            "heading_starts": starts,
            "headings": [f"Part {at}, §{place}" for place, at in enumerate(starts)],
        }
    return Document(f"d{number}", text, random.choice(["", "A title"]), metadata)


@pytest.fixture(scope="module")
def searchers(
    tmp_path_factory: pytest.TempPathFactory, collection: Callable[[str], Path]
) -> Iterator[list[Searcher]]:
    """Indexes of made and real documents: whole, split, split with overlaps, of compounds, changed since."""
    texts = passage_texts(collection("cranfield"), 120)
    foreign = passage_texts(collection("miracl-yo"), 60)
    made = [laid_out(random.Random(number), number, texts) for number in range(40)]
    real = [Document(f"yo{number}", text) for number, text in enumerate(foreign)]
    folder = tmp_path_factory.mktemp("spans")
    opened = []
    for name, words, overlap, analyzer in (
        ("whole", None, 0, "english"),
        ("split", 17, 0, "english"),
        ("overlapping", 40, 18, "english"),
        ("compounds", 25, 6, "german"),
    ):
        sparse = SparseSettings(analyzer=analyzer)
        index = Index.create(
            folder / name, encoder=None, sparse=sparse, chunk_words=words, chunk_overlap=overlap
        )
        index.add(real[:30] + made[:30])
        index.add(real[30:] + made[20:], on_duplicate="replace")
        if name == "split":
            index.compact()
        opened.append(Searcher.open(folder / name))
    yield opened
    for searcher in opened:
        searcher.close()


def last_before(starts: list[int], at: int) -> int | None:
    place = bisect_right(starts, at) - 1
    return place if place >= 0 else None


def check(cited: Cited, document: Document) -> None:
    """Every piece of a quote stands in the document where its span says, on the page and below the heading."""
    text = document.text
    quoted = " … ".join(text[span.start : span.end] for span in cited.spans)
    assert cited.text in (quoted, f"{quoted} …")
    assert all(span.start < span.end for span in cited.spans)
    assert all(one.end < two.start for one, two in pairwise(cited.spans))
    pages = document.metadata.get("page_starts") or []
    starts, headings = document.metadata.get("heading_starts") or [], document.metadata.get("headings") or []
    for span in cited.spans:
        place = last_before(pages, span.start)
        assert span.page == (None if place is None else place + 1)
        place = last_before(starts, span.start)
        assert span.heading == (None if place is None else headings[place])


def test_quotes_stand_where_spans_say(searchers: list[Searcher]) -> None:
    """1,000 random contexts."""
    chosen = random.Random(1)
    documents = searchers[0].documents(searchers[0].ids())
    vocabulary = [word for document in documents for word in document.text.split()]
    seen = {"contexts": 0, "spans": 0, "gaps": 0, "cut": 0, "paged": 0}
    while seen["contexts"] < 1000:
        searcher = chosen.choice(searchers)
        query = " ".join(chosen.sample(vocabulary, chosen.randint(1, 8)))
        context = searcher.context(query, chosen.choice([20, 60, 150, 400]), k=chosen.randint(1, 25))
        quoted = {one.id: one for one in searcher.documents(cited.id for cited in context.passages)}
        for cited in context.passages:
            check(cited, quoted[cited.id])
            seen["spans"] += len(cited.spans)
            seen["gaps"] += len(cited.spans) > 1
            seen["cut"] += cited.text.endswith("…")
            seen["paged"] += cited.spans[0].page is not None
        seen["contexts"] += 1
    # Each kind of quote has been there.
    assert min(seen.values()) > 100, seen


def test_metadata_keep_the_outline_and_hits_have_their_part_of_it(tmp_path: Path) -> None:
    text = "One two three. Four five six. Seven eight nine."
    metadata: dict[str, Any] = {
        "page_starts": [0, 15, 15, 30],
        "heading_starts": [15, 36],
        "headings": ["Four", "Eight"],
        "year": 2001,
    }
    index = Index.create(tmp_path / "index", encoder=None, chunk_words=3)
    index.add([Document("d", text, "Numbers", metadata)])
    with Searcher.open(tmp_path / "index") as searcher:
        assert searcher.documents(["d"]) == [Document("d", text, "Numbers", metadata)]
        found = {query: searcher.search(query)[0] for query in ("two", "five", "nine")}
        assert all(hit.metadata == {"year": 2001} for hit in found.values())
        assert [tuple(mark) for mark in found["two"].marks] == [(0, 1, None)]
        assert [tuple(mark) for mark in found["five"].marks] == [(15, 3, "Four")]
        assert [tuple(mark) for mark in found["nine"].marks] == [(30, 4, "Four"), (36, 4, "Eight")]
        context = searcher.context("two nine")
        assert context.passages[0].spans == (Span(0, 14, 1), Span(30, 47, 4, "Four"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"headings": ["a", "b"]},
        {"page_starts": "12"},
        {"page_starts": [3, 1]},
        {"page_starts": [0, 5], "page_numbers": [1]},
        {"heading_starts": [0], "headings": ["a", "b"]},
        {"heading_starts": [0.5], "headings": ["a"]},
        {"page_starts": [-1]},
    ],
)
def test_other_lists_are_metadata_as_any(tmp_path: Path, metadata: dict[str, Any]) -> None:
    index = Index.create(tmp_path / "index", encoder=None, chunk_words=3)
    index.add([Document("d", "One two three. Four five six.", "", metadata)])
    with Searcher.open(tmp_path / "index") as searcher:
        for query in ("two", "five"):
            [hit] = searcher.search(query)
            assert hit.metadata == metadata
            assert hit.marks == ()


def test_document_of_a_title_alone_has_no_spans(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add([Document("d", "", "Bees")])
    with Searcher.open(tmp_path / "index") as searcher:
        [cited] = searcher.context("bees").passages
        assert (cited.text, cited.spans) == ("", ())
