"""MS MARCO's passage collection and what TREC Deep Learning adds to it, under the names they are published by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from leanseek.eval.collections.beir import packed
from leanseek.eval.collections.files import FilesCollection, bare
from leanseek.eval.collections.splits import usual_order

NEEDS: Final = (
    "MS MARCO: collection.tsv, and to measure on it queries.<split>.tsv and qrels.<split>.tsv, or TREC-DL's "
    "msmarco-test<year>-queries.tsv and <year>qrels-pass.txt"
)
_QUERIES: Final = re.compile(r"(queries\..+|msmarco-test20\d\d-queries|20\d\d[-_.]topics)\.tsv(\.gz|\.bz2)?")
_QRELS: Final = re.compile(r"qrels\..+\.(tsv|txt)(\.gz|\.bz2)?")
_TREC_DL: Final = re.compile(r"(20\d\d)[-_.]?qrels([-_.]pass(age)?)?(\.txt|\.tsv)?(\.gz|\.bz2)?")


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
