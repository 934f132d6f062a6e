"""PDF and Word documents."""

from __future__ import annotations

import io
import logging
from typing import NamedTuple

from leanseek.errors import InputError, MissingPackageError
from leanseek.indexing.reading.report import Place


class Extracted(NamedTuple):
    """A file's title ("" if it tells none), its text, and the number of pages (None: it has none)."""

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
