"""Qilin: notes, searches of people in sessions with what they clicked, and answers with the notes that they cite.

Chen et al., "Qilin: A multimodal information retrieval dataset with APP-level user sessions", SIGIR 2025. The folder is
as it is published: Parquet files in `notes/`, `search_train/`, `search_test/` and `dqa/`, and beside them the judgments
`search.train.qrels.csv` and `search.test.qrels.csv`. The notes are needed; the others as far as they are there.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from leanseek.errors import InputError
from leanseek.eval.answer_report import AnswerRecord
from leanseek.eval.collections.collection_files import one_of, usual_order
from leanseek.files import checksum
from leanseek.reading import read
from leanseek.reading.streams import Place
from leanseek.reading.tables import parquet_rows
from leanseek.types import Document, Qrels, Query, content

NEEDS: Final = "Qilin: notes/*.parquet, and search_test/*.parquet or search_train/*.parquet to measure on it"
SEARCHES: Final = {"test": "search_test", "train": "search_train"}
BEHAVIOUR: Final = "-behaviour"
"""Ends the name of the split whose grades are what people did."""
DWELL: Final = 10.0
"""Seconds on a clicked note from which it counts as read."""
ENGAGED: Final = ("like", "collect", "comment", "share")
"""What also shows that a clicked note was liked."""


class Shown(NamedTuple):
    """A note that a search has shown, at a position from the first, and its grade by what was done.

    0: it was shown; 1: it was clicked; 2: it was clicked, and read for 10 seconds, liked, collected, commented on or
    shared.
    """

    note: str
    position: int
    grade: int


@dataclass(frozen=True, slots=True)
class QilinSearch:
    """A search of a person in a session. `id` is its number in its split, from 0, as the judgments name it.

    `history` are the notes that were clicked before it, as `Searcher.search` takes them; `time` is when its first note
    was shown (None: unknown), and `source` how the query came to be entered, as Qilin numbers it.
    """

    id: str
    query: str
    session: str
    user: str
    history: tuple[str, ...]
    shown: tuple[Shown, ...]
    time: float | None
    source: int | None


@dataclass(frozen=True, slots=True)
class QilinAnswer:
    """An answer that was shown for a query, and the notes it was written from, in the order of their numbers."""

    id: str
    query: str
    answer: str
    references: tuple[str, ...]


class QilinCollection:
    """A `Collection` of Qilin's folder.

    Splits: `test` and `train` have the published judgments, where their files are there; `test-behaviour` and
    `train-behaviour` have what people did, see `Shown`. Raises InputError where there are no notes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.resolve().name
        self._notes = parquet_files(folder / "notes")
        if not self._notes:
            raise InputError(
                f"{folder} is no folder of Qilin's: there are no notes. What makes one:\n  {NEEDS}"
            )
        self._searches = {split: parquet_files(folder / name) for split, name in SEARCHES.items()}
        judged = [split for split in SEARCHES if self._searches[split] and self._judgments(split).is_file()]
        behaviour = [f"{split}{BEHAVIOUR}" for split in SEARCHES if self._searches[split]]
        self.splits = (*usual_order(judged), *behaviour)

    def documents(self) -> Iterator[Document]:
        """Every note: title and content, and what is known of it (topics, counters) as metadata."""
        return read(*self._notes, id_field="note_idx", text_field="note_content", title_field="note_title")

    def queries(self, split: str | None = None) -> list[Query]:
        """The queries that have judgments in the split. None gives every query; as both splits number theirs from 0,
        its id is then like `train/17`.

        Raises UsageError for a split that does not exist.
        """
        if split is None:
            return [
                Query(f"{name}/{one.id}", one.query)
                for name, files in self._searches.items()
                if files
                for one in self.searches(name)
            ]
        qrels = self.qrels(split)
        return [Query(one.id, one.query) for one in self.searches(split) if one.id in qrels]

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split: the published ones, all of grade 1, or the grades of what people did.

        Raises UsageError for a split that does not exist, InputError for a file that is not as it is published.
        """
        one_of(self.name, self.splits, split)
        if split.endswith(BEHAVIOUR):
            return {
                one.id: {shown.note: shown.grade for shown in one.shown}
                for one in self.searches(split)
                if one.shown
            }
        return published(self._judgments(split))

    def searches(self, split: str) -> Iterator[QilinSearch]:
        """The searches of a split, in their order, those without judgments too. Raises as `qrels` does."""
        name = split.removesuffix(BEHAVIOUR)
        one_of(self.name, [known for known, files in self._searches.items() if files], name)
        number = 0
        for path in self._searches[name]:
            for record in parquet_rows(path, Place(str(path))):
                yield search_of(record, str(number), path)
                number += 1

    def sessions(self, split: str) -> dict[str, list[QilinSearch]]:
        """The searches of each session, in the order of their time; sessions as they come."""
        found: dict[str, list[QilinSearch]] = {}
        for one in self.searches(split):
            found.setdefault(one.session, []).append(one)
        for searches in found.values():
            searches.sort(key=lambda one: (one.time is None, one.time or 0.0, int(one.id)))
        return found

    def answers(self) -> Iterator[QilinAnswer]:
        """The answers of `dqa/`; those without a text, for which none was shown, are left out. Raises InputError."""
        number = 0
        for path in parquet_files(self.folder / "dqa"):
            for record in parquet_rows(path, Place(str(path))):
                answer = record.get("dqa_output")
                if isinstance(answer, str) and answer.strip():
                    references = listed(record, "ref_note_idx_list", path)
                    yield QilinAnswer(
                        str(number), text_of(record, "query", path), answer, ids_of(references, path)
                    )
                number += 1

    def answer_records(self) -> list[AnswerRecord]:
        """The answers with the texts of their notes, as `evaluate_answers` takes them. Raises InputError."""
        answers = list(self.answers())
        if not answers:
            raise InputError(f"{self.folder / 'dqa'}: there are no answers in it")
        texts: dict[str, str] = {note: "" for one in answers for note in one.references}
        for document in self.documents():
            if document.id in texts:
                texts[document.id] = content(document.title, document.text)
        return [
            AnswerRecord(one.id, one.answer, tuple(texts[note] for note in one.references)) for one in answers
        ]

    @property
    def self_hits(self) -> bool:
        """False: notes are not queries, although the ids of both are numbers."""
        return False

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the names and the SHA-256 of the files of notes, searches and judgments."""
        judgments = [path for split in SEARCHES if (path := self._judgments(split)).is_file()]
        total = hashlib.sha256()
        for path in (*self._notes, *self._searches["test"], *self._searches["train"], *judgments):
            total.update(f"{path.relative_to(self.folder).as_posix()}\0{checksum(path)}\n".encode())
        return total.hexdigest()

    def _judgments(self, split: str) -> Path:
        return self.folder / f"search.{split}.qrels.csv"


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder, in the order of their names, which number them; none where it is not there."""
    return sorted(folder.glob("*.parquet"))


def search_of(record: Mapping[str, Any], id: str, path: Path) -> QilinSearch:
    """The search in a row. Raises InputError for a row of another shape."""
    details = listed(record, "search_result_details_with_idx", path)
    if not all(isinstance(one, Mapping) for one in details):
        raise InputError(f"{path}: 'search_result_details_with_idx' must be a list of records")
    shown: dict[str, Shown] = {}
    for place, one in enumerate(details):
        [note] = ids_of([one.get("note_idx")], path)
        former = shown.get(note)
        grade = grade_of(one)
        # A note that was shown again, as the list grew, keeps its first position and its best grade.
        position = int(number_of(one, "position", place)) if former is None else former.position
        shown[note] = Shown(note, position, max(grade, former.grade if former is not None else 0))
    times = [time for one in details if (time := number_of(one, "search_timestamp", math.nan)) == time]
    source = number_of(record, "query_from_type", math.nan)
    return QilinSearch(
        id=id,
        query=text_of(record, "query", path),
        session=str(record.get("session_idx")),
        user=str(record.get("user_idx")),
        history=ids_of(listed(record, "recent_clicked_note_idxs", path), path),
        shown=tuple(shown.values()),
        time=min(times, default=None),
        source=int(source) if source == source else None,
    )


def grade_of(record: Mapping[str, Any]) -> int:
    """The grade of a note that was shown, see `Shown`."""
    if not number_of(record, "click") > 0:
        return 0
    liked = any(number_of(record, name) > 0 for name in ENGAGED)
    return 2 if liked or number_of(record, "page_time") >= DWELL else 1


def number_of(record: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    """The number of a field; the default where there is none, which Qilin writes as null, NaN or -1."""
    value = record.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return default
    return float(value)


def text_of(record: Mapping[str, Any], name: str, path: Path) -> str:
    """The text of a field. Raises InputError where there is none."""
    value = record.get(name)
    if not isinstance(value, str):
        raise InputError(f"{path}: no text in '{name}'; the columns are {', '.join(record)}")
    return value


def listed(record: Mapping[str, Any], name: str, path: Path) -> Sequence[Any]:
    """The list of a field, empty where it is null. Raises InputError where it is something else, or missing."""
    if name not in record:
        raise InputError(f"{path}: no column '{name}'; the columns are {', '.join(record)}")
    value = record[name]
    if value is not None and not isinstance(value, list):
        raise InputError(f"{path}: '{name}' must be a list, as it is published")
    return value or []


def ids_of(values: Sequence[Any], path: Path) -> tuple[str, ...]:
    """The ids of notes, as documents have them. Raises InputError for what is no number of a note."""
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in values):
        raise InputError(f"{path}: notes are named by whole numbers, and {list(values)[:3]!r} are not")
    return tuple(map(str, values))


def published(path: Path) -> Qrels:
    """Judgments as they are published: a table under the header `qid,pid`; what it lists is relevant."""
    found: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file)
        header = [cell.strip() for cell in next(table, [])]
        if not {"qid", "pid"} <= set(header):
            raise InputError(
                f"{path}:1: judgments of Qilin have the columns qid and pid, not {', '.join(header)}"
            )
        query, note = header.index("qid"), header.index("pid")
        for row in table:
            if len(row) != len(header) or not (row[query].strip().isdigit() and row[note].strip().isdigit()):
                raise InputError(f"{path}:{table.line_num}: qid and pid must be whole numbers")
            found.setdefault(row[query].strip(), {})[row[note].strip()] = 1
    if not found:
        raise InputError(f"{path}: there are no judgments under the header")
    return found
