"""A folder as TREC's tracks hand it out: files of documents, topics and judgments, told apart by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.collections.files import FilesCollection, bare
from leanseek.eval.collections.splits import usual_order
from leanseek.indexing.reading.sources import file_kind

NEEDS: Final = (
    "TREC: topics and qrels (files with 'topics' or 'queries', and 'qrels', in their names), and documents: a "
    "folder docs/, documents/ or corpus/, or files that begin with <DOC>, or .jsonl, .tsv, .csv, .parquet tables"
)
TREC: Final = (".trec", ".trectext")
TABLES: Final = (".jsonl", ".ndjson", ".tsv", ".csv", ".parquet")
_DOCUMENTS: Final = ("docs", "documents", "corpus", "collection")


def trec_folder(folder: Path, name: str) -> FilesCollection | None:
    """The collection in this folder, or None where it has no file of topics or none of judgments.

    A split is called what remains of the judgments' name (`qrels.robust04.txt`: robust04), else `test`. Raises
    InputError where topics and judgments are there but no documents.
    """
    topics: list[Path] = []
    files: dict[str, Path] = {}
    others: list[Path] = []
    for path in sorted(shallow(folder)):
        held = path.relative_to(folder).as_posix().lower()
        if "qrel" in held:
            files.setdefault(bare(path.name) or "test", path)
        elif "topic" in held or "queries" in held:
            topics.append(path)
        else:
            others.append(path)
    if not topics or not files:
        return None
    documents = marked(folder) or of_kinds(others, TREC) or of_kinds(others, TABLES)
    if not documents:
        raise InputError(
            f"{folder}: there are topics and judgments but no documents. Put them into {folder / 'docs'}"
        )
    splits = {split: files[split] for split in usual_order(files)}
    return FilesCollection(name, folder, documents, topics, splits)


def shallow(folder: Path) -> Iterator[Path]:
    """The folder's files, and those of its folders of topics and judgments; hidden ones are passed over."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and any(word in path.name.lower() for word in ("qrel", "topic", "queries")):
            yield from (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))


def marked(folder: Path) -> list[Path]:
    """The folder or files whose names say that they hold the documents."""
    return [path for path in sorted(folder.iterdir()) if path.name.lower().split(".", 1)[0] in _DOCUMENTS]


def of_kinds(files: Sequence[Path], kinds: Sequence[str]) -> list[Path]:
    """Those of the files that are read in one of these ways."""
    return [path for path in files if file_kind(str(path)) in kinds]
