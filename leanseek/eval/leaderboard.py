"""The BEIR table of results, a row a collection and a column a system, and their export to MTEB's leaderboard."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean

from leanseek.errors import InputError, UsageError
from leanseek.eval.collections.official import BEIR_SETS, CQADUPSTACK, FORUM_NAMES, MTEB_TASKS, beir_name
from leanseek.eval.results import Result
from leanseek.records import write_lines

SPLIT = "test"
MISSING = "—"
MTEB_MEASURES = {"nDCG": "ndcg", "R": "recall", "P": "precision", "AP": "map", "RR": "mrr"}
"""MTEB's names of the measures that it defines in the same way."""
MTEB_MAIN = "ndcg_at_10"


@dataclass(frozen=True, slots=True)
class Cell:
    """A system's measure on a collection; of a set with parts, `present` of `parts` have been evaluated."""

    value: float
    present: int = 1
    parts: int = 1

    @property
    def whole(self) -> bool:
        """Whether no part is missing; only then it is part of a mean over sets."""
        return self.present == self.parts


@dataclass(frozen=True, slots=True)
class Row:
    """A collection and the cells of those systems, by name, that have been evaluated on it."""

    title: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `present` of `sets` sets."""

    value: float
    present: int
    sets: int

    @property
    def label(self) -> str:
        """E.g. `mean of 3 of 18`."""
        return f"mean of {self.present} of {self.sets}"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The table of one measure.

    `rows` are the BEIR sets, in their usual order, missing ones with no cells; `others` are the collections
    that BEIR does not have, which are in no mean. `means` are each system's over the sets it has; `common` is
    over the `shared` sets that all systems have, since means over different sets cannot be compared.
    """

    measure: str
    systems: tuple[str, ...]
    rows: tuple[Row, ...]
    others: tuple[Row, ...]
    means: Mapping[str, Mean]
    shared: tuple[str, ...]
    common: Mapping[str, Mean]


def leaderboard(results: Iterable[Result], measure: str = "nDCG@10") -> Leaderboard:
    """The BEIR table of the results' test splits; other collections and splits are in `others`.

    CQADupStack is the mean of its twelve sub-forums, and is part of means only where all have been evaluated.

    Raises InputError where there is no result, UsageError where none has the measure.
    """
    results = list(results)
    if not results:
        raise InputError("there are no results to make a table of")
    measured = [result for result in results if measure in result.means]
    if not measured:
        known = sorted({name for result in results for name in result.means})
        raise UsageError(f"no result has the measure '{measure}'. They have: {', '.join(known)}")
    values: dict[str, dict[str, float]] = {}
    others: dict[str, dict[str, Cell]] = {}
    for result in measured:
        name = beir_name(result.collection)
        if name in MTEB_TASKS and result.split == SPLIT:
            values.setdefault(name, {})[result.system] = result.means[measure]
        else:
            cells = others.setdefault(f"{result.collection} ({result.split})", {})
            cells[result.system] = Cell(result.means[measure])
    systems = tuple(dict.fromkeys(result.system for result in measured))
    rows = []
    for found in BEIR_SETS:
        if found.name == CQADUPSTACK and not values.get(CQADUPSTACK):
            cells = forums(values, systems)
        else:
            cells = {system: Cell(value) for system, value in values.get(found.name, {}).items()}
        rows.append(Row(found.title, cells))
    whole = [{system for system, cell in row.cells.items() if cell.whole} for row in rows]
    common = [row for row, there in zip(rows, whole, strict=True) if there.issuperset(systems)]
    return Leaderboard(
        measure=measure,
        systems=systems,
        rows=tuple(rows),
        others=tuple(Row(title, cells) for title, cells in sorted(others.items())),
        means={system: mean for system in systems if (mean := mean_of(rows, system)) is not None},
        shared=tuple(row.title for row in common),
        common={
            system: Mean(mean.value, mean.present, len(rows))
            for system in systems
            if (mean := mean_of(common, system)) is not None
        },
    )


def forums(values: Mapping[str, Mapping[str, float]], systems: Sequence[str]) -> dict[str, Cell]:
    """CQADupStack's cells: the means over those of its sub-forums that have been evaluated."""
    cells = {}
    for system in systems:
        found = [values.get(f"{CQADUPSTACK}/{forum}", {}).get(system) for forum in FORUM_NAMES]
        there = [value for value in found if value is not None]
        if there:
            cells[system] = Cell(fmean(there), len(there), len(FORUM_NAMES))
    return cells


def mean_of(rows: Sequence[Row], system: str) -> Mean | None:
    """A system's mean over the rows it has whole; None where it has none."""
    there = [row.cells[system].value for row in rows if system in row.cells and row.cells[system].whole]
    return Mean(fmean(there), len(there), len(rows)) if there else None


def table(board: Leaderboard) -> list[list[str]]:
    """The table as text, the head first; missing values are "—"."""

    def line(title: str, row: Row) -> list[str]:
        return [title, *(cell_text(row.cells.get(system)) for system in board.systems)]

    return [
        [board.measure, *board.systems],
        *(line(row.title, row) for row in board.rows),
        *mean_lines(board),
        *(line(f"{row.title}, not in BEIR", row) for row in board.others),
    ]


def mean_lines(board: Leaderboard) -> list[list[str]]:
    """The lines of means, labelled by what they are over."""
    means = [board.means.get(system) for system in board.systems]
    if len({mean.present if mean is not None else 0 for mean in means}) == 1:
        label = means[0].label if means[0] is not None else f"mean of 0 of {len(board.rows)}"
        return [[label, *(f"{mean.value:.4f}" if mean is not None else MISSING for mean in means)]]
    texts = [f"{mean.value:.4f} ({mean.present})" if mean is not None else MISSING for mean in means]
    lines = [[f"mean of those there, of {len(board.rows)}", *texts]]
    if board.common:
        shared = [board.common[system] for system in board.systems]
        lines.append([f"{shared[0].label} that all have", *(f"{mean.value:.4f}" for mean in shared)])
    return lines


def cell_text(cell: Cell | None) -> str:
    """A value with four decimals, and the share of its parts where some are missing; "—" for no value."""
    if cell is None:
        return MISSING
    return f"{cell.value:.4f}" if cell.whole else f"{cell.value:.4f} ({cell.present}/{cell.parts})"


def as_markdown(board: Leaderboard) -> str:
    """The table for a README."""
    head, *lines = ([cell.replace("|", "\\|") for cell in line] for line in table(board))
    rule = ["---", *("---:" for _ in board.systems)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def as_csv(board: Leaderboard) -> str:
    """The table for a spreadsheet; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in table(board):
        writer.writerow(["" if cell == MISSING else cell for cell in line])
    return text.getvalue()


@dataclass(frozen=True, slots=True)
class Export:
    """The files written, and the collections that MTEB has no task for."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def export(results: Iterable[Result], out: Path) -> Export:
    """Write OUT/leanseek__SYSTEM/VERSION/TASK.json for each result on a collection that is an MTEB task.

    `dataset_revision` is the SHA-256 of the collection's files, since it is not known whether they are those of a
    revision of MTEB's own data set. `mteb_version` is null, since MTEB did not make the numbers.

    Raises UsageError for a result without nDCG@10, which MTEB's main score is, StorageError where a file
    cannot be written.
    """
    grouped: dict[Path, list[Result]] = {}
    left_out = []
    for result in results:
        task = MTEB_TASKS.get(beir_name(result.collection))
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
        if match and match[1] in MTEB_MEASURES:
            found[f"{MTEB_MEASURES[match[1]]}_at_{match[2]}"] = result.means[measure]
    if MTEB_MAIN not in found:
        raise UsageError(
            f"the result of '{result.system}' on '{result.collection}' has no nDCG@10, which is MTEB's main "
            "score. Evaluate again with: --measures 'nDCG@10 …' --force"
        )
    return {**found, "main_score": found[MTEB_MAIN], "hf_subset": "default", "languages": ["eng-Latn"]}
