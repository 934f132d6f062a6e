"""HTML pages: their text by blocks, and their title."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final

from leanseek.errors import MissingPackageError
from leanseek.indexing.reading.report import Place

if TYPE_CHECKING:
    from bs4.element import PageElement

_HIDDEN: Final = ("script", "style", "noscript", "template", "svg", "head")
_BLOCKS: Final = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|"
    "footer|form|h[1-6]|header|hr|li|main|nav|ol|option|p|pre|section|summary|table|tbody|td|tfoot|th|thead|"
    "tr|ul"
)


def html_text(raw: bytes, place: Place) -> tuple[str, str]:
    """A page's (title, text): the title is its <title>, else its first <h1>, else "".

    Blocks stand on lines of their own; scripts, styles and the head are left out. The encoding is the one the
    page declares.
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
    parts: list[str] = []
    for node in page.descendants:
        if isinstance(node, Tag):
            if _BLOCKS.fullmatch(node.name):
                parts.append("\n")
        elif isinstance(node, NavigableString) and type(node) in (NavigableString, CData):
            pre = node.find_parent("pre") is not None if "\n" in node else False
            parts.append(str(node) if pre else re.sub(r"\s+", " ", node))
        if _ends_block(node, page):
            parts.append("\n")
    rows = (re.sub(r"[ \t\xa0]+", " ", row).strip() for row in "".join(parts).split("\n"))
    return title, "\n".join(row for row in rows if row)


def _ends_block(node: PageElement, page: PageElement) -> bool:
    """Whether the node is the very last one inside some block, so that what follows starts a new line."""
    if getattr(node, "contents", None):
        return False
    while node.next_sibling is None and node.parent is not None and node.parent is not page:
        node = node.parent
        if _BLOCKS.fullmatch(node.name):
            return True
    return False


def _joined(text: str) -> str:
    return " ".join(text.split())
