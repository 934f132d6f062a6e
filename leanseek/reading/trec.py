"""TREC's document files: many `<DOC>` elements one after another, in SGML that is often invalid."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from typing import Final

from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.streams import Place, lines
from leanseek.types import Document

_BEGIN: Final = re.compile(r"<DOC\b[^>]*>", re.IGNORECASE)
_END: Final = re.compile(r"</DOC\s*>", re.IGNORECASE)
_START: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?[^>]*>|<!--.*?-->)*<DOC\s*>", re.IGNORECASE | re.DOTALL
)
_NUMBER: Final = re.compile(r"<(DOCNO|DOCID)\s*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TITLE: Final = re.compile(r"<(HEADLINE|TITLE|TTL)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_HEADING: Final = re.compile(r"<(HEAD|HL)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TEXT: Final = re.compile(r"<(TEXT|LEADPARA|LP)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
# A page's header, scripts and comments are not part of its text.
_DROPPED: Final = re.compile(
    r"<(DOCNO|DOCID|DOCHDR|SCRIPT|STYLE)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL
)
_TAG: Final = re.compile(r"</?[A-Za-z!?][^<>]*>")


def begins_trec(start: bytes) -> bool:
    """Whether a file that starts with these bytes holds TREC documents, whatever its name."""
    return _START.match(start) is not None


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
        rest = line
        while rest:
            if not begun:
                begin = _BEGIN.search(rest)
                if begin is None:
                    if rest.strip() and not rest.lstrip().startswith("<"):
                        raise place.error("text outside of a document: in a TREC file each is <DOC> … </DOC>")
                    break
                begun, parts, rest = place.line, [], rest[begin.end() :]
            end = _END.search(rest)
            parts.append(rest[: end.start()] if end else rest)
            rest = rest[end.end() :] if end else ""
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
        numbers = {match[1].upper(): match[2] for match in reversed(list(_NUMBER.finditer(raw)))}
        id = numbers.get("DOCNO", numbers.get("DOCID"))
        if id is None:
            builder.refuse(place.error("the document has no <DOCNO>, which is its id"))
            return None
        heading = _TITLE.search(raw) or _HEADING.search(raw)
        bodies = [match[2] for match in _TEXT.finditer(raw)]
        if not bodies:
            others = raw if heading is None else raw[: heading.start()] + raw[heading.end() :]
            bodies = [_DROPPED.sub(" ", others)]
        title = _plain(heading[2]) if heading is not None else ""
        record = {"id": " ".join(id.split()), "text": "\n".join(map(_plain, bodies)).strip(), "title": title}
        return builder.document(record, place)
    finally:
        place.line = last


def _plain(markup: str) -> str:
    """The text of some markup, its white space reduced to single spaces and line ends."""
    rows = html.unescape(_TAG.sub(" ", markup)).split("\n")
    return "\n".join(filter(None, (" ".join(row.split()) for row in rows)))
