"""Records as JSON: hits and answers as every interface gives them, and frozen dataclasses as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from leanseek.errors import InputError
from leanseek.files import replacing
from leanseek.types import Answer, AttentionExplanation, Hit

FORMAT = 1

Kind = TypeVar("Kind")


def hit_record(hit: Hit) -> dict[str, Any]:
    """A hit as the JSON object that the documentation describes; what does not apply is left out."""
    record: dict[str, Any] = {
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
    explanation = hit.explanation
    if explanation is not None:
        record["stages"] = {
            "sparse": asdict(explanation.sparse) if explanation.sparse else None,
            "dense": asdict(explanation.dense) if explanation.dense else None,
        }
        if explanation.learned is not None:
            record["stages"]["learned"] = asdict(explanation.learned)
            record["expanded"] = [term._asdict() for term in explanation.expanded]
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


def answer_record(answer: Answer) -> dict[str, Any]:
    """What there is to say of an answer beside its hits, as the JSON object that the documentation describes.

    What does not apply is left out, so that there may be nothing.
    """
    record: dict[str, Any] = {}
    if answer.nothing is not None:
        record |= {"hits": 0, "reason": answer.nothing.reason, "message": answer.nothing.sentence}
    if answer.nearest is not None:
        record |= {
            "threshold": answer.threshold,
            "left_out": answer.left_out,
            "nearest": hit_record(answer.nearest),
        }
    if answer.reached is not None:
        record |= {"reranked": answer.reached.judged, "to_rerank": answer.reached.asked}
    if answer.tokens_lost:
        record["query_tokens_lost"] = answer.tokens_lost
    if answer.operators:
        record["operators"] = [operator._asdict() for operator in answer.operators]
    return record


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
