"""TREC's document files: many `<DOC>` elements one after another, in SGML that is often invalid."""

from __future__ import annotations

import codecs
import html
import io
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.streams import Place, lines
from leanseek.types import Document

_BEGIN: Final = re.compile(r"<DOC\b[^<>]*>", re.IGNORECASE)
_END: Final = re.compile(r"</DOC\s*>", re.IGNORECASE)
_START: Final = re.compile(rb"<DOC\s*>", re.IGNORECASE)
_INSTRUCTION: Final = ((b"<?", b">"), (b"<!--", b"-->"))
_IDS: Final = ("DOCNO", "DOCID")
_TITLES: Final = (("HEADLINE", "TITLE", "TTL"), ("HEAD", "HL"))
_TEXTS: Final = ("TEXT", "LEADPARA", "LP")
# A page's header and scripts are not part of its text.
_DROPPED: Final = (*_IDS, "DOCHDR", "SCRIPT", "STYLE")
_ELEMENT: Final = re.compile(
    rf"<(/?)({'|'.join((*_IDS, *_TITLES[0], *_TITLES[1], *_TEXTS, *_DROPPED[2:]))})\b[^<>]*>", re.IGNORECASE
)
_COMMENT: Final = re.compile(r"<!--|-->")
_TAG: Final = re.compile(r"</?[A-Za-z!?][^<>]*>")


class _Found(NamedTuple):
    """An element of a document: its name, where it begins and ends, and what it holds."""

    name: str
    start: int
    end: int
    content: str


def begins_trec(start: bytes) -> bool:
    """Whether a file that starts with these bytes holds TREC documents, whatever its name."""
    at = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    while True:
        at = len(start) - len(start[at:].lstrip())
        closing = next((close for begin, close in _INSTRUCTION if start.startswith(begin, at)), None)
        if closing is None:
            return _START.match(start, at) is not None
        end = start.find(closing, at)
        if end < 0:
            return False
        at = end + len(closing)


def read_trec(stream: io.BufferedReader, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a TREC file, one `<DOC>` … `</DOC>` after another.

    The id is `<DOCNO>` (or `<DOCID>` where there is no other). The title is the first `<HEADLINE>`, `<TITLE>` or
    `<TTL>`, else the first `<HEAD>` or `<HL>`. The text is that of `<TEXT>`, `<LEADPARA>` and `<LP>`; of
    a document without those, such as a web page, all but its id, title and `<DOCHDR>`. Tags inside are dropped.

    Raises InputError for a document without an id, text between documents, and a file cut off inside one.
    """
    parts: list[str] = []
    begun = 0
    for line in lines(stream, place):
        at = 0
        while at < len(line):
            if not begun:
                begin = _BEGIN.search(line, at)
                if begin is None:
                    between = line[at:].strip()
                    if between and not between.startswith("<"):
                        raise place.error("text outside of a document: in a TREC file each is <DOC> … </DOC>")
                    break
                begun, parts, at = place.line, [], begin.end()
            end = _END.search(line, at)
            parts.append(line[at : end.start()] if end else line[at:])
            at = end.end() if end else len(line)
            if end is not None:
                document = _document("".join(parts), place, begun, builder)
                begun = 0
                if document is not None:
                    yield document
    if begun:
        place.line = begun
        raise place.error("the document that begins here has no </DOC>: the file is cut off")


def _document(raw: str, place: Place, begun: int, builder: DocumentBuilder) -> Document | None:
    last, place.line = place.line, begun
    try:
        elements = list(_elements(raw))
        numbers = {element.name: element.content for element in reversed(elements) if element.name in _IDS}
        id = numbers.get("DOCNO", numbers.get("DOCID"))
        if id is None:
            builder.refuse(place.error("the document has no <DOCNO>, which is its id"))
            return None
        headings = (element for names in _TITLES for element in elements if element.name in names)
        heading = next(headings, None)
        bodies = [element.content for element in elements if element.name in _TEXTS]
        if not bodies:
            dropped = [element for element in elements if element.name in _DROPPED or element == heading]
            bodies = [_without(raw, dropped)]
        title = _plain(heading.content) if heading is not None else ""
        record = {"id": " ".join(id.split()), "text": "\n".join(map(_plain, bodies)).strip(), "title": title}
        return builder.document(record, place)
    finally:
        place.line = last


def _elements(raw: str) -> Iterator[_Found]:
    """The elements of the names above in the order of their ends; one without an end tag is none."""
    open_at: dict[str, tuple[int, int]] = {}
    for tag in _ELEMENT.finditer(raw):
        name = tag[2].upper()
        if not tag[1]:
            open_at.setdefault(name, (tag.start(), tag.end()))
        elif name in open_at:
            start, begin = open_at.pop(name)
            yield _Found(name, start, tag.end(), raw[begin : tag.start()])


def _without(raw: str, dropped: list[_Found]) -> str:
    """The document without these elements and without comments."""
    comments: list[tuple[int, int]] = []
    begun: int | None = None
    for mark in _COMMENT.finditer(raw):
        if mark[0] == "<!--":
            begun = mark.start() if begun is None else begun
        elif begun is not None:
            comments.append((begun, mark.end()))
            begun = None
    parts: list[str] = []
    at = 0
    for start, end in sorted([*comments, *((element.start, element.end) for element in dropped)]):
        if start >= at:
            parts.append(raw[at:start])
        at = max(at, end)
    return " ".join([*parts, raw[at:]])


def _plain(markup: str) -> str:
    """The text of some markup, its white space reduced to single spaces and line ends."""
    rows = html.unescape(_TAG.sub(" ", markup)).split("\n")
    return "\n".join(filter(None, (" ".join(row.split()) for row in rows)))
