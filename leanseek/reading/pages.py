"""Pages to text and title: HTML, Markdown, reStructuredText, PDF and Word."""

from __future__ import annotations

import io
import itertools
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from leanseek.errors import InputError, MissingPackageError
from leanseek.reading.streams import Place

if TYPE_CHECKING:
    from bs4.element import PageElement

_HIDDEN: Final = ("script", "style", "noscript", "template", "svg", "head", "title")
_PARAGRAPHS: Final = re.compile(
    "address|article|aside|blockquote|body|details|dialog|div|dl|fieldset|figure|footer|form|h[1-6]|header|hr|"
    "main|nav|ol|p|pre|section|table|ul"
)
_LINES: Final = re.compile("caption|dd|dt|figcaption|li|option|summary|tbody|tfoot|thead|tr")
_CELLS: Final = re.compile("td|th")
# Marks at the beginnings and ends of elements: several at one place make one break, the largest.
_PARAGRAPH: Final = "\x01"
_LINE: Final = "\x02"

_ATX: Final = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_SETEXT: Final = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_RST_LINE: Final = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*")


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
    title = " ".join(heading.get_text().split()) if heading else ""
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


def markdown_title(text: str) -> str:
    """The first heading, in either notation and outside fenced code; "" if there is none."""
    front = _FRONT_MATTER.match(text)
    fence = ""
    above = ""
    for line in text[front.end() if front else 0 :].split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = ""
            continue
        if mark:
            fence, above = mark[1], ""
            continue
        heading = _ATX.fullmatch(line)
        if heading and heading[1]:
            return heading[1].strip()
        if above and _SETEXT.fullmatch(line):
            return above
        # A list, a quotation or indented code above a line of dashes is no heading.
        above = "" if re.match(r"\s{4}|\t|\s*(?:[-*+>|]|\d+[.)]\s)", line) else line.strip()
    return ""


def rst_title(text: str) -> str:
    """The first line underlined by punctuation at least as long as itself; "" if there is none."""
    rows = text.split("\n")
    for line, under in itertools.pairwise(rows):
        title = line.strip()
        adorned = _RST_LINE.fullmatch(under) is not None and len(under.rstrip()) >= len(title)
        if adorned and title and not _RST_LINE.fullmatch(title) and not title.startswith(".. "):
            return title
    return ""


class Extracted(NamedTuple):
    """A file's title ("" without one), its text, and the number of pages (None: it has none)."""

    title: str
    text: str
    pages: int | None


def pdf_text(raw: bytes, place: Place) -> Extracted:
    """The text of a PDF's pages, an empty line between them. Raises InputError if damaged or encrypted."""
    try:
        import pypdf
    except ImportError as error:
        raise MissingPackageError("Reading .pdf files", "pypdf", "files") from error

    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise place.error("the PDF is encrypted with a password; save it without one")
        title = (reader.metadata.title if reader.metadata else None) or ""
        pages = [page.extract_text().strip() for page in reader.pages]
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"a damaged PDF, or not a PDF: {_first_line(error)}") from error
    finally:
        log.setLevel(level)
    return Extracted(" ".join(str(title).split()), "\n\n".join(page for page in pages if page), len(pages))


def docx_text(raw: bytes, place: Place) -> Extracted:
    """A Word document's paragraphs and table rows in order. Raises InputError if damaged or encrypted."""
    try:
        import docx
        from docx.table import Table
    except ImportError as error:
        raise MissingPackageError("Reading .docx files", "python-docx", "files") from error

    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise place.error(
            "the document is encrypted or of the old .doc format; save it as .docx without a password"
        )
    try:
        document = docx.Document(io.BytesIO(raw))
        title = document.core_properties.title or ""
        rows: list[str] = []
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                rows.extend("\t".join(cell.text.strip() for cell in row.cells) for row in block.rows)
                continue
            if not title and block.text.strip() and (block.style.name or "").startswith(("Title", "Heading")):
                title = block.text
            rows.append(block.text)
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"damaged, or not a .docx document: {_first_line(error)}") from error
    return Extracted(" ".join(title.split()), "\n".join(row for row in rows if row.strip()), None)


def _first_line(error: Exception) -> str:
    message = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
