"""`read`: from files, folders and standard input to documents."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, get_args

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.reading.charset import known_encoding
from leanseek.reading.documents import DocumentBuilder, OnError
from leanseek.reading.fields import Fields
from leanseek.reading.formats import PACKED, READABLE, TABLES, TEXTS, file_kind
from leanseek.reading.streams import STANDARD_INPUT, Place, ReadReport, opened
from leanseek.reading.tables import read_parquet
from leanseek.types import Document

_CORPUS: Final = ("corpus.jsonl", *(f"corpus.jsonl{suffix}" for suffix in PACKED))
_READ_ERRORS: Final = (OSError, EOFError, zlib.error)


class _File(NamedTuple):
    """A file to read, its kind (a suffix of `READABLE`), and the id its document has if it is a text."""

    path: str
    kind: str
    id: str


def read(
    *sources: str | os.PathLike[str],
    id_field: str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
    on_error: OnError = "fail",
    encoding: str | None = None,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Stream the documents of files and folders, in a fixed order, whatever their number.

    A source is a BEIR folder (only its `corpus.jsonl` is read), another folder (walked in sorted order), a
    file whose kind is known by its suffix, or "-": JSON Lines from standard input.

    - Tables: .jsonl, .ndjson, .json (a list of objects), .tsv (MS MARCO's two layouts, or a header), .csv,
      .parquet. The fields that hold id, text and title have usual names (`fields.ID_NAMES` and so on) or are
      named here; the others become metadata.
    - Texts: the suffixes of `formats.TEXTS` (.md, .html, .pdf, .docx and so on), and any other file that is text by
      its first bytes, one document each. The id is the path below the source folder with "/" between its parts (the
      file's name, where the source is the file); the title is the one the file states or its first heading, else the
      name; metadata has `path` and what the file states of itself.

    - TREC documents (`<DOC>`, `<DOCNO>`): .trec, .trectext, and any file of another or no suffix, .txt or .xml, that
      begins with one.

    `encoding` is that of texts that are not UTF-8 and do not name their own; by default it is guessed, and the report
    names the file. Raises UsageError if it is not known.

    All but .parquet may be packed by gzip or bzip2. `on_error="skip"` counts unusable records and
    files in `report` and goes on. Documents with neither title nor text are left out and counted.

    Raises UsageError for a bad argument and InputError for a source that is missing or has nothing readable at
    once; while the documents are iterated, InputError for a record or file that cannot be used,
    MissingPackageError where the format needs an absent package, and StorageError where permission is denied.
    """
    if not sources:
        raise UsageError('no source given; name a file, a folder, or "-" for standard input')
    if on_error not in get_args(OnError):
        raise UsageError(f"on_error is {on_error!r}; it must be 'fail' or 'skip'")
    encoding = known_encoding(encoding) if encoding is not None else None
    report = report if report is not None else ReadReport()
    files = [file for source in sources for file in _files(os.fspath(source), report)]
    builder = DocumentBuilder(Fields(id_field, text_field, title_field), on_error, report, encoding)
    return _documents(files, builder)


def _documents(files: list[_File], builder: DocumentBuilder) -> Iterator[Document]:
    for file in files:
        place = Place(file.path, builder.encoding)
        try:
            yield from _file(file, place, builder)
        except (InputError, *_READ_ERRORS) as error:
            if isinstance(error, StorageError):
                raise
            if not isinstance(error, InputError):
                error = place.error(f"the file is damaged or cut off here: {error}")
            builder.refuse(error)
        builder.note_reading(place)


def _file(file: _File, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    if file.kind == ".parquet":
        yield from read_parquet(Path(file.path), place, builder)
        return
    with opened(file.path) as stream:
        if file.kind in TABLES:
            yield from TABLES[file.kind](stream, place, builder)
        else:
            document = _text_file(file, stream, place, builder)
            if document is not None:
                yield document


def _text_file(
    file: _File, stream: io.BufferedReader, place: Place, builder: DocumentBuilder
) -> Document | None:
    page = TEXTS[file.kind](stream, place)
    # A file without text is an empty document: its name alone is not a title.
    title = page.title or (_stem(file.path, file.kind) if page.text.strip() else "")
    return builder.take(file.id, page.text, title, {"path": file.path, **page.metadata}, place)


def _files(source: str, report: ReadReport) -> list[_File]:
    """The files of a source, in order. Raises InputError where it is missing or has nothing readable."""
    if source == STANDARD_INPUT:
        return [_File(source, ".jsonl", "")]
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder")
    if not path.is_dir():
        kind = file_kind(source)
        if kind is None:
            raise InputError(f"{source}: files of this kind are not read; those that are: {_kinds()}")
        return [_File(source, kind, _name(source))]
    found: list[_File] = []
    others: list[str] = []
    _walk(path, path, found, others)
    report.ignored += len(others)
    if not found:
        held = (
            f"it holds {len(others):,} files of other kinds, such as {', '.join(others[:5])}"
            if others
            else "it is empty"
        )
        raise InputError(f"{source}: nothing to read in this folder: {held}; what is read: {_kinds()}")
    return found


def _walk(root: Path, folder: Path, found: list[_File], others: list[str]) -> None:
    """Collect the files below a folder in sorted order; hidden ones and links to folders are passed over."""
    corpus = next((folder / name for name in _CORPUS if (folder / name).is_file()), None)
    if corpus is not None:
        found.append(_File(str(corpus), ".jsonl", ""))
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError as error:
        raise StorageError(f"{folder}: permission denied; the folder cannot be listed") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            _walk(root, Path(entry.path), found, others)
        elif entry.is_file():
            kind = file_kind(entry.path)
            relative = Path(entry.path).relative_to(root).as_posix()
            if kind is None:
                others.append(relative)
            else:
                found.append(_File(entry.path, kind, relative))


def _name(path: str) -> str:
    """The last part of a path, without the suffix of a packed file."""
    name = Path(path).name
    return next((name[: -len(suffix)] for suffix in PACKED if name.lower().endswith(suffix)), name)


def _stem(path: str, kind: str) -> str:
    """The file's name, without the suffix that decides how it is read."""
    name = _name(path)
    return name[: -len(kind)] if name.lower().endswith(kind) else name


def _kinds() -> str:
    return f"{', '.join(READABLE)} (packed also: {', '.join(PACKED)}), and a BEIR folder with corpus.jsonl"
