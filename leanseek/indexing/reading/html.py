"""HTML pages: their text by blocks, and their title."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from leanseek.errors import MissingPackageError
from leanseek.indexing.reading.report import Place

if TYPE_CHECKING:
    from bs4.element import PageElement

_HIDDEN: Final = ("script", "style", "noscript", "template", "svg", "head", "title")
_PARAGRAPHS: Final = re.compile(
    "address|article|aside|blockquote|body|details|dialog|div|dl|fieldset|figure|footer|form|h[1-6]|header|hr|"
    "main|nav|ol|p|pre|section|table|ul"
)
_LINES: Final = re.compile("caption|dd|dt|figcaption|li|option|summary|tbody|tfoot|thead|tr")
_CELLS: Final = re.compile("td|th")
# Marks of where elements begin and end: several at one place make one break, the largest.
_PARAGRAPH: Final = "\x01"
_LINE: Final = "\x02"


def html_text(raw: bytes, place: Place) -> tuple[str, str]:
    """A page's (title, text): the title is its <title>, else its first <h1>, else "".

    Paragraphs and other blocks are parted by an empty line, items and table rows by a line end; scripts,
    styles and the head are left out. The encoding is the one that the page declares.
    """
    try:
        import bs4
        from bs4.element import CData, NavigableString, Tag
    except ImportError as error:
        raise MissingPackageError("Reading .html files", "beautifulsoup4", "files") from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs4.UnusualUsageWarning)
        page = bs4.BeautifulSoup(raw, "html.parser")
    if page.contains_replacement_characters:
        place.repaired = True
    heading = page.title or page.find("h1")
    title = _joined(heading.get_text()) if heading else ""
    for tag in page.find_all(_HIDDEN):
        tag.extract()
    verbatim = {id(node) for pre in page.find_all("pre") for node in pre.descendants}
    parts: list[str] = []
    for node in page.descendants:
        if isinstance(node, Tag):
            parts.append(_break(node.name))
        elif isinstance(node, NavigableString) and type(node) in (NavigableString, CData):
            parts.append(str(node) if id(node) in verbatim else re.sub(r"\s+", " ", node))
        parts.extend(_ending(node, page))
    paragraphs = (_lines(paragraph) for paragraph in "".join(parts).split(_PARAGRAPH))
    return title, "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _lines(paragraph: str) -> str:
    """A paragraph with its lines trimmed, and no empty line where an element ends and another begins."""
    items = (item.strip() for item in paragraph.split(_LINE))
    rows = "\n".join(item for item in items if item).split("\n")
    return "\n".join(" ".join(row.split()) for row in rows)


def _break(name: str) -> str:
    """What stands before and after an element of this name."""
    if _PARAGRAPHS.fullmatch(name):
        return _PARAGRAPH
    if _LINES.fullmatch(name):
        return _LINE
    if name == "br":
        return "\n"
    return " " if _CELLS.fullmatch(name) else ""


def _ending(node: PageElement, page: PageElement) -> Iterator[str]:
    """The breaks after the elements that end with this node."""
    if getattr(node, "contents", None):
        return
    while node.next_sibling is None and node.parent is not None and node.parent is not page:
        node = node.parent
        yield _break(node.name)


def _joined(text: str) -> str:
    return " ".join(text.split())
