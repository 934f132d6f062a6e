"""The table of formats: which reader takes a file, by its suffix and by its first bytes."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from leanseek.errors import InputError
from leanseek.reading.books import epub, ipynb
from leanseek.reading.charset import looks_like_text
from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.jsonlines import read_json, read_json_lines
from leanseek.reading.mail import eml
from leanseek.reading.markup import markdown, plain, restructured, xml
from leanseek.reading.office import pptx, xlsx
from leanseek.reading.pages import html
from leanseek.reading.pdf import pdf
from leanseek.reading.streams import Page, Place, opened
from leanseek.reading.tables import read_csv, read_tsv
from leanseek.reading.trec import begins_trec, read_trec
from leanseek.reading.word import docx
from leanseek.types import Document

TableReader: TypeAlias = Callable[[io.BufferedReader, Place, DocumentBuilder], Iterator[Document]]
TextReader: TypeAlias = Callable[[io.BufferedReader, Place], Page]

TABLES: Final[dict[str, TableReader]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".trec": read_trec,
    ".trectext": read_trec,
}
"""Files of many documents. Parquet, which is no stream, is beside them."""

TEXTS: Final[dict[str, TextReader]] = {
    ".txt": plain,
    ".md": markdown,
    ".markdown": markdown,
    ".rst": restructured,
    ".html": html,
    ".htm": html,
    ".xhtml": html,
    ".xml": xml,
    ".pdf": pdf,
    ".docx": docx,
    ".pptx": pptx,
    ".xlsx": xlsx,
    ".epub": epub,
    ".ipynb": ipynb,
    ".eml": eml,
}
"""Files that are a document each."""

PACKED: Final = (".gz", ".bz2")
READABLE: Final = (*TABLES, ".parquet", *TEXTS)
"""The suffixes that decide how a file is read. A file with another or none is read as a text if it is one."""

_PROBE: Final = 8192
_FIRST_BYTES: Final = (
    (re.compile(rb"%PDF-"), ".pdf"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s{0,99}<(?:!doctype\s+html|html)\b", re.IGNORECASE), ".html"),
    (re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s"), ".xml"),
)
_READ_ERRORS: Final = (OSError, EOFError, zlib.error)


def file_kind(path: str) -> str | None:
    """The suffix of `READABLE` by which a file is read; None if it is not.

    The name decides where its suffix is known, except that TREC's files, which are often called .txt or .xml, are
    known by their first bytes. They decide for all other names; what looks like text is ".txt".
    """
    kind = suffix_kind(Path(path).name)
    if kind not in (None, ".txt", ".xml"):
        return kind
    try:
        with opened(path) as stream:
            start = stream.peek(_PROBE)[:_PROBE]
    except (InputError, *_READ_ERRORS):
        return kind  # reading it will raise the error
    if begins_trec(start):
        return ".trec"
    if kind is not None:
        return kind
    found = next((kind for begin, kind in _FIRST_BYTES if begin.match(start)), None)
    return found or (".txt" if looks_like_text(start) else None)


def suffix_kind(name: str) -> str | None:
    """The suffix of `READABLE` that a file's name ends in, packed or not; None without one."""
    stem, suffix = os.path.splitext(name.lower())  # noqa: PTH122
    if suffix in PACKED:
        suffix = os.path.splitext(stem)[1]  # noqa: PTH122
        return suffix if suffix in READABLE and suffix != ".parquet" else None
    return suffix if suffix in READABLE else None
