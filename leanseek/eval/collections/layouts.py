"""The layouts of a collection's folder: those of BEIR, MS MARCO and TREC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.collections.collection_files import FilesCollection, bare, usual_order
from leanseek.reading.formats import file_kind

BEIR_NEEDS: Final = "BEIR: corpus.jsonl, and to measure on it queries.jsonl and qrels/<split>.tsv"
MS_MARCO_NEEDS: Final = (
    "MS MARCO: collection.tsv, and to measure on it queries.<split>.tsv and qrels.<split>.tsv, or TREC-DL's "
    "msmarco-test<year>-queries.tsv and <year>qrels-pass.txt"
)
_QUERIES: Final = re.compile(r"(queries\..+|msmarco-test20\d\d-queries|20\d\d[-_.]topics)\.tsv(\.gz|\.bz2)?")
_QRELS: Final = re.compile(r"qrels\..+\.(tsv|txt)(\.gz|\.bz2)?")
_TREC_DL: Final = re.compile(r"(20\d\d)[-_.]?qrels([-_.]pass(age)?)?(\.txt|\.tsv)?(\.gz|\.bz2)?")
TREC_NEEDS: Final = (
    "TREC: topics and qrels (files with 'topics' or 'queries', and 'qrels', in their names), and documents: a "
    "folder docs/, documents/ or corpus/, or files that begin with <DOC>, or .jsonl, .tsv, .csv, .parquet tables"
)
TREC: Final = (".trec", ".trectext")
TABLES: Final = (".jsonl", ".ndjson", ".tsv", ".csv", ".parquet")
_DOCUMENTS: Final = ("docs", "documents", "corpus", "collection")
PACKINGS: Final = ("", ".gz", ".bz2")


def beir_folder(folder: Path, name: str) -> FilesCollection | None:
    """The BEIR collection in this folder, or None. Queries and judgments may be absent."""
    corpus = packed(folder / "corpus.jsonl")
    if corpus is None:
        return None
    queries = packed(folder / "queries.jsonl")
    files: dict[str, Path] = {}
    if queries is not None:
        for path in sorted((folder / "qrels").glob("*.tsv*")):
            stem, mark, packing = path.name.partition(".tsv")
            if mark and packing in PACKINGS and not stem.startswith("."):
                files.setdefault(stem, path)
    splits = {split: files[split] for split in usual_order(files)}
    return FilesCollection(name, folder, [corpus], [queries] if queries else [], splits)


def packed(path: Path) -> Path | None:
    """The file, or its packed form; None where neither is there."""
    return next((Path(f"{path}{end}") for end in PACKINGS if Path(f"{path}{end}").is_file()), None)


def msmarco_folder(folder: Path, name: str) -> FilesCollection | None:
    """The MS MARCO collection in this folder, or None. TREC-DL's judgments make the split `trec-dl-<year>`."""
    corpus = packed(folder / "collection.tsv")
    if corpus is None:
        return None
    queries = []
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        lower = path.name.lower()
        if not path.is_file():
            continue
        if _QUERIES.fullmatch(lower):
            queries.append(path)
        elif match := _TREC_DL.fullmatch(lower):
            files.setdefault(f"trec-dl-{match[1]}", path)
        elif _QRELS.fullmatch(lower):
            files.setdefault(bare(lower), path)
    splits = {split: files[split] for split in usual_order(files)} if queries else {}
    return FilesCollection(name, folder, [corpus], queries, splits)


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
    named = [path for path in sorted(folder.iterdir()) if path.name.lower().split(".", 1)[0] in _DOCUMENTS]
    documents = named or of_kinds(others, TREC) or of_kinds(others, TABLES)
    if not documents:
        raise InputError(
            f"{folder}: there are topics and judgments but no documents. Put them into {folder / 'docs'}"
        )
    splits = {split: files[split] for split in usual_order(files)}
    return FilesCollection(name, folder, documents, topics, splits)


def shallow(folder: Path) -> Iterator[Path]:
    """The folder's files, and those in its folders of topics and judgments, without hidden ones."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and any(word in path.name.lower() for word in ("qrel", "topic", "queries")):
            yield from (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))


def of_kinds(files: Sequence[Path], kinds: Sequence[str]) -> list[Path]:
    """The files of these kinds, see `file_kind`."""
    return [path for path in files if file_kind(str(path)) in kinds]
