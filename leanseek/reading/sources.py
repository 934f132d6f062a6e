"""`read`: from files, folders and standard input to documents."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, get_args

from leanseek.errors import InputError, MissingPackageError, StorageError, UsageError
from leanseek.reading.charset import known_encoding
from leanseek.reading.documents import DocumentBuilder, OnError
from leanseek.reading.fields import Fields
from leanseek.reading.folders import Found, IdList, Root, Roots, SourceFile, digest_of, found_files, stamp_of
from leanseek.reading.formats import PACKED, READABLE, TABLES, TEXTS, file_kind
from leanseek.reading.streams import STANDARD_INPUT, Place, ReadReport, opened
from leanseek.reading.tables import read_parquet
from leanseek.types import Document

NOT_READ: Final = "of a kind that is not read"
_READ_ERRORS: Final = (OSError, EOFError, zlib.error)


def read(
    *sources: str | os.PathLike[str],
    id_field: str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
    on_error: OnError = "fail",
    encoding: str | None = None,
    report: ReadReport | None = None,
) -> Reading:
    """Stream the documents of files and folders, in a fixed order, whatever their number.

    A source is a BEIR folder (only its `corpus.jsonl` is read), another folder (walked in sorted order), a
    file whose kind is known by its suffix, or "-": JSON Lines from standard input.

    - Tables: .jsonl, .ndjson, .json (a list of objects), .tsv (MS MARCO's two layouts, or a header), .csv,
      .parquet. The fields that hold id, text and title have usual names (`fields.ID_NAMES` and so on) or are
      named here; the others become metadata. Records of a table in a folder of mixed files may lack an id: they
      are numbered, `members.csv#2` (which `id_field="#"` asks for elsewhere); without a text field all their
      fields are the text.
    - Texts: the suffixes of `formats.TEXTS` (.md, .html, .pdf, .docx and so on), and any other file that is text by
      its first bytes, one document each. The id is the path below the source folder with "/" between its parts, below
      the nearest folder that holds all sources where there are several, and below the roots of the index that the
      documents are added to; the title is the one the file states or its first heading, else the name; metadata has
      `path` and what the file states of itself.

    - TREC documents (`<DOC>`, `<DOCNO>`): .trec, .trectext, and any file of another or no suffix, .txt or .xml, that
      begins with one.

    `encoding` is that of texts that are not UTF-8 and do not name their own; by default it is guessed, and the report
    names the file. Raises UsageError if it is not known.

    All but .parquet may be packed by gzip or bzip2. `on_error="skip"` counts unusable records and files in `report`
    and goes on, and "auto" does so for the files of a folder that is no collection of BEIR or TREC alone. Documents
    with neither title nor text are left out and counted. What is found in folders and not read is in
    `report.left_out`.

    Raises UsageError for a bad argument and InputError for a source that is missing or has nothing readable at
    once; while the documents are iterated, InputError for a record or file that cannot be used,
    MissingPackageError where the format needs an absent package, and StorageError where permission is denied.
    """
    report = report if report is not None else ReadReport()
    options = ReadOptions(Fields(id_field, text_field, title_field), encoding)
    reading = unread(sources, options, on_error, report)
    files: dict[str, Found] = {}  # a file that two sources hold is read once
    for source in reading.sources:
        for file in _files(source, report):
            files.setdefault(file.real, file)
    reading.files = list(files.values())
    return reading


class ReadOptions(NamedTuple):
    """What decides which documents a file gives: the names of its fields, and of its encoding."""

    fields: Fields = Fields()
    encoding: str | None = None


def unread(
    sources: Sequence[str | os.PathLike[str]], options: ReadOptions, on_error: OnError, report: ReadReport
) -> Reading:
    """The reading of sources none of whose files is listed yet. Raises UsageError for a bad argument."""
    if not sources:
        raise UsageError('no source given; name a file, a folder, or "-" for standard input')
    if on_error not in get_args(OnError):
        raise UsageError(f"on_error is {on_error!r}; it must be 'fail' or 'skip', or 'auto'")
    encoding = known_encoding(options.encoding) if options.encoding is not None else None
    builder = DocumentBuilder(options.fields, on_error, report, encoding)
    return Reading([os.fspath(source) for source in sources], builder)


class Reading(Iterator[Document]):
    """The documents of sources; an index that they are added to takes note of where they came from.

    `sources` are as given, "-" among them; `files` are still to be read, and `records` what is known of those read.
    """

    def __init__(self, sources: Sequence[str], builder: DocumentBuilder) -> None:
        self.sources = sources
        self.files: list[Found] = []
        self.records: list[SourceFile] = []
        self.roots = Roots()
        self.below(())
        self.report = builder.report
        self.whole = True
        """Whether all of the last file could be used."""
        self._builder = builder
        self._documents: Iterator[Document] | None = None

    @property
    def options(self) -> ReadOptions:
        """What was given for it."""
        return ReadOptions(self._builder.fields, self._builder.encoding)

    @property
    def holds_texts(self) -> bool:
        """Whether any of the files is a document of its own, rather than a table or a collection."""
        return any(file.kind in TEXTS for file in self.files)

    def below(self, roots: Iterable[Root]) -> None:
        """Take the ids of files from these roots, and from new ones for sources that they do not hold."""
        self.roots = Roots(roots)
        self.roots.include(source for source in self.sources if source != STANDARD_INPUT)

    def __next__(self) -> Document:
        if self._documents is None:
            self._documents = self._read()
        return next(self._documents)

    def _read(self) -> Iterator[Document]:
        for file in self.files:
            yield from self.documents_of(file)

    def documents_of(self, file: Found) -> Iterator[Document]:
        """The documents of one of the files; then its record is the last of `records`."""
        builder = self._builder
        if file.path == STANDARD_INPUT:
            builder.begin(file.path, found=False)
            yield from self._guarded(file, file.path)
            return
        (root, id), stamp = self.roots.place(file.real), stamp_of(file.path)
        builder.begin(id, found=not file.named and not file.collection, composes=file.kind != ".json")
        ids = IdList()
        self.whole = True
        for document in self._guarded(file, id):
            ids.add(document.id)
            yield document
        builder.end()
        digest = digest_of(file.path)
        self.whole = self.whole and not builder.refused
        if not self.whole or not digest or stamp != stamp_of(file.path):
            stamp = ""
        packed = None if file.kind in TEXTS else ids.packed()
        self.records.append(SourceFile(id, root, stamp, digest if self.whole else "", ids.count, packed))

    def _guarded(self, file: Found, id: str) -> Iterator[Document]:
        builder = self._builder
        place = Place(file.path, builder.encoding)
        try:
            yield from _file(file.path, id, file.kind, place, builder)
        except (InputError, MissingPackageError, *_READ_ERRORS) as error:
            if isinstance(error, (StorageError, MissingPackageError)):
                if file.named or not builder.skips:
                    raise
                builder.report.leave_out(*_hindrance(error), file.path)
                self.whole = False
                return
            if not isinstance(error, InputError):
                error = place.error(f"the file is damaged or cut off here: {error}")
            builder.refuse(error)
        builder.note_reading(place)


def _hindrance(error: StorageError | MissingPackageError) -> tuple[str, str]:
    """The kind of file that the error keeps from being read, and why, for a report."""
    if isinstance(error, MissingPackageError):
        return "file that needs another package", str(error)
    return "file that may not be opened", "permission is denied"


def _file(path: str, id: str, kind: str, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    if kind == ".parquet":
        yield from read_parquet(Path(path), place, builder)
        return
    with opened(path) as stream:
        if kind in TABLES:
            yield from TABLES[kind](stream, place, builder)
        else:
            document = _text_file(path, id, kind, stream, place, builder)
            if document is not None:
                yield document


def _text_file(
    path: str, id: str, kind: str, stream: io.BufferedReader, place: Place, builder: DocumentBuilder
) -> Document | None:
    page = TEXTS[kind](stream, place)
    # A file without text is an empty document: its name alone is not a title.
    title = page.title or (_stem(path, kind) if page.text.strip() else "")
    metadata = builder.metadata({"path": path, **page.metadata}, ("path", *page.metadata), place)
    return builder.take(id, page.text, title, metadata, place)


def _files(source: str, report: ReadReport) -> list[Found]:
    """The files of a source that are read, in order. Raises InputError where it is missing or has nothing readable."""
    if source == STANDARD_INPUT:
        return [Found(source, source, named=True, kind=".jsonl")]
    files = readable(found_files(source, report), report)
    if not files:
        others = [os.path.relpath(path, source) for one in report.left_out for path in one.paths]
        held = (
            f"it holds {len(others):,} files of other kinds, such as {', '.join(others[:5])}"
            if others
            else "it is empty"
        )
        raise InputError(f"{source}: nothing to read in this folder: {held}; what is read: {_kinds()}")
    return files


def readable(files: Iterable[Found], report: ReadReport) -> list[Found]:
    """Those of a source's files that are read, with their kinds; the report has the others, by suffix."""
    kept: list[Found] = []
    for file in files:
        kind = file_kind(file.path)
        if kind is not None:
            kept.append(file._replace(kind=kind))
        elif file.named:
            raise InputError(f"{file.path}: files of this kind are not read; those that are: {_kinds()}")
        else:
            report.ignored += 1
            report.leave_out(f"{Path(file.path).suffix.lower()} file".lstrip(), NOT_READ, file.path)
    if all(file.collection or file.kind == ".trec" for file in kept):
        return [file._replace(collection=True) for file in kept]
    return [file._replace(collection=False) for file in kept]


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
