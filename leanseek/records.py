"""Records as JSON: hits and answers as every interface gives them, and frozen dataclasses as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

from leanseek.errors import InputError
from leanseek.files import replacing
from leanseek.types import (
    Answer,
    AttentionExplanation,
    ClarifyingOption,
    Constraint,
    DescribedSentence,
    Description,
    ExpandedTerm,
    Explanation,
    Facet,
    Freshness,
    Hit,
    Mark,
    Nothing,
    Operator,
    Passage,
    QueryExpansion,
    QueryNGram,
    Question,
    Reached,
    Snippet,
    Stage,
    Standing,
    TokenAttention,
    ValueCount,
    WeightedTerm,
)

FORMAT = 1

Kind = TypeVar("Kind")


class HitRecord(TypedDict):
    """A hit as JSON; what does not apply is left out.

    `stages`, `terms` and `snippet` come with an explanation, `expanded` where the index has a learned side, `wordings`
    where the query has several, `freshness` in a search by recency, `interest` in one with a history.
    """

    rank: int
    id: str
    score: float
    title: str
    text: str
    metadata: dict[str, Any]
    probability: NotRequired[float]
    passage: NotRequired[dict[str, int]]
    history: NotRequired[list[dict[str, Any]]]
    copies: NotRequired[list[str]]
    marks: NotRequired[list[dict[str, Any]]]
    stages: NotRequired[dict[str, dict[str, Any] | None]]
    terms: NotRequired[list[str]]
    expanded: NotRequired[list[dict[str, Any]]]
    wordings: NotRequired[list[dict[str, Any]]]
    freshness: NotRequired[dict[str, Any]]
    interest: NotRequired[float]
    snippet: NotRequired[dict[str, Any]]
    attention: NotRequired[dict[str, list[list[float]]]]


class FacetRecord(TypedDict):
    """How many documents have each value of a field, and how many different values there are."""

    values: list[dict[str, Any]]
    distinct: int


class AnswerRecord(TypedDict):
    """An answer as JSON; what does not apply is left out.

    `threshold` and `left_out` come with a least probability, `reason` and `message` where there is no hit, `reranked`
    of the `to_rerank` hits with re-ranking, `query_tokens_lost` where the encoder's limit has cut the query, `coverage`
    where a part of a cluster did not answer, `facets` where they were asked for, `expansion` where the
    query was expanded.
    """

    hits: list[HitRecord]
    threshold: NotRequired[float]
    left_out: NotRequired[int]
    nearest: NotRequired[HitRecord]
    reason: NotRequired[str]
    message: NotRequired[str]
    reranked: NotRequired[int]
    to_rerank: NotRequired[int]
    query_tokens_lost: NotRequired[int]
    coverage: NotRequired[float]
    operators: NotRequired[list[dict[str, Any]]]
    constraints: NotRequired[list[dict[str, Any]]]
    facets: NotRequired[dict[str, FacetRecord]]
    expansion: NotRequired[dict[str, Any]]
    ngrams: NotRequired[list[dict[str, Any]]]


class SpanRecord(TypedDict):
    """A piece of a document's text as JSON."""

    start: int
    end: int
    page: int | None
    heading: str | None


class CitedRecord(TypedDict):
    """A source of a context as JSON."""

    number: int
    id: str
    title: str
    text: str
    score: float
    probability: float | None
    spans: list[SpanRecord]


def hit_record(hit: Hit) -> HitRecord:
    """A hit as the JSON object that the documentation describes; what does not apply is left out."""
    record: HitRecord = {
        "rank": hit.rank,
        "id": hit.id,
        "score": hit.score,
        "title": hit.title,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }
    if hit.probability is not None:
        record["probability"] = hit.probability
    if hit.passage is not None:
        record["passage"] = asdict(hit.passage)
    if hit.history:
        record["history"] = [standing._asdict() for standing in hit.history]
    if hit.copies:
        record["copies"] = list(hit.copies)
    if hit.marks:
        record["marks"] = [mark._asdict() for mark in hit.marks]
    explanation = hit.explanation
    if explanation is not None:
        record["stages"] = {
            "sparse": asdict(explanation.sparse) if explanation.sparse else None,
            "dense": asdict(explanation.dense) if explanation.dense else None,
        }
        if explanation.learned is not None:
            record["stages"]["learned"] = asdict(explanation.learned)
            record["expanded"] = [term._asdict() for term in explanation.expanded]
        if explanation.wordings:
            record["wordings"] = [asdict(stage) for stage in explanation.wordings]
        if explanation.freshness is not None:
            record["freshness"] = explanation.freshness._asdict()
        if explanation.interest is not None:
            record["interest"] = explanation.interest
        record["terms"] = list(explanation.terms)
        record["snippet"] = {
            "text": explanation.snippet.text,
            "highlights": [list(span) for span in explanation.snippet.highlights],
        }
    if isinstance(explanation, AttentionExplanation):
        record["attention"] = {
            "title": list(map(list, explanation.title)),
            "text": list(map(list, explanation.text)),
        }
    return record


def hit_of(record: HitRecord) -> Hit:
    """The hit that `hit_record` made a record of. KeyError or TypeError for what is no such record."""
    return Hit(
        rank=record["rank"],
        id=record["id"],
        score=record["score"],
        title=record["title"],
        text=record["text"],
        metadata=record["metadata"],
        passage=Passage(**record["passage"]) if "passage" in record else None,
        explanation=_explanation_of(record) if "snippet" in record else None,
        probability=record.get("probability"),
        history=tuple(Standing(**standing) for standing in record.get("history", ())),
        copies=tuple(record.get("copies", ())),
        marks=tuple(Mark(**mark) for mark in record.get("marks", ())),
    )


def _explanation_of(record: HitRecord) -> Explanation:
    stages = {side: Stage(**stage) if stage else None for side, stage in record["stages"].items()}
    text = record["snippet"]["text"]
    snippet = Snippet(text, tuple((start, end) for start, end in record["snippet"]["highlights"]))
    terms = tuple(record["terms"])
    sides = stages["sparse"], stages["dense"], terms, snippet
    more: dict[str, Any] = {
        "learned": stages.get("learned"),
        "expanded": tuple(ExpandedTerm(**term) for term in record.get("expanded", ())),
        "wordings": tuple(Stage(**stage) for stage in record.get("wordings", ())),
        "freshness": Freshness(**record["freshness"]) if "freshness" in record else None,
        "interest": record.get("interest"),
    }
    if "attention" not in record:
        return Explanation(*sides, **more)
    title, body = (
        tuple(TokenAttention(int(start), int(end), attention) for start, end, attention in tokens)
        for tokens in (record["attention"]["title"], record["attention"]["text"])
    )
    return AttentionExplanation(*sides, title, body, **more)


def answer_record(answer: Answer) -> AnswerRecord:
    """An answer as the JSON object that the documentation describes; what does not apply is left out."""
    record: AnswerRecord = {"hits": [hit_record(hit) for hit in answer.hits]}
    if answer.threshold is not None:
        record |= {"threshold": answer.threshold, "left_out": answer.left_out}
    if answer.nearest is not None:
        record["nearest"] = hit_record(answer.nearest)
    if answer.nothing is not None:
        record |= {"reason": answer.nothing.reason, "message": answer.nothing.sentence}
    if answer.reached is not None:
        record |= {"reranked": answer.reached.judged, "to_rerank": answer.reached.asked}
    if answer.tokens_lost:
        record["query_tokens_lost"] = answer.tokens_lost
    if answer.coverage is not None:
        record["coverage"] = answer.coverage
    if answer.operators:
        record["operators"] = [operator._asdict() for operator in answer.operators]
    if answer.constraints:
        record["constraints"] = [one._asdict() for one in answer.constraints]
    if answer.facets:
        record["facets"] = facets_record(answer.facets)
    if answer.expansion is not None:
        record["expansion"] = expansion_record(answer.expansion)
    if answer.ngrams:
        record["ngrams"] = [one._asdict() for one in answer.ngrams]
    return record


def expansion_record(expansion: QueryExpansion) -> dict[str, Any]:
    """How a query was expanded, as JSON."""
    return {
        **expansion._asdict(),
        "terms": [term._asdict() for term in expansion.terms],
        "sentences": [sentence._asdict() for sentence in expansion.sentences],
    }


def description_record(description: Description) -> dict[str, Any]:
    """What a query wants, as JSON."""
    return {
        "text": description.text,
        "sentences": [sentence._asdict() for sentence in description.sentences],
        "relevant": list(description.relevant),
        "irrelevant": list(description.irrelevant),
        "terms": [term._asdict() for term in description.terms],
        "notes": list(description.notes),
    }


def question_record(question: Question) -> dict[str, Any]:
    """A question back as JSON."""
    return {**asdict(question), "options": [option._asdict() for option in question.options]}


def question_of(record: dict[str, Any]) -> Question:
    """The question that `question_record` made a record of."""
    options = tuple(ClarifyingOption(**option) for option in record["options"])
    return Question(**{**record, "options": options})


def expansion_of(record: dict[str, Any]) -> QueryExpansion:
    """The expansion that `expansion_record` made a record of."""
    return QueryExpansion(
        record["method"],
        tuple(record["relevant"]),
        tuple(record["irrelevant"]),
        tuple(WeightedTerm(**term) for term in record["terms"]),
        tuple(DescribedSentence(**sentence) for sentence in record["sentences"]),
    )


def facets_record(facets: Mapping[str, Facet]) -> dict[str, FacetRecord]:
    """Facets as JSON, by field."""
    return {
        field: {"values": [one._asdict() for one in facet.values], "distinct": facet.distinct}
        for field, facet in facets.items()
    }


def answer_of(record: AnswerRecord) -> Answer:
    """The answer that `answer_record` made a record of. KeyError or TypeError for what is no such record."""
    reason: Any = record.get("reason")
    return Answer(
        hits=[hit_of(hit) for hit in record["hits"]],
        threshold=record.get("threshold"),
        left_out=record.get("left_out", 0),
        nearest=hit_of(record["nearest"]) if "nearest" in record else None,
        reached=Reached(record["reranked"], record["to_rerank"]) if "reranked" in record else None,
        nothing=Nothing(reason, record["message"]) if reason is not None else None,
        tokens_lost=record.get("query_tokens_lost", 0),
        coverage=record.get("coverage"),
        operators=tuple(Operator(**operator) for operator in record.get("operators", ())),
        constraints=tuple(Constraint(**one) for one in record.get("constraints", ())),
        facets={
            field: Facet(tuple(ValueCount(**one) for one in facet["values"]), facet["distinct"])
            for field, facet in record.get("facets", {}).items()
        },
        expansion=expansion_of(record["expansion"]) if "expansion" in record else None,
        ngrams=tuple(QueryNGram(**one) for one in record.get("ngrams", ())),
    )


def remarks_record(answer: Answer) -> dict[str, Any]:
    """What a terminal shows of an answer beside its hits: nothing for an answer that needs no remark."""
    record: dict[str, Any] = {**answer_record(answer)}
    del record["hits"]
    record.pop("facets", None)  # they stand beside the hits
    if answer.nearest is None:
        record.pop("threshold", None)
        record.pop("left_out", None)
    return {"hits": 0, **record} if answer.nothing is not None else record


def write_record(path: Path, record: Any) -> None:
    """Write a frozen dataclass as JSON, whole or not at all. Raises StorageError."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=2, ensure_ascii=False, allow_nan=False)
    write_lines(path, [text])


def read_record(path: Path, kind: type[Kind], nested: Mapping[str, type]) -> Kind:
    """A record of `kind` as `write_record` wrote it; `nested` has the class of each field that is a record itself.

    Raises InputError where the file is missing, damaged or of a newer format.
    """
    try:
        values = json.loads(read_text(path))
        if values["format"] > FORMAT:
            raise InputError(
                f"{path}: written by a newer version of leanseek (format {values['format']}, this one knows "
                f"{FORMAT}). Upgrade: pip install --upgrade leanseek"
            )
        return _made(kind, values, nested)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: this is no result of an evaluation ({error!r})") from error


def _made(kind: type[Kind], values: Mapping[str, Any], nested: Mapping[str, type]) -> Kind:
    """A record of `kind` from JSON values; fields that only a later minor version has are ignored."""
    if upgraded := getattr(kind, "upgraded", None):  # what earlier releases wrote in another way
        values = upgraded(values)
    given: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in values:
            continue  # the constructor raises where it cannot do without
        value = values[field.name]
        if isinstance(value, dict) and field.name in nested:
            value = _made(nested[field.name], value, nested)
        given[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text, whole or not at all. Raises StorageError."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def read_text(path: Path) -> str:
    """The text of a result's file. Raises InputError where it is missing or cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: this file of the result is missing; evaluate again with --force"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this file of the result cannot be read: {error}") from error
