"""Evaluating a system on a collection: index where needed, answer every query of a split, score, store the result."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from leanseek.errors import InputError, UsageError
from leanseek.eval.answers import SHOWN, Candidates, answer, read_candidates, shown_candidates
from leanseek.eval.base import Collection
from leanseek.eval.collections.collection_files import odd_judgments
from leanseek.eval.collections.qilin import QilinCollection
from leanseek.eval.index_build import Prepared, Stored, check_holds, check_stored, collection_index
from leanseek.eval.measures import DEFAULT_MEASURES, score
from leanseek.eval.provenance import (
    HITS,
    SAMPLE_SEED,
    digest,
    file_checksum,
    installed,
    peak_memory,
    source_commit,
    this_machine,
    time_queries,
    utc_now,
)
from leanseek.eval.providers import parse_measures
from leanseek.eval.results import (
    PER_QUERY,
    RESULT,
    RUN,
    Efficiency,
    Provenance,
    Result,
    StoredResult,
    begin_result,
    read_result,
    result_folder,
    write_evidence,
    write_per_query,
    write_result,
)
from leanseek.eval.systems import System
from leanseek.indexing.creation import Plan
from leanseek.reading.runs import write_run
from leanseek.searcher.searcher import Searcher
from leanseek.searcher.second_stage import SecondStage
from leanseek.types import Progress, Qrels

K = 1000
TITLES = "title and text joined by one space, on both sides of the search"


class Outcome(NamedTuple):
    """A result, and whether it was made now (False: it existed already)."""

    stored: StoredResult
    made: bool


def evaluate(
    collection: Collection,
    system: System = System(),  # noqa: B008 - frozen
    *,
    out: Path,
    splits: Sequence[str] = ("test",),
    k: int = K,
    measures: Sequence[str] = DEFAULT_MEASURES,
    index: Path | None = None,
    stored: Stored | None = None,
    device: str | None = None,
    cache: bool = True,
    force: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Outcome]:
    """Evaluate a system on splits of a collection: one result for each split, stored below `out` (see `results`).

    >>> from pathlib import Path
    >>> from leanseek import evaluate
    >>> from leanseek.eval import System, open_collection
    >>> [outcome] = evaluate(open_collection("scifact"), System(mode="sparse"), out=Path("results"))
    >>> outcome.stored.result.means["nDCG@10"]
    0.685...

    `k` documents are ranked for each query and scored by `measures`, named as in ir_measures. The index is built below
    `out`, or in the folder `index`, and reused where it was made from the same collection with the same settings;
    `stored` is one that is there, and searched as it is.
    A complete result of the same inputs is returned as it is, unless `force`; one of other inputs is replaced only
    with `force`. `device` is where models run. `cache=False` does not use the vector cache. `command` is recorded in
    the result. `progress` is called with a stage, how much of it is done, and of how much.

    Raises UsageError for a split or a measure that does not exist, InputError for a collection without judgments
    or where a result of other inputs exists, and what indexing and searching raise.
    """
    if k < 1:
        raise UsageError(f"k is {k}; it must be a whole number, at least 1")
    if system.depth is not None and system.depth < k:
        raise UsageError(f"depth is {system.depth}; it must be at least k, which is {k}")
    parse_measures(measures)  # a misspelt measure is reported before the time that indexing takes
    if not collection.splits:
        raise InputError(
            f"the collection '{collection.name}' has no judgments, so nothing can be measured on it. "
            "Search it with: leanseek index, leanseek run"
        )
    judgments = {split: collection.qrels(split) for split in dict.fromkeys(splits)}
    fingerprint, learned = system.fingerprint(), system.learned_fingerprint()
    second = system.second_stage(device, progress)
    candidates: dict[str, Candidates] = {}
    if system.candidates is not None:
        candidates = candidates_of(collection, system.candidates, system.candidates_depth, list(judgments))
        for split, qrels in judgments.items():
            if candidates[split].by_query.keys().isdisjoint(qrels):
                raise InputError(
                    f"the run of candidates has none of the {len(qrels):,} judged queries of '{collection.name}' "
                    f"({split}): it has, for one, query {next(iter(candidates[split].by_query))!r}, the judgments have "
                    f"{next(iter(qrels))!r}. Give a run of these queries with --candidates"
                )
    jobs = {
        split: Job(
            collection,
            system,
            fingerprint,
            split,
            k,
            tuple(measures),
            candidates.get(split),
            out,
            second,
            learned,
            stored,
        )
        for split in judgments
    }
    done = {split: job.existing() for split, job in jobs.items() if not force}
    outcomes = {split: Outcome(result, False) for split, result in done.items() if result is not None}
    missing = [job for split, job in jobs.items() if split not in outcomes]
    if missing:
        plan = system.plan(device)
        options: dict[str, Any] = {
            "encoder": plan.encoder,
            "learned": plan.learned,
            "fusion": system.load_fusion() or "convex",
            "mode": system.mode,
            "device": device,
            "reranker": second,
        }
        prepared: Prepared | Stored
        if stored is not None:
            check_stored(stored, plan.settings)
            prepared, searching = stored, stored.open(**options)
        else:
            prepared = collection_index(collection, plan, out, index, cache=cache, progress=progress)
            searching = Searcher.open(prepared.folder, **options)
        with searching as searcher:
            if stored is not None:
                check_holds(stored, searcher, collection)
            for job in missing:
                result = job.run(searcher, plan, prepared, judgments[job.split], tuple(command), progress)
                outcomes[job.split] = Outcome(result, True)
    return [outcomes[split] for split in judgments]


def candidates_of(
    collection: Collection, run: Path, depth: int, splits: Sequence[str]
) -> dict[str, Candidates]:
    """The candidates of each split: those of a stored run, or what people were shown. Raises as `read_run` does."""
    if str(run) == SHOWN and isinstance(collection, QilinCollection):
        return {split: shown_candidates(collection, split, depth) for split in splits}
    return dict.fromkeys(splits, read_candidates(run, depth))


class Job(NamedTuple):
    """One result to be made; `fingerprint` is the encoder's, `learned` that of the learned sparse encoder."""

    collection: Collection
    system: System
    fingerprint: str | None
    split: str
    k: int
    measures: tuple[str, ...]
    candidates: Candidates | None
    out: Path
    second: SecondStage | None
    learned: str | None = None
    stored: Stored | None = None

    @property
    def folder(self) -> Path:
        """Where the result belongs."""
        return result_folder(self.out, self.collection.name, self.split, self.system.label)

    @property
    def inputs(self) -> str:
        """A digest of everything that the run and its scores depend on."""
        from leanseek import __version__

        record = asdict(self.system.record(self.fingerprint, self.learned)) | {"candidates": None}
        # Results from before re-rankers existed keep their digest.
        reranked = {"rerank": self.second.cascade.fingerprint} if self.second is not None else {}
        if self.second is None:
            del record["rerank"]
        if self.learned is None:
            record = {name: value for name, value in record.items() if not name.startswith("learned")}
        index = {"index": self.stored.fingerprint} if self.stored is not None else {}
        return digest(
            reranked
            | index
            | {
                "system": record,
                "collection": [self.collection.name, self.collection.checksum, self.split],
                "candidates": self.candidates.checksum if self.candidates is not None else None,
                "k": self.k,
                "measures": self.measures,
                "version": __version__,
            }
        )

    def existing(self) -> StoredResult | None:
        """The complete result of the same inputs; None where there is none.

        Raises InputError for a result of other inputs.
        """
        if not (self.folder / RESULT).exists():
            return None
        stored = read_result(self.folder)
        if stored.result.provenance.inputs == self.inputs and all(
            path.is_file() for path in (stored.run_path, stored.qrels_path, self.folder / PER_QUERY)
        ):
            return stored
        raise InputError(
            f"'{self.folder}' holds a result of other inputs, made {stored.result.provenance.time} (the "
            "collection, the settings, k, the measures or leanseek's version differ). Replace it with --force, "
            "or give this system another name with --name."
        )

    def run(
        self,
        searcher: Searcher,
        plan: Plan,
        prepared: Prepared | Stored,
        qrels: Qrels,
        command: tuple[str, ...],
        progress: Progress | None,
    ) -> StoredResult:
        """Answer the queries, score the answers and write everything; result.json, which completes it, comes last."""
        queries = self.collection.queries(self.split)
        before = searcher.truncation
        answers = answer(
            searcher,
            queries,
            self.k,
            depth=self.system.depth,
            without_self=self.collection.self_hits,
            candidates=self.candidates,
            progress=progress,
        )
        notes, truncation = searcher.notes, searcher.truncation.since(before)
        # No single search re-ranks stored candidates, so it is not timed.
        latency = (
            time_queries(lambda text: searcher.search(text, HITS, depth=self.system.depth), queries, progress)
            if self.candidates is None
            else None
        )
        rankings = {
            query.id: {one.id: one.score for one in ranked}
            for query, ranked in zip(queries, answers.ranked, strict=True)
            if ranked
        }
        scores = score(rankings, qrels, self.measures, self_hits=self.collection.self_hits)
        folder = self.folder
        begin_result(folder)
        write_evidence(folder, queries, qrels)
        write_run(folder / RUN, zip(queries, answers.ranked, strict=True), tag=self.system.label)
        write_per_query(folder, scores.per_query)
        odd = odd_judgments(f"'{self.collection.name}' ({self.split})", qrels, queries, searcher.missing)
        lost = (truncation.query_sentence(),) if truncation.truncated else ()
        encoder, learned = plan.settings.encoder, plan.settings.learned
        result = Result(
            collection=self.collection.name,
            split=self.split,
            system=self.system.label,
            settings=self.system.record(
                encoder.name if encoder is not None else None, learned.name if learned is not None else None
            ),
            k=self.k,
            documents=prepared.documents,
            queries=len(scores.per_query),
            measures=scores.measures,
            means=scores.means,
            rules=replace(scores.rules, titles=TITLES),
            warnings=(*odd, *scores.warnings, *answers.warnings, *lost, *notes),
            efficiency=Efficiency(
                index=prepared.build,
                latency=latency,
                batch_seconds=answers.seconds,
                queries_per_second=len(queries) / answers.seconds,
                peak_memory_bytes=peak_memory(),
                machine=this_machine(),
            ),
            provenance=self.provenance(prepared, command),
        )
        write_result(folder, result)
        return read_result(folder)

    def provenance(self, prepared: Prepared | Stored, command: tuple[str, ...]) -> Provenance:
        """The provenance of the numbers, once the run is written."""
        from leanseek import __version__

        return Provenance(
            command=command,
            leanseek=__version__,
            commit=source_commit(),
            python=platform.python_version(),
            packages=installed(),
            model_fingerprint=self.fingerprint,
            index_fingerprint=prepared.fingerprint,
            collection_checksum=self.collection.checksum,
            candidates_checksum=self.candidates.checksum if self.candidates is not None else None,
            run_checksum=file_checksum(self.folder / RUN),
            inputs=self.inputs,
            seeds={"latency sample": SAMPLE_SEED},
            time=utc_now(),
        )
