"""Results in the JSON that the MTEB package writes and reads: one `TaskResult` for each task."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from leanseek.errors import UsageError
from leanseek.eval.beir_sets import mteb_task
from leanseek.eval.records import write_lines
from leanseek.eval.results import Result

MEASURES = {"nDCG": "ndcg", "R": "recall", "P": "precision", "AP": "map", "RR": "mrr"}
"""MTEB's names of the measures that it defines in the same way."""
MAIN = "ndcg_at_10"


@dataclass(frozen=True, slots=True)
class Export:
    """The files written, and the collections that MTEB has no task for."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def export(results: Iterable[Result], out: Path) -> Export:
    """Write OUT/leanseek__SYSTEM/VERSION/TASK.json for each result on a collection that is an MTEB task.

    As `dataset_revision` stands the SHA-256 of the collection's files: that they are those of a revision of
    MTEB's own data set is not known. `mteb_version` is null, since MTEB did not make the numbers.

    Raises UsageError for a result without nDCG@10, which MTEB's main score is, StorageError where a file
    cannot be written.
    """
    grouped: dict[Path, list[Result]] = {}
    left_out = []
    for result in results:
        task = mteb_task(result.collection)
        if task is None:
            left_out.append(result.collection)
            continue
        folder = out / f"leanseek__{result.system}" / result.provenance.leanseek
        grouped.setdefault(folder / f"{task}.json", []).append(result)
    for path, splits in grouped.items():
        write_lines(path, [json.dumps(task_result(path.stem, splits), indent=2)])
    return Export(tuple(grouped), tuple(dict.fromkeys(left_out)))


def task_result(task: str, splits: list[Result]) -> dict[str, object]:
    """The object that MTEB's `TaskResult` reads, from the results of one task's splits."""
    return {
        "dataset_revision": f"sha256:{splits[0].provenance.collection_checksum}",
        "task_name": task,
        "mteb_version": None,
        "scores": {result.split: [scores(result)] for result in splits},
        "evaluation_time": sum(result.efficiency.batch_seconds for result in splits),
        "kg_co2_emissions": None,
        "date": max(datetime.fromisoformat(result.provenance.time).timestamp() for result in splits),
    }


def scores(result: Result) -> dict[str, object]:
    """One subset's scores under MTEB's names; measures that MTEB has no equal of are left out."""
    found: dict[str, object] = {}
    for measure in result.measures:
        match = re.fullmatch(r"(\w+)@(\d+)", measure)
        if match and match[1] in MEASURES:
            found[f"{MEASURES[match[1]]}_at_{match[2]}"] = result.means[measure]
    if MAIN not in found:
        raise UsageError(
            f"the result of '{result.system}' on '{result.collection}' has no nDCG@10, which is MTEB's main "
            "score. Evaluate again with: --measures 'nDCG@10 …' --force"
        )
    return {**found, "main_score": found[MAIN], "hf_subset": "default", "languages": ["eng-Latn"]}
