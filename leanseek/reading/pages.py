"""HTML pages: text and title, without menus, footers and the like."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence, Set
from typing import Final, Literal, NamedTuple

from leanseek.errors import MissingPackageError
from leanseek.reading.outline import sections
from leanseek.reading.streams import Page, Place, decode
from leanseek.types import MetadataValue

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
_HEADING: Final = "\x03"
"""Before the text of a heading."""
_HEADINGS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))


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

    # As events and not as a tree, of which the parser leaves out what is nested deeply.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, target=_Events())
    parser.feed(decode(raw, place).encode())
    events: list[_Event] = parser.close()
    metadata: dict[str, MetadataValue] = {}
    for event in events:
        if event.kind == "start" and event.value == "meta":
            name = event.attributes.get("name", "").lower()
            content = " ".join(event.attributes.get("content", "").split())
            if name in _DESCRIBED and content:
                metadata.setdefault(name, content)
    furniture = _furniture(events) if furnished else set()
    everything = _text(events, frozenset())
    main = _text(events, furniture) if furniture else everything
    title = _first(events, "title") or _first(events, "h1")
    text, headings = _headed(main if len(main) * _LEAST >= len(everything) else everything)
    return Page(title, text, {**metadata, **sections(headings)})


class _Event(NamedTuple):
    """The start or end of an element of the name `value`, or data, which is the value."""

    kind: Literal["start", "end", "data"]
    value: str
    attributes: Mapping[str, str] = {}


class _Events:
    """What the parser calls; comments and instructions are left out."""

    def __init__(self) -> None:
        self._events: list[_Event] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._events.append(_Event("start", tag, dict(attributes)))

    def end(self, tag: str) -> None:
        self._events.append(_Event("end", tag))

    def data(self, text: str) -> None:
        self._events.append(_Event("data", text))

    def close(self) -> list[_Event]:
        return self._events


def _first(events: Sequence[_Event], name: str) -> str:
    """The text of the first element of a name; "" without one."""
    parts: list[str] = []
    within = False
    for event in events:
        if event.value == name and event.kind != "data":
            if event.kind == "end":
                break
            within = True
        elif within and event.kind == "data":
            parts.append(event.value)
    return " ".join("".join(parts).split())


def _text(events: Sequence[_Event], left_out: Set[int]) -> str:
    """The text of a page with marks at its headings, but for what is hidden and the elements that begin at these."""
    parts: list[str] = []
    shown: list[bool] = []
    verbatim = 0
    for number, (kind, value, _) in enumerate(events):
        if kind == "data":
            if not shown or shown[-1]:
                parts.append(value if verbatim else _WHITE.sub(" ", value))
            continue
        if kind == "start":
            above = not shown or shown[-1]
            shown.append(above and value not in _HIDDEN and number not in left_out)
        elif shown:
            shown.pop()
        verbatim += (value == "pre") * (1 if kind == "start" else -1)
        parts.append(_break(value) if kind == "start" or value != "br" else "")
        if kind == "start" and value in _HEADINGS and shown[-1]:
            parts.append(_HEADING)
    paragraphs = (_lines(paragraph) for paragraph in "".join(parts).split(_PARAGRAPH))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph.strip(_HEADING))


def _headed(marked: str) -> tuple[str, list[tuple[int, str]]]:
    """A text without its marks, and its headings with the characters at which they begin."""
    first, *others = marked.split(_HEADING)
    headings, length = [], len(first)
    for part in others:
        heading = " ".join(part.split("\n\n", 1)[0].split())
        if heading:
            headings.append((length, heading))
        length += len(part)
    return "".join([first, *others]), headings


def _furniture(events: Sequence[_Event]) -> set[int]:
    """The starts of the elements around a page's text that are there on every page of its site."""
    # What holds the text, or its heading, stays.
    holders: set[int] = set()
    found: set[int] = set()
    above: list[int] = []
    inside = 0
    for number, (kind, tag, attributes) in enumerate(events):
        if kind == "data":
            continue
        if tag in ("main", "article"):
            inside += 1 if kind == "start" else -1
        if kind == "end":
            if above:
                above.pop()
            continue
        if tag in ("main", "article", "h1", "body"):
            for holder in reversed(above):
                if holder in holders:
                    break
                holders.add(holder)
        above.append(number)
        role = attributes.get("role")
        names = [*attributes.get("class", "").split(), attributes.get("id", "")]
        if tag not in ("html", "body", "main", "article") and (
            tag == "nav"
            or role in ("navigation", "menu", "menubar")
            or any(_CONSENT.fullmatch(name) for name in names)
            or (not inside and (tag in _FURNITURE or role in _ROLES))
            or (not inside and tag in _BOXES and any(_plain(name) in _NAMES for name in names))
        ):
            found.add(number)
    return found - holders


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
