"""A profile: what a person has opened so far, as decayed counts of titles and metadata values, in a local file.

It holds no query and no text of a document, is never sent anywhere, and is a few lines of JSON that can be read, edited
and deleted.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from leanseek.errors import InputError
from leanseek.files import replacing
from leanseek.types import Document, Scalar

HALF_LIFE: Final = 30.0
"""Days after which what was opened counts half."""
MOST: Final = 2_000
"""Entities that are kept, those that count most."""
FORMAT: Final = 1
_DAY: Final = 86_400.0

Entity: TypeAlias = tuple[str, str]
"""A field of the metadata, or title, and one of its values as text."""


class Count(NamedTuple):
    """How often an entity was opened, as of a time in seconds since 1970."""

    weight: float
    time: float

    def at(self, now: float) -> float:
        """What is left of it at a time."""
        return self.weight * math.exp2(-max(now - self.time, 0.0) / (HALF_LIFE * _DAY))


class Profile:
    """Decayed counts of what documents that were opened have: title, and values of the metadata.

    >>> profile = Profile.read("me.json")
    >>> profile.opened(searcher.documents(["p0"]))
    >>> profile.write("me.json")
    """

    def __init__(self, counts: Mapping[Entity, Count] | None = None) -> None:
        self.counts: dict[Entity, Count] = dict(counts or {})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Profile:
        """The profile in a file; an empty one where there is no file yet.

        Raises InputError where the file is damaged, of a newer format, or cannot be read.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(values, dict) or not isinstance(values["format"], int):
                raise TypeError("it has no format")
            if values["format"] > FORMAT:
                raise InputError(
                    f"{path}: this profile was written by a newer version of leanseek (format {values['format']}, "
                    f"this one knows {FORMAT}). Upgrade: pip install --upgrade leanseek"
                )
            return cls(dict(counts_of(values["entities"])))
        except FileNotFoundError:
            return cls()
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"{path}: this profile cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path}: this is no profile, or a damaged one ({type(error).__name__}: {error}). Repair it, or delete "
                "it to begin a new one"
            ) from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all, for its owner alone. Raises StorageError."""
        fields: dict[str, dict[str, list[float]]] = {}
        for (field, value), count in sorted(self.counts.items()):
            fields.setdefault(field, {})[value] = [round(count.weight, 6), round(count.time, 3)]
        text = json.dumps({"format": FORMAT, "entities": fields}, indent=1, ensure_ascii=False)
        with replacing(Path(path)) as draft:
            draft.touch(mode=0o600)
            draft.write_text(text + "\n", encoding="utf-8")

    def opened(self, documents: Iterable[Document], at: float | None = None) -> None:
        """Count documents that were opened at a time in seconds since 1970, by default now."""
        now = time.time() if at is None else at
        for document in documents:
            for entity in entities_of(document.title, document.metadata):
                known = self.counts.get(entity)
                self.counts[entity] = Count(1.0 + (known.at(now) if known else 0.0), now)
        if len(self.counts) > MOST:
            kept = sorted(self.counts, key=lambda one: (-self.counts[one].at(now), one))[:MOST]
            self.counts = {entity: self.counts[entity] for entity in kept}

    def weights(self, at: float | None = None) -> dict[Entity, float]:
        """How much each entity counts at a time in seconds since 1970, by default now."""
        now = time.time() if at is None else at
        return {entity: count.at(now) for entity, count in self.counts.items()}


def entities_of(title: str, metadata: Mapping[str, Scalar | list[Scalar] | None]) -> list[Entity]:
    """The title and the metadata values of a document, each once."""
    found: dict[Entity, None] = {("title", title.strip()): None} if title.strip() else {}
    for field, values in metadata.items():
        for value in values if isinstance(values, list) else [values]:
            if value is not None and (text := str(value).strip()):
                found[field, text] = None
    return list(found)


def counts_of(fields: Mapping[str, Any]) -> Iterator[tuple[Entity, Count]]:
    """The counts of a file. Raises ValueError, TypeError or AttributeError for what is none."""
    for field, values in fields.items():
        for value, (weight, moment) in values.items():
            count = Count(float(weight), float(moment))
            if not (count.weight >= 0 and math.isfinite(count.weight) and math.isfinite(count.time)):
                raise ValueError(f"{field} {value!r} has the count {weight!r} at {moment!r}")
            yield (field, value), count
