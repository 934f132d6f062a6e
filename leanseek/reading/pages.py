"""HTML pages: text and title, without menus, footers and the like."""

from __future__ import annotations

import io
import re
from collections.abc import Set
from typing import TYPE_CHECKING, Final

from leanseek.errors import MissingPackageError
from leanseek.reading.streams import Page, Place, decode
from leanseek.types import MetadataValue

if TYPE_CHECKING:
    from lxml.etree import _Element

_HIDDEN: Final = frozenset(("script", "style", "noscript", "template", "svg", "head", "title"))
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
_BOXES: Final = frozenset(("div", "ul", "section", "td"))
_WHITE: Final = re.compile(r"\s+")
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


def html_page(raw: bytes, place: Place, *, furnished: bool = True) -> Page:
    """The same for the bytes of a page, with all of its text if it is not `furnished` with menus and the like."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingPackageError("Reading .html files", "lxml", "files") from error

    source = decode(raw, place)
    if not source.strip():
        return Page("", "")
    root = etree.fromstring(source.encode(), etree.HTMLParser(encoding="utf-8", huge_tree=True))
    if root is None:
        return Page("", "")
    heading = next(root.iter("title"), None)
    if heading is None:
        heading = next(root.iter("h1"), None)
    title = " ".join("".join(heading.itertext()).split()) if heading is not None else ""
    metadata: dict[str, MetadataValue] = {}
    for meta in root.iter("meta"):
        name = meta.get("name", "").lower()
        content = " ".join(meta.get("content", "").split())
        if name in _DESCRIBED and content:
            metadata.setdefault(name, content)
    furniture = _furniture(root) if furnished else set()
    everything = _text(root, frozenset())
    main = _text(root, furniture) if furniture else everything
    return Page(title, main if len(main) * _LEAST >= len(everything) else everything, metadata)


def _text(root: _Element, left_out: Set[_Element]) -> str:
    """The text of a page, but for what is hidden and these elements."""
    from lxml import etree

    parts: list[str] = []
    skipped = verbatim = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event in ("start", "end"):
            step = 1 if event == "start" else -1
            verbatim += step * (node.tag == "pre")
            skipped += step * (node.tag in _HIDDEN or node in left_out)
            parts.append(_break(node.tag) if step > 0 or node.tag != "br" else "")
        text = node.text if event == "start" else node.tail
        if text and not skipped:
            parts.append(text if verbatim else _WHITE.sub(" ", text))
    paragraphs = (_lines(paragraph) for paragraph in "".join(parts).split(_PARAGRAPH))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _furniture(root: _Element) -> set[_Element]:
    """The elements around a page's text that are there on every page of its site."""
    from lxml import etree

    # What holds the text, or its heading, stays.
    holders: set[_Element] = set()
    for node in root.iter("main", "article", "h1", "body"):
        for parent in node.iterancestors():
            if parent in holders:
                break
            holders.add(parent)
    found = set()
    inside = 0
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if node.tag in ("main", "article"):
            inside += 1 if event == "start" else -1
        elif event == "start" and node.tag not in ("html", "body") and node not in holders:
            role = node.get("role")
            names = [*(node.get("class") or "").split(), node.get("id") or ""]
            if (
                node.tag == "nav"
                or role in ("navigation", "menu", "menubar")
                or any(_CONSENT.fullmatch(name) for name in names)
                or (not inside and (node.tag in _FURNITURE or role in _ROLES))
                or (not inside and node.tag in _BOXES and any(_plain(name) in _NAMES for name in names))
            ):
                found.add(node)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


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
