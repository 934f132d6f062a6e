"""Judged queries made from documents alone: written, checked by a search, and put into a folder to train from."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from leanseek.decode import load_decoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.systems import System
from leanseek.files import draft_folder
from leanseek.indexing.index import Index
from leanseek.indexing.snapshot import Snapshot
from leanseek.records import write_lines
from leanseek.searcher.searcher import Searcher
from leanseek.train.query_writers import DecoderWriter, QueryWriter, TextWriter, WrittenQuery, digest
from leanseek.types import Document, Progress

PROVENANCE: Final = "generated.json"
"""The file of a folder of generated queries that says what they were made from and how."""

FOUND_WITHIN: Final = 3
"""A query that a document answers perfectly must find it among so many."""
NOT_FOUND_WITHIN: Final = 50
"""A query that a document does not answer at all must not find it among so many."""
BLOCK: Final = 1_000


@dataclass(frozen=True, slots=True)
class QueryRecipe:
    """How queries are generated.

    `generator` is a decoder as `load_decoder` takes it, or `none`: the documents' own titles, questions and first
    sentences. `per_document` queries are asked of each document, of the grades 2, 1, 0 in turn, and of at most `limit`
    documents, drawn by the `seed` (None: of all). Raises UsageError for what is out of range.
    """

    generator: str = "none"
    per_document: int = 3
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_document < 1:
            raise UsageError(f"{self.per_document} queries a document are none; give 1 or more (3 is usual)")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"the limit is {self.limit} documents; give 1 or more, or none for all")


@dataclass(frozen=True, slots=True)
class GeneratedQueries:
    """What was generated: `queries` for `documents` of the `corpus`, with so many judgments of each grade.

    `refused` are the judgments that the search did not confirm, `silent` the documents that no query was found for.
    """

    corpus: int
    documents: int
    queries: int
    perfect: int
    partial: int
    not_relevant: int
    refused: int
    silent: int


def generate_queries(
    source: Path | Iterable[Document],
    out: Path,
    recipe: QueryRecipe | None = None,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> GeneratedQueries:
    """Write queries for the documents of an index, or for those given, into the BEIR folder `out`.

    The folder has all documents, the queries, and their grades as the split train: `train_cross_encoder` and
    `train_encoder` take it. A judgment is kept where a hybrid search of the documents confirms it: a document that
    answers perfectly is among the first 3, one that does not answer is not among the first 50. What has been written
    is kept beside `out` until it is done, so that the same call continues after an interruption.

    Raises UsageError where `out` holds something else; InputError where no query was found; what the search and the
    decoder raise.
    """
    recipe = recipe or QueryRecipe()
    check_folder(out)
    work = out.with_name(out.name + ".index")
    log = WrittenLog(out.with_name(out.name + ".written.jsonl"))
    if isinstance(source, Path):
        index = source
    else:
        index = work
        plan = System().plan(device)
        Index.make(work, source, plan, progress=progress, background=False)
    snapshot = Snapshot.open(index)
    try:
        ids = sorted(snapshot.ids())
        drawn = ids
        if recipe.limit is not None and recipe.limit < len(ids):
            drawn = sorted(random.Random(f"documents {recipe.seed}").sample(ids, recipe.limit))
        writer = load_writer(recipe, snapshot, device, progress)
        log.open(digest(writer.fingerprint, ids, drawn))
        written = list(write_all(writer, snapshot, drawn, log, progress))
        judged = merged(written)
        with Searcher.open(index, relevance=None, device=device) as searcher:
            confirmed = confirm(judged, searcher, progress)
        if not confirmed:
            raise InputError(
                f"no query was found for the {len(drawn):,} documents"
                + (", or none that finds its document" if judged else "")
                + "; give more documents, or --generator a decoder"
            )
        grades = Counter(grade for judgments in confirmed.values() for grade in judgments.values())
        report = GeneratedQueries(
            corpus=len(ids),
            documents=len(drawn),
            queries=len(confirmed),
            perfect=grades[2],
            partial=grades[1],
            not_relevant=grades[0],
            refused=sum(map(len, judged.values())) - grades.total(),
            silent=len(set(drawn) - {one.document for one in written}),
        )
        with draft_folder(out) as draft:
            write_folder(draft, snapshot, ids, confirmed)
            made = {**asdict(report), "recipe": asdict(recipe), "writer": writer.fingerprint}
            write_lines(draft / PROVENANCE, [json.dumps(made, indent=1)])
    finally:
        snapshot.close()
    log.remove()
    shutil.rmtree(work, ignore_errors=True)
    return report


def check_folder(out: Path) -> None:
    """Raise UsageError where the folder `out` holds something that was not generated here."""
    if out.exists() and not (out / PROVENANCE).is_file():
        raise UsageError(f"'{out}' exists and holds no generated queries; give another folder with --out")


def load_writer(
    recipe: QueryRecipe, snapshot: Snapshot, device: str | None, progress: Progress | None
) -> QueryWriter:
    """The writer that a recipe names. Raises what `load_decoder` and `TextWriter` raise."""
    if recipe.generator == "none":
        return TextWriter(snapshot, recipe.per_document, recipe.seed)
    decoder = load_decoder(recipe.generator, device, precision="fast", progress=progress)
    return DecoderWriter(decoder, recipe.per_document)


def write_all(
    writer: QueryWriter,
    snapshot: Snapshot,
    drawn: Sequence[str],
    log: WrittenLog,
    progress: Progress | None,
) -> Iterator[WrittenQuery]:
    """The queries of the documents drawn, block by block, those of an interrupted call from its log."""
    for start in range(0, len(drawn), writer.block):
        if progress is not None:
            progress("writing queries", start, len(drawn))
        number = start // writer.block
        if number == len(log.blocks):
            log.append(writer.write(snapshot.whole(drawn[start : start + writer.block])))
        yield from log.blocks[number]
    if progress is not None:
        progress("writing queries", len(drawn), len(drawn))


class WrittenLog:
    """What was written so far, a line for each block of documents, in a file that an interruption leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.blocks: list[list[WrittenQuery]] = []

    def open(self, key: str) -> None:
        """Read the blocks that were written under the `key`; a file of another key is begun anew."""
        lines = self._path.read_text("utf-8").split("\n")[:-1] if self._path.is_file() else []
        if lines[:1] != [key]:
            write_lines(self._path, [key])
            return
        self.blocks = [[WrittenQuery(*one) for one in json.loads(line)] for line in lines[1:]]
        # A line that an interruption has cut is written again.
        write_lines(self._path, lines)

    def append(self, written: list[WrittenQuery]) -> None:
        """Add the queries of a block."""
        self.blocks.append(written)
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(written) + "\n")

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def merged(written: Iterable[WrittenQuery]) -> dict[str, dict[str, int]]:
    """The grades of documents for each query; queries count as one but for case, and of two grades the better holds."""
    wordings: dict[str, str] = {}
    judged: dict[str, dict[str, int]] = {}
    for query, document, grade in written:
        grades = judged.setdefault(wordings.setdefault(query.casefold(), query), {})
        grades[document] = max(grade, grades.get(document, grade))
    return judged


def confirm(
    judged: Mapping[str, Mapping[str, int]], searcher: Searcher, progress: Progress | None = None
) -> dict[str, dict[str, int]]:
    """The judgments that a search agrees with. A query that misses a document it is to find goes as a whole."""
    queries = list(judged)
    rankings = searcher.rank_batch(queries, NOT_FOUND_WITHIN, progress=progress)
    confirmed = {}
    for query, ranking in zip(queries, rankings, strict=True):
        places = {ranked.id: place for place, ranked in enumerate(ranking, 1)}
        grades = judged[query]
        if any(
            grade == 2 and places.get(name, FOUND_WITHIN + 1) > FOUND_WITHIN for name, grade in grades.items()
        ):
            continue
        kept = {name: grade for name, grade in grades.items() if grade > 0 or name not in places}
        if kept:
            confirmed[query] = kept
    return confirmed


def write_folder(
    folder: Path, snapshot: Snapshot, ids: Sequence[str], judged: Mapping[str, Mapping[str, int]]
) -> None:
    """Write a BEIR folder: the documents, the queries as g1, g2, …, and their grades as the split train."""
    names = {query: f"g{number}" for number, query in enumerate(judged, 1)}

    def documents() -> Iterator[str]:
        left = iter(ids)
        while block := list(islice(left, BLOCK)):
            for one in snapshot.whole(block):
                yield json.dumps({"_id": one.id, "title": one.title, "text": one.text})

    write_lines(folder / "corpus.jsonl", documents())
    write_lines(
        folder / "queries.jsonl",
        (json.dumps({"_id": name, "text": query}) for query, name in names.items()),
    )
    rows = (
        f"{names[query]}\t{document}\t{grade}"
        for query, grades in judged.items()
        for document, grade in grades.items()
    )
    write_lines(folder / "qrels" / "train.tsv", ("query-id\tcorpus-id\tscore", *rows))
