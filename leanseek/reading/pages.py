"""HTML pages: text and title, without menus, footers and the like."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from leanseek.errors import MissingPackageError
from leanseek.reading.streams import Page, Place, decode
from leanseek.types import MetadataValue

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

_HIDDEN: Final = ("script", "style", "noscript", "template", "svg", "head", "title")
_FURNITURE: Final = ("nav", "footer", "header", "aside", "menu", "dialog")
_ROLES: Final = frozenset(
    "navigation banner contentinfo search menu menubar dialog alertdialog complementary".split()
)
# Words of class and id that mark menus and the like where a page has no elements for them.
_NAMES: Final = frozenset(
    "nav navbar navigation menu mainmenu topbar sidebar breadcrumb breadcrumbs footer pagefooter sitefooter header "
    "siteheader pageheader".split()
)
_CONSENT: Final = re.compile(
    r"(?:cookie|consent|gdpr|ccpa)s?[-_]?(?:banner|bar|box|consent|dialog|info|law|layer|message|modal|notice|"
    r"notification|overlay|policy|popup|prompt|warning|wrapper)s?|cookies?|onetrust.{0,40}|usercentrics.{0,40}|cc-window",
    re.IGNORECASE,
)
_LEAST: Final = 20
"""The share of a page's text, one part in so many, that must remain without what is left out."""
_DESCRIBED: Final = ("description", "author", "keywords")
_PARAGRAPHS: Final = re.compile(
    "address|article|aside|blockquote|body|details|dialog|div|dl|fieldset|figure|footer|form|h[1-6]|header|hr|"
    "main|nav|ol|p|pre|section|table|ul"
)
_LINES: Final = re.compile("caption|dd|dt|figcaption|li|option|summary|tbody|tfoot|thead|tr")
_CELLS: Final = re.compile("td|th")
# Marks at the beginnings and ends of elements: several at one place make one break, the largest.
_PARAGRAPH: Final = "\x01"
_LINE: Final = "\x02"


def html(stream: io.BufferedReader, place: Place) -> Page:
    """A page's text and title: the title is its <title>, else its first <h1>, else "".

    Paragraphs and other blocks are parted by an empty line, items and table rows by a line end. Scripts, styles, the
    head, and menus, headers, footers, sidebars and consent banners around the text are left out, unless hardly
    anything remains then. The page's description, author and keywords are metadata.
    """
    return html_page(stream.read(), place)


def html_page(raw: bytes, place: Place) -> Page:
    """The same for the bytes of a page."""
    try:
        import bs4
    except ImportError as error:
        raise MissingPackageError("Reading .html files", "beautifulsoup4", "files") from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs4.UnusualUsageWarning)
        page = bs4.BeautifulSoup(decode(raw, place), "html.parser")
    heading = page.title or page.find("h1")
    title = " ".join(heading.get_text().split()) if heading else ""
    metadata: dict[str, MetadataValue] = {}
    for meta in page.find_all("meta"):
        name = str(meta.get("name", "")).lower()
        content = " ".join(str(meta.get("content", "")).split())
        if name in _DESCRIBED and content:
            metadata.setdefault(name, content)
    for tag in page.find_all(_HIDDEN):
        tag.extract()
    everything = _text(page)
    for tag in _furniture(page):
        tag.extract()
    main = _text(page)
    return Page(title, main if len(main) * _LEAST >= len(everything) else everything, metadata)


def _text(page: BeautifulSoup) -> str:
    from bs4.element import CData, NavigableString, Tag

    verbatim = {
        id(node) for pre in page.find_all("pre") if not pre.find_parent("pre") for node in pre.descendants
    }
    parts: list[str] = []
    for node in page.descendants:
        if isinstance(node, Tag):
            parts.append(_break(node.name))
        elif isinstance(node, NavigableString) and type(node) in (NavigableString, CData):
            parts.append(str(node) if id(node) in verbatim else " ".join(f"|{node}|".split())[1:-1])
        parts.extend(_ending(node, page))
    paragraphs = (_lines(paragraph) for paragraph in "".join(parts).split(_PARAGRAPH))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _furniture(page: BeautifulSoup) -> list[Tag]:
    """The elements around a page's text that are there on every page of its site."""
    text = {id(node) for root in page.find_all(("main", "article")) for node in root.descendants}
    # What holds the text, or the heading, stays.
    holders = {
        id(parent) for node in page.find_all(("main", "article", "h1", "body")) for parent in node.parents
    }
    found = []
    for tag in page.find_all(True):
        if tag.name in ("html", "body", "main", "article") or id(tag) in holders:
            continue
        inside = id(tag) in text
        named = [*tag.get_attribute_list("class"), tag.get("id")]
        if (
            tag.name == "nav"
            or tag.get("role") in ("navigation", "menu", "menubar")
            or any(name and _CONSENT.fullmatch(str(name)) for name in named)
            or (not inside and (tag.name in _FURNITURE or tag.get("role") in _ROLES))
            or (
                not inside
                and tag.name in ("div", "ul", "section", "td")
                and any(_furnishes(name) for name in named)
            )
        ):
            found.append(tag)
    return found


def _furnishes(name: object) -> bool:
    return isinstance(name, str) and name.lower().replace("-", "").replace("_", "") in _NAMES


def _lines(paragraph: str) -> str:
    """A paragraph with its lines trimmed, and no empty line where an element ends and another begins."""
    items = (item.strip() for item in paragraph.split(_LINE))
    rows = "\n".join(item for item in items if item).split("\n")
    return "\n".join(" ".join(row.split()) for row in rows)


def _break(name: str) -> str:
    """The mark before and after an element of this name."""
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
