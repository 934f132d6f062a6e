"""Frozen records as JSON files: written whole or not at all, read back with what is wrong with them told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from leanseek.errors import InputError
from leanseek.files import replacing

FORMAT = 1

Kind = TypeVar("Kind")


def write_record(path: Path, record: Any) -> None:
    """Write a frozen record as JSON for people and programs. Raises StorageError."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=2, ensure_ascii=False, allow_nan=False)
    write_lines(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text, whole or not at all. Raises StorageError."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def read_text(path: Path) -> str:
    """The text of a result's file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: this file of the result is missing; evaluate again with --force"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this file of the result cannot be read: {error}") from error


def read_record(path: Path, kind: type[Kind], nested: Mapping[str, type]) -> Kind:
    """A frozen record as `write_record` wrote it; `nested` has the class of each field that is a record itself.

    Raises InputError where it cannot be understood.
    """
    try:
        values = json.loads(read_text(path))
        if values["format"] > FORMAT:
            raise InputError(
                f"{path}: written by a newer version of leanseek (format {values['format']}, this one knows "
                f"{FORMAT}). Upgrade: pip install --upgrade leanseek"
            )
        return made(kind, values, nested)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: this is no result of an evaluation ({error!r})") from error


def made(kind: type[Kind], values: Mapping[str, Any], nested: Mapping[str, type]) -> Kind:
    """A record of `kind` from JSON values; what a later minor version may have added is left out."""
    given: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in values:
            continue  # the constructor tells what it cannot do without
        value = values[field.name]
        if isinstance(value, dict) and field.name in nested:
            value = made(nested[field.name], value, nested)
        given[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
