"""Where pages and sections begin, as the readers of files find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import pdf

from leanseek import Document
from leanseek.reading import read
from leanseek.reading.outline import joined, marks, own_part
from leanseek.reading.pdf import _divisions, _moved, join_divided


def one(path: Path, raw: bytes | str) -> Document:
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    (document,) = read(path)
    return document


def sections(document: Document) -> list[tuple[str, str]]:
    """Each heading, with the text that begins where its section does."""
    found: dict[str, Any] = {**document.metadata}
    starts, headings = found.get("heading_starts", []), found.get("headings", [])
    return [
        (str(heading), document.text[start : start + 9])
        for start, heading in zip(starts, headings, strict=True)
    ]


def test_pages_of_a_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    document = one(tmp_path / "a.pdf", pdf("First a-", "sound page", "", "- Third", ""))
    assert document.text == "First asound page\n\n- Third"
    # The second page goes on with a word of the first; the third has no text, as the last.
    assert document.metadata["page_starts"] == [0, 7, 19, 19, 26]
    assert [mark.page for mark in marks(document.metadata, 0, 26)] == [1, 2, 4]


@given(st.lists(st.text("ab-\n .", max_size=9), max_size=6))
def test_pages_begin_where_their_text_does(pages: list[str]) -> None:
    text, starts = joined(pages)
    whole = join_divided(text)
    moved = list(_moved(starts, _divisions(text)))
    assert moved == sorted(moved) and len(moved) == len(pages)
    # What comes before a page is what its text before it becomes, but for a word that it goes on with.
    for start, place in zip(starts, moved, strict=True):
        assert whole[place:].replace("-", "")[-5:] == join_divided(text[start:]).replace("-", "")[-5:]
        assert "".join(whole[:place].split()).replace("-", "") == "".join(text[:start].split()).replace(
            "-", ""
        )


def test_headings_of_markdown(tmp_path: Path) -> None:
    text = "---\nauthor: Ann\n---\nbefore\n\n# One #\ntext\n```\n# code\n```\nTwo\n===\n\n- item\n---\n### Three\nend"
    document = one(tmp_path / "a.md", text)
    assert sections(document) == [("One", "# One #\nt"), ("Two", "Two\n===\n\n"), ("Three", "### Three")]
    assert document.title == "One"


def test_headings_of_restructured_text(tmp_path: Path) -> None:
    document = one(tmp_path / "a.rst", "One\n===\n\ntext\n\nTwo words\n---------\nend")
    assert sections(document) == [("One", "One\n===\n\n"), ("Two words", "Two words")]


def test_headings_of_a_page(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    raw = (
        "<title>T</title><nav><h2>Menu</h2></nav><p>before</p><h1>One <b>bold</b></h1><h2> </h2><p>text"
        "<template><h2>hidden</h2></template><section><h3>Two\n words</h3>tail</section>"
    )
    document = one(tmp_path / "a.html", raw)
    assert document.text == "before\n\nOne bold\n\ntext\n\nTwo words\n\ntail"
    assert sections(document) == [("One bold", "One bold\n"), ("Two words", "Two words")]


@given(st.data())
def test_a_passage_knows_of_its_part_what_the_document_knows(data: st.DataObject) -> None:
    places = st.lists(st.integers(0, 40), max_size=8).map(sorted)
    pages, starts = data.draw(places), data.draw(places)
    metadata: dict[str, Any] = {"other": [1]}
    if pages:
        metadata["page_starts"] = pages
    if starts:
        metadata |= {"heading_starts": starts, "headings": [f"h{place}" for place in range(len(starts))]}
    start = data.draw(st.integers(0, 40))
    end = data.draw(st.integers(start + 1, 41))
    part = own_part(metadata, start, end)
    found = marks(part, start, end)
    assert part["other"] == [1] and found == marks(metadata, start, end)
    for at in range(start, end):
        page = max((number for number, begin in enumerate(pages, 1) if begin <= at), default=None)
        heading = max((place for place, begin in enumerate(starts) if begin <= at), default=None)
        known = [mark for mark in found if mark.start <= at]
        expected = (page, None if heading is None else f"h{heading}")
        assert (known[-1].page, known[-1].heading) == expected if known else expected == (None, None)
