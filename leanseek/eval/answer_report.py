"""Answers of a language model from a file, scored against their contexts and their references."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.eval.significance import CONFIDENCE, RESAMPLES, Interval, bootstrap
from leanseek.rag.answer_scores import SUPPORTED, Support, check_answers, quality, supported_share
from leanseek.reading.jsonlines import parse_line
from leanseek.reading.streams import Place, strict_lines
from leanseek.types import Progress

if TYPE_CHECKING:
    from leanseek.rerank import ByScore

QILIN: Final = "qilin:"
"""Begins the name of a folder of Qilin's."""
FIDELITY: Final = "fidelity"
QUALITY: Final = "quality"

FIELDS: Final = {
    "id": ("id", "_id", "query_id", "question_id"),
    "answer": ("answer", "response", "prediction"),
    "context": ("context", "contexts", "passages", "retrieved_contexts"),
    "reference": ("reference", "references", "ground_truth", "ground_truths", "answers"),
}
"""What a field of a line may be called, ours first."""


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """An answer, the passages that it was written from (None: unknown), and texts that would be right."""

    id: str
    answer: str
    context: tuple[str, ...] | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer's scores, None where it has no context or no reference; and its sentences with what supports them."""

    id: str
    fidelity: float | None
    quality: float | None
    sentences: tuple[Support, ...]


@dataclass(frozen=True, slots=True)
class AnswerMean:
    """The mean of a measure over the `answers` that it applies to, and its interval."""

    value: float
    interval: Interval
    answers: int


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """Means by measure, the answers in their order, and what they were computed with."""

    means: Mapping[str, AnswerMean]
    answers: tuple[ScoredAnswer, ...]
    threshold: float
    confidence: float
    resamples: int
    seed: int
    warnings: tuple[str, ...]


def read_answers(path: str | os.PathLike[str]) -> list[AnswerRecord]:
    """The answers of a file of JSON lines (gzip too; "-" is standard input), in order.

    A line has `answer` and, as far as they are known, `context` (a text or a list: texts, or objects with `text` and
    `title`; an object with `passages`, as `search --context --json` prints it), `reference` (a text or a list) and
    `id`, by default the line's number. Names that other programs use are known too, see `FIELDS`. `qilin:FOLDER` has
    the answers of Qilin, with the notes that they were written from as their contexts.

    Raises InputError, beginning with `file:line:`, for what is none of this, and for a file without answers.
    """
    name = os.fspath(path)
    if name.startswith(QILIN):
        from leanseek.eval.collections.qilin import QilinCollection

        return QilinCollection(Path(name.removeprefix(QILIN)).expanduser()).answer_records()
    place = Place(name)
    found: list[AnswerRecord] = []
    seen: dict[str, int] = {}
    for line in strict_lines(name, place, "answers"):
        if not line.strip():
            continue
        record = answer_record(parse_line(line.strip(), place), place)
        if record.id in seen:
            raise place.error(f"the id {record.id!r} is that of line {seen[record.id]} too; ids must differ")
        seen[record.id] = place.line
        found.append(record)
    if not found:
        raise InputError(f"{place.file}: no answers in it")
    return found


def evaluate_answers(
    records: Sequence[AnswerRecord],
    *,
    threshold: float = SUPPORTED,
    judge: ByScore | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnswerReport:
    """Fidelity to the context and quality by the references of every answer, and their means.

    Fidelity counts answers with a context, also an empty one, which supports nothing; quality those with a reference.
    An answer without sentences has a fidelity of 0. `threshold` and `judge` are those of `leanseek.rag.supports`.
    Intervals are percentile bootstrap intervals over answers.

    Raises UsageError where there are no answers, or none with a context or a reference, and as `supports` does.
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise UsageError(
            f"a confidence of {confidence} by {resamples} resamples is none; give one between 0 and 1, and 1 or more"
        )
    with_context = [record for record in records if record.context is not None]
    checked = dict(
        zip(
            (record.id for record in with_context),
            check_answers(
                [(record.answer, record.context or ()) for record in with_context],
                threshold=threshold,
                judge=judge,
                progress=progress,
            ),
            strict=True,
        )
    )
    scored = tuple(
        ScoredAnswer(
            record.id,
            supported_share(checked[record.id]) if record.id in checked else None,
            quality(record.answer, record.references) if record.references else None,
            checked.get(record.id, ()),
        )
        for record in records
    )
    means = {}
    for measure in (FIDELITY, QUALITY):
        values = [value for one in scored if (value := getattr(one, measure)) is not None]
        if values:
            column = np.array(values, dtype=np.float64)[:, None]
            [interval] = bootstrap(column, seed=seed, resamples=resamples, confidence=confidence)
            means[measure] = AnswerMean(float(column.mean()), interval, len(values))
    if not means:
        raise UsageError(
            "no answer has a context or a reference, so that there is nothing to compare it with"
        )
    return AnswerReport(
        means, scored, threshold, confidence, resamples, seed, tuple(warnings_of(records, scored))
    )


def warnings_of(records: Sequence[AnswerRecord], scored: Sequence[ScoredAnswer]) -> Iterator[str]:
    """What is unusual about some answers, and how it counts."""
    pairs = [(record, one) for record, one in zip(records, scored, strict=True) if record.context is not None]
    unknown = [number for one in scored for sentence in one.sentences for number in sentence.unknown]
    if unknown:
        yield (
            f"citations of passages that the context does not have, such as [{min(unknown)}]: {len(unknown):,}; they "
            "support nothing"
        )
    silent = sum(not one.sentences for _, one in pairs)
    if silent:
        yield f"answers without a sentence: {silent:,}; their fidelity is 0"
    empty = sum(not record.context for record, _ in pairs)
    if empty:
        yield f"answers with an empty context: {empty:,}; it supports nothing"
    for measure in (FIDELITY, QUALITY):
        lacking = sum(getattr(one, measure) is None for one in scored)
        if lacking:
            what = "context" if measure == FIDELITY else "reference"
            yield f"answers without a {what}: {lacking:,}; {measure} does not count them"


def answer_record(value: object, place: Place) -> AnswerRecord:
    """The answer in a line's JSON value. Raises InputError."""
    if not isinstance(value, dict):
        raise place.error('not an object; a line is like {"answer": "…", "context": ["…"]}')
    given = {field: present(value, names) for field, names in FIELDS.items()}
    answer = given["answer"]
    if not isinstance(answer, str):
        raise place.error(f"no answer: 'answer' must be a text; the fields are {', '.join(value) or 'none'}")
    identifier = given["id"]
    if identifier is not None and not isinstance(identifier, str | int):
        raise place.error("'id' must be a text or a whole number")
    context = given["context"]
    return AnswerRecord(
        str(place.line if identifier is None else identifier),
        answer,
        None if context is None else tuple(passages_of(context, place)),
        tuple(texts_of(given["reference"], place)),
    )


def present(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of the names that the record has; None where it has none."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def passages_of(context: Any, place: Place) -> Iterator[str]:
    """The texts of a context, in the order of their numbers. Raises InputError."""
    if isinstance(context, dict):
        context = context.get("passages")
    for one in [context] if isinstance(context, str) else context if isinstance(context, list) else [None]:
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str):
            raise place.error("'context' must be a text, or a list of texts or of objects with a 'text'")
        title = one.get("title") if isinstance(one, dict) else None
        yield f"{title} {text}" if isinstance(title, str) and title else text


def texts_of(reference: Any, place: Place) -> list[str]:
    """The references of an answer. Raises InputError."""
    found = [] if reference is None else [reference] if isinstance(reference, str) else reference
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise place.error("'reference' must be a text or a list of texts")
    return found
