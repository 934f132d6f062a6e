"""BEIR's layout: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each packed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from leanseek.eval.collections.files import FilesCollection
from leanseek.eval.collections.splits import usual_order

NEEDS: Final = "BEIR: corpus.jsonl, and to measure on it queries.jsonl and qrels/<split>.tsv"
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
