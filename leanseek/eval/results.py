"""The results of evaluations: their records, their folders, and how they are written and read.

OUT/<collection>/<split>/
  queries.tsv             the judged queries: id and text
  qrels.trec              the judgments, as TREC has them
  <system>/
    run.trec              the rankings
    per_query.jsonl       {"query": id, "scores": {measure: value}} a line, in the queries' order
    result.json           everything else; written last, so a folder that has it is complete
OUT/indexes/<collection>/<settings>/             the index, and beside it
OUT/indexes/<collection>/<settings>.build.json   what building it cost
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leanseek.errors import InputError, StorageError
from leanseek.eval.base import Rules
from leanseek.indexing.settings import SparseSettings
from leanseek.reading.judgments import qrels_lines
from leanseek.records import read_record, read_text, write_lines, write_record
from leanseek.types import Qrels, Query

RESULT = "result.json"
RUN = "run.trec"
PER_QUERY = "per_query.jsonl"
QUERIES = "queries.tsv"
QRELS = "qrels.trec"
INDEXES = "indexes"
MAKE_ONE = "Make one with: leanseek eval collection PATH_OR_NAME"


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine on which times were taken."""

    cpu: str
    cores: int
    system: str


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """The cost of building the index. `encoded` passages were encoded, the others' vectors came from the cache, so
    the seconds are without these; `peak_memory_bytes` is the high-water mark of the building process, None where the
    system does not report it."""

    seconds: float
    documents: int
    passages: int
    documents_per_second: float
    encoded: int
    bytes_on_disk: int
    peak_memory_bytes: int | None
    machine: Machine


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for a single query: percentiles over `queries` of them, one at a time after a warm-up."""

    queries: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The cost of the numbers. `index` is None where the index's build was not recorded; `latency` is None
    where stored candidates were re-ranked, which no single search does. `queries_per_second` is that of the
    batch that made the run; `peak_memory_bytes` as in `IndexBuild`, of the process that searched."""

    index: IndexBuild | None
    latency: Latency | None
    batch_seconds: float
    queries_per_second: float
    peak_memory_bytes: int | None
    machine: Machine


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """The re-rankers that scored the best documents, one after the other, and to what depth; `budget` in seconds a
    query, `long` how passages were read that did not fit. None: no limit, the re-ranker's default."""

    names: tuple[str, ...]
    depths: tuple[int | str, ...]
    budget: float | None
    long: str | None


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """How the rankings were made. `sparse`, `dense`, `encoder` and `fusion` are None where the mode does not use
    them; `candidates` is the stored run, as it was named, of which the best `candidates_depth` documents
    of each query were re-ranked; `rerank` the second stage, None where there was none; `learned` the
    learned sparse encoder."""

    mode: str
    sparse: SparseSettings | None
    dense: str | None
    encoder: str | None
    fusion: str | None
    dense_weight: float | None
    depth: int | None
    chunk_words: int | None
    chunk_overlap: int
    candidates: str | None
    candidates_depth: int | None
    rerank: RerankSettings | None = None
    learned: str | None = None
    learned_terms: int | None = None
    learned_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of the numbers. `inputs` is a digest of everything that they depend on; fingerprints
    and checksums are hexadecimal; `commit` is that of leanseek's source where it runs from a clone; `time` is
    UTC in ISO 8601."""

    command: tuple[str, ...]
    leanseek: str
    commit: str | None
    python: str
    packages: Mapping[str, str]
    model_fingerprint: str | None
    index_fingerprint: str
    collection_checksum: str
    candidates_checksum: str | None
    run_checksum: str
    inputs: str
    seeds: Mapping[str, int]
    time: str


@dataclass(frozen=True, slots=True)
class Result:
    """The measures of one system on one split of a collection, with their rules, costs and provenance."""

    collection: str
    split: str
    system: str
    settings: SystemSettings
    k: int
    documents: int
    queries: int
    measures: tuple[str, ...]
    means: Mapping[str, float]
    rules: Rules
    warnings: tuple[str, ...]
    efficiency: Efficiency
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result and the folder that holds it."""

    folder: Path
    result: Result

    @property
    def run_path(self) -> Path:
        """The TREC run."""
        return self.folder / RUN

    @property
    def qrels_path(self) -> Path:
        """The judgments that the run was scored by, in TREC's four columns."""
        return self.folder.parent / QRELS

    def queries(self) -> dict[str, str]:
        """Query id → text, of the judged queries."""
        path = self.folder.parent / QUERIES
        lines = (line.partition("\t") for line in read_text(path).split("\n") if line)
        return {query: text for query, _, text in lines}

    def per_query(self) -> dict[str, dict[str, float]]:
        """Query id → measure → value. Raises InputError where the file is damaged."""
        path = self.folder / PER_QUERY
        found: dict[str, dict[str, float]] = {}
        for number, line in enumerate(read_text(path).splitlines(), 1):
            try:
                record = json.loads(line)
                found[record["query"]] = {name: float(value) for name, value in record["scores"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path}:{number}: the scores of this query cannot be read ({error})"
                ) from error
        return found


NESTED: Mapping[str, type] = {
    "machine": Machine,
    "index": IndexBuild,
    "latency": Latency,
    "efficiency": Efficiency,
    "settings": SystemSettings,
    "sparse": SparseSettings,
    "rerank": RerankSettings,
    "provenance": Provenance,
    "rules": Rules,
}


def result_folder(out: Path, collection: str, split: str, system: str) -> Path:
    """The folder for the result of a system. A slash in the collection's name makes a folder in a folder."""
    return out.joinpath(*_parts(collection), safe_name(split), safe_name(system))


def index_folder(out: Path, collection: str, settings: str) -> Path:
    """The folder for the index of a collection; `settings` is a digest of the index's settings."""
    return out.joinpath(INDEXES, *_parts(collection), settings)


def _parts(collection: str) -> list[str]:
    return [safe_name(part) for part in collection.split("/") if part]


def safe_name(name: str) -> str:
    """`name` as a file name of any system: letters, digits and `._+=-`, others become `-`."""
    safe = re.sub(r"[^\w.+=-]+", "-", name).strip("-.")
    return safe or "-"


def write_result(folder: Path, result: Result) -> None:
    """Write result.json, which makes the result complete. Raises StorageError."""
    write_record(folder / RESULT, result)


def write_evidence(folder: Path, queries: Iterable[Query], qrels: Qrels) -> None:
    """Write the queries and judgments that the results of a split share. Raises StorageError."""
    split = folder.parent
    write_lines(split / QUERIES, (f"{query.id}\t{' '.join(query.text.split())}" for query in queries))
    write_lines(split / QRELS, qrels_lines(qrels))


def write_per_query(folder: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Write the scores of each query. Raises StorageError."""
    records = ({"query": query, "scores": dict(row)} for query, row in scores.items())
    write_lines(folder / PER_QUERY, (json.dumps(record, ensure_ascii=False) for record in records))


def begin_result(folder: Path) -> None:
    """Make the folder where it is missing, and mark what it holds as incomplete before any of it is replaced.

    Raises StorageError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: no result can be written here: {error.strerror or error}") from error


def read_result(folder: Path) -> StoredResult:
    """The result in one folder. Raises InputError where there is none, or it cannot be understood."""
    return StoredResult(folder, read_record(folder / RESULT, Result, NESTED))


def read_results(out: str | os.PathLike[str]) -> list[StoredResult]:
    """Every complete result below `out`, in the order of collection, split and system.

    Raises InputError where there is none, or one cannot be understood.
    """
    root = Path(out)
    if not root.is_dir():
        raise InputError(f"'{root}' is not a folder. {MAKE_ONE} --out {root}")
    paths = sorted(path for path in root.rglob(RESULT) if INDEXES not in path.relative_to(root).parts[:1])
    if not paths:
        raise InputError(f"'{root}' holds no result of an evaluation. {MAKE_ONE} --out {root}")
    found = [read_result(path.parent) for path in paths]
    return sorted(found, key=lambda one: (one.result.collection, one.result.split, one.result.system))


def write_build(index: Path, build: IndexBuild) -> None:
    """Record beside the index what building it cost. Raises StorageError."""
    write_record(build_path(index), build)


def read_build(index: Path) -> IndexBuild | None:
    """The recorded cost of building the index; None where there is none."""
    path = build_path(index)
    return read_record(path, IndexBuild, NESTED) if path.is_file() else None


def build_path(index: Path) -> Path:
    """The file beside an index that records what building it cost."""
    return index.with_name(f"{index.name}.build.json")
