"""Slides (.pptx) and workbooks (.xlsx)."""

from __future__ import annotations

import datetime
import io
import warnings
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from leanseek.errors import InputError, MissingPackageError
from leanseek.reading.markup import local_name
from leanseek.reading.outline import PAGES, joined
from leanseek.reading.streams import Page, Place, first_line
from leanseek.reading.word import Package, attribute, blocks

_ON_SLIDES: Final = ("diagramData", "chart", "notesSlide")
_TITLES: Final = ("title", "ctrTitle")
_NUMBERS: Final = ("sldNum", "dt", "ftr", "sldImg", "hdr")


def pptx(stream: io.BufferedReader, place: Place) -> Page:
    """A presentation: the slides in order, each with its diagrams and notes, an empty line between them.

    The title is the one stated, else that of the first slide that has one. Raises InputError if the file is damaged
    or encrypted.
    """
    try:
        package = Package(stream.read(), place, ".pptx")
        title, metadata = package.properties()
        related = package.related(package.main)
        slides = []
        for mark in package.part(package.main).iter():
            target = related.get(_relation(mark)) if local_name(mark) == "sldId" else None
            if target is None:
                continue
            slide = package.part(target.name)
            title = title or _slide_title(slide)
            rows = list(_shapes(slide))
            for kind, name in package.related(target.name).values():
                if kind in _ON_SLIDES:
                    rows += _shapes(package.part(name))
            slides.append("\n".join(rows))
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"damaged, or not a .pptx presentation: {first_line(error)}") from error
    metadata["slides"] = len(slides)
    text, starts = joined(slides)
    metadata[PAGES[0]] = [*starts]
    return Page(title, text, metadata)


def _relation(mark: Element) -> str:
    return next((value for name, value in mark.items() if name.endswith("}id")), "")


def _placeholder(shape: Element) -> str | None:
    """What a shape is a placeholder for ("" is the body); None where it is no placeholder."""
    for part in shape:
        if local_name(part) == "nvSpPr":
            mark = next((node for node in part.iter() if local_name(node) == "ph"), None)
            return attribute(mark, "type") if mark is not None else None
    return None


def _slide_title(slide: Element) -> str:
    for shape in slide.iter():
        if local_name(shape) == "sp" and _placeholder(shape) in _TITLES:
            return " ".join(" ".join(blocks(shape)).split())
    return ""


def _shapes(node: Element) -> Iterator[str]:
    """The paragraphs and table rows of a slide's shapes, without its number, date and footer."""
    if local_name(node) == "sp":
        if _placeholder(node) not in _NUMBERS:
            yield from blocks(node)
    elif local_name(node) in ("p", "tr"):
        yield from blocks(node)
    else:
        for child in node:
            yield from _shapes(child)


def xlsx(stream: io.BufferedReader, place: Place) -> Page:
    """A workbook: its sheets, each under its name, with a line a row and tabs between the cells that hold something.

    Formulas are their last values. Raises InputError if the file is damaged or encrypted.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise MissingPackageError("Reading .xlsx files", "openpyxl", "files") from error

    raw = stream.read()
    try:
        title, metadata = Package(raw, place, ".xlsx").properties()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            sheets = []
            for sheet in book.worksheets:
                # As wide as its cells and not as the sheet is, in which one cell may be far away.
                sheet.reset_dimensions()
                rows = ["\t".join(_cells(row)) for row in sheet.iter_rows(values_only=True)]
                sheets.append("\n".join([sheet.title, *(row for row in rows if row)]) if any(rows) else "")
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"damaged, or not a .xlsx workbook: {first_line(error)}") from error
    metadata["sheets"] = len(sheets)
    return Page(title, "\n\n".join(sheet for sheet in sheets if sheet), metadata)


def _cells(row: tuple[object, ...]) -> Iterator[str]:
    for value in row:
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        elif isinstance(value, datetime.datetime) and value.time() == datetime.time():
            value = value.date()
        text = " ".join(str(value).split())
        if text:
            yield text
