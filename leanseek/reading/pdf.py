"""PDF: the text of the pages, words divided at line ends joined, and the pages that have none."""

from __future__ import annotations

import io
import logging
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leanseek.errors import InputError, MissingPackageError
from leanseek.reading.outline import PAGES, joined
from leanseek.reading.streams import Page, Place, first_line
from leanseek.types import MetadataValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DIVIDED: Final = re.compile("[-\u00ad\u2010] ?\n{1,2}(?=[^\\W\\d_])")
_WORD: Final = re.compile(r"[^\W\d_]+")
_HYPHENATED: Final = re.compile(r"(?<![^\W\d_])[^\W\d_]+-[^\W\d_]+")
_LONGEST_WORD: Final = 60
# After these a hyphen belongs to the word; before those it stands for the end of another word.
_COMPOUND: Final = frozenset(
    "all anti cross ex far full half high ill in long low multi non on one post pre re self semi short so state two "
    "three up well".split()
)
_LINKS: Final = frozenset("and or to und oder bzw bis et ou y o e en of".split())
_PROPERTIES: Final = ("author", "subject", "keywords")


def pdf(stream: io.BufferedReader, place: Place) -> Page:
    """The text of a PDF's pages, an empty line between them; pages without text are noted.

    Raises InputError if the file is damaged or encrypted.
    """
    try:
        import pypdf
    except ImportError as error:
        raise MissingPackageError("Reading .pdf files", "pypdf", "files") from error

    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL)
    metadata: dict[str, MetadataValue] = {}
    try:
        reader = pypdf.PdfReader(io.BytesIO(stream.read()))
        if reader.is_encrypted and not reader.decrypt(""):
            raise place.error("the PDF is encrypted with a password; save it without one")
        properties = reader.metadata
        title = _line(properties.title if properties else None)
        for name in _PROPERTIES:
            if properties and _line(getattr(properties, name, None)):
                metadata[name] = _line(getattr(properties, name))
        pages = [_page(page, number, place) for number, page in enumerate(reader.pages, 1)]
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"a damaged PDF, or not a PDF: {first_line(error)}") from error
    finally:
        log.setLevel(level)
    metadata["pages"] = len(pages)
    _note_scans(pages, place)
    if any("\0" in page for page in pages):
        place.repaired = True  # as documents are that have them, but while it is known where pages begin
        pages = [page.replace("\0", "") for page in pages]
    text, starts = joined(pages)
    divisions = _divisions(text)
    metadata[PAGES[0]] = [*_moved(starts, divisions)]
    return Page(title, _without(text, divisions), metadata)


def _page(page: Any, number: int, place: Place) -> str:
    try:
        return str(page.extract_text()).strip()
    except Exception as error:  # as above, but the other pages may be sound
        place.notes.append(f"page {number} is damaged and was left out: {first_line(error)}")
        return ""


def _note_scans(pages: Sequence[str], place: Place) -> None:
    bare = sum(not page for page in pages)
    if not bare:
        return
    of = f"of {len(pages):,} " if bare < len(pages) else ""
    counted = f"{bare:,} {of}{'page' if len(pages) == 1 else 'pages'} without a text layer (a scan?)"
    name = Path(place.file).name
    place.notes.append(
        f"{counted}: recognise the text first, such as with: ocrmypdf {shlex.quote(name)} "
        f"{shlex.quote(f'{Path(name).stem}-ocr.pdf')}"
    )


def join_divided(text: str) -> str:
    """The text with the words joined that a hyphen divides at the end of a line.

    The hyphen stays where the rest of the text writes the word with it, or writes both parts as words but not the
    joined one; where the first part is one such as "well" or "self"; and before "and", "und" and the like.
    """
    return _without(text, _divisions(text))


class _Division(NamedTuple):
    """Characters [start, end) that divide a word at the end of a line, and what stands there in the joined word."""

    start: int
    end: int
    kept: str


def _without(text: str, divisions: Sequence[_Division]) -> str:
    parts: list[str] = []
    at = 0
    for division in divisions:
        parts += [text[at : division.start], division.kept]
        at = division.end
    return "".join([*parts, text[at:]])


def _moved(starts: Iterable[int], divisions: Sequence[_Division]) -> Iterator[int]:
    """Where ascending places of a text are without the divisions; one within a division is where the word goes on."""
    removed = 0
    waiting = iter([*divisions, None])
    division = next(waiting)
    for start in starts:
        while division is not None and division.start < start:
            removed += division.end - division.start - len(division.kept)
            start = max(start, division.end)
            division = next(waiting)
        yield start - removed


def _divisions(text: str) -> list[_Division]:
    divisions = []
    for found in _DIVIDED.finditer(text):
        first = _last_word(text[max(0, found.start() - _LONGEST_WORD) : found.start()])
        following = _WORD.match(text, found.end(), found.end() + _LONGEST_WORD)
        second = following[0] if following else ""
        if first and second and not second[0].isupper() and second not in _LINKS:
            divisions.append((found, first.lower(), second))
    if not divisions:
        return []
    hyphenated = {pair.lower() for pair in _HYPHENATED.findall(text)}
    words = Counter(_WORD.findall(text.lower()))
    words.subtract(part for _, first, second in divisions for part in (first, second))
    kept = []
    for found, first, second in divisions:
        compound = (
            first in _COMPOUND
            or f"{first}-{second}" in hyphenated
            or (words[first] > 0 and words[second] > 0)
        )
        keeps = found[0][0] != "\u00ad" and not words[first + second] and compound
        kept.append(_Division(found.start(), found.end(), "-" if keeps else ""))
    return kept


def _last_word(text: str) -> str:
    end = len(text)
    while end and text[end - 1].isalpha():
        end -= 1
    return text[end:]


def _line(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""
