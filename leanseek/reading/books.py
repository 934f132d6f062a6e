"""Electronic books (.epub) and notebooks (.ipynb)."""

from __future__ import annotations

import io
import json
import posixpath
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree

from leanseek.errors import InputError
from leanseek.reading.markup import local_name, markdown_title
from leanseek.reading.outline import headings_of, joined, sections
from leanseek.reading.pages import html_page
from leanseek.reading.streams import Page, Place, decode, first_line
from leanseek.reading.word import archive
from leanseek.types import MetadataValue

_PROPERTIES: Final = {
    "creator": "author",
    "subject": "subject",
    "description": "description",
    "language": "language",
    "date": "date",
}


def epub(stream: io.BufferedReader, place: Place) -> Page:
    """A book: its chapters in reading order, an empty line between them.

    Raises InputError if the file is damaged, and MissingPackageError.
    """
    metadata: dict[str, MetadataValue] = {}
    title = ""
    chapters = []
    try:
        files = archive(stream.read(), place)
        container = ElementTree.fromstring(files.read("META-INF/container.xml"))
        main = next(node.get("full-path", "") for node in container.iter() if local_name(node) == "rootfile")
        items: dict[str, str] = {}
        for node in ElementTree.fromstring(files.read(main)).iter():
            name = local_name(node)
            value = " ".join((node.text or "").split())
            if name == "item":
                items[node.get("id", "")] = posixpath.join(
                    posixpath.dirname(main), unquote(node.get("href", ""))
                )
            elif name == "itemref":
                chapters.append(posixpath.normpath(items[node.get("idref", "")]))
            elif name == "title" and value:
                title = title or value
            elif name in _PROPERTIES and value:
                metadata.setdefault(_PROPERTIES[name], value)
        raws = [files.read(chapter) for chapter in chapters]
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"damaged, or not an .epub book: {first_line(error)}") from error
    read = [html_page(raw, place, furnished=False) for raw in raws]
    text, starts = joined(page.text for page in read)
    headings = (
        (begin + start, heading)
        for begin, page in zip(starts, read, strict=True)
        for start, heading in headings_of(page.metadata)
    )
    return Page(title, text, {**metadata, **sections(headings)})


def ipynb(stream: io.BufferedReader, place: Place) -> Page:
    """A notebook: its cells of text and code in order; what the code printed is left out.

    The title is the first heading. Raises InputError for what is no notebook.
    """
    source = decode(stream.read(), place)
    try:
        book = json.loads(source) if source.strip() else {"cells": []}
        # The third version kept cells in worksheets.
        sheets = [book] if "cells" in book else book["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        texts = [_source(cell.get("source", cell.get("input", ""))) for cell in cells]
        prose = [text for cell, text in zip(cells, texts, strict=True) if cell.get("cell_type") != "code"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise place.error(f"damaged, or not a notebook: {first_line(error)}") from error
    metadata: dict[str, MetadataValue] = {}
    language = book.get("metadata", {}).get("kernelspec", {}).get("language") if "metadata" in book else None
    if isinstance(language, str):
        metadata["language"] = language
    return Page(markdown_title("\n\n".join(prose)), "\n\n".join(text for text in texts if text), metadata)


def _source(lines: str | list[str]) -> str:
    return "".join(lines).strip()
