"""What the fields of an index hold, as the words of a query may name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from leanseek.filters import seconds_of
from leanseek.text import Analyzer
from leanseek.types import Scalar

MOST_VALUES: Final = 1_000
"""A field with more different strings is text: a query names none of its values by chance."""
MOST_TERMS: Final = 8
"""Terms of the longest string that is taken for a value."""
SHARE: Final = 0.9
"""So much of a field must be of one kind for the field to be of that kind."""
TITLE: Final = "title"
TITLE_NAMES: Final = ("title", "titled", "name", "named", "called", "headline")
"""Words for a document's title, where no field is called so."""
_PARTS: Final = re.compile(r"[^\W_\d]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINTS: Final = frozenset({"at", "on", "in", "of", "the", "date", "time"})


class FieldValue(NamedTuple):
    """A value of a field, the terms that name it, and how many documents have it."""

    terms: tuple[str, ...]
    field: str
    value: Scalar
    documents: int


class Extent(NamedTuple):
    """How far a field of numbers or dates goes, in numbers or in years, and how many documents have it."""

    least: float
    most: float
    documents: int


@dataclass(frozen=True, slots=True)
class FieldTable:
    """The fields of an index by what they hold, made once for a generation.

    `numbers`, `years` (numbers that are years) and `dates` have the extent of each such field; `texts` are those with
    strings, the title among them. `names` are the terms of each field's name, the longest first. `values` are the
    values of fields with few different ones, by their first term, the longest first.
    """

    analyzer: Analyzer
    numbers: Mapping[str, Extent]
    years: Mapping[str, Extent]
    dates: Mapping[str, Extent]
    texts: frozenset[str]
    names: tuple[tuple[tuple[str, ...], str], ...]
    values: Mapping[str, tuple[FieldValue, ...]]

    @classmethod
    def of(cls, fields: Mapping[str, Mapping[Scalar, int]], analyzer: Analyzer) -> FieldTable:
        """The table of fields given with their different values and how many documents have each."""
        numbers: dict[str, Extent] = {}
        years: dict[str, Extent] = {}
        dates: dict[str, Extent] = {}
        texts = {TITLE}
        values: dict[str, list[FieldValue]] = {}
        for field, counts in sorted(fields.items()):
            found = numeric(counts)
            moments = dated(counts)
            strings = [one for one in counts if isinstance(one, str)]
            total = sum(counts.values())
            if found and sum(found.values()) >= SHARE * total:
                whole = [one for one in found if 1000 <= one < 3000 and one == int(one)]
                kind = years if len(whole) >= SHARE * len(found) else numbers
                kind[field] = Extent(min(found), max(found), total)
            elif moments and sum(moments.values()) >= SHARE * total:
                dates[field] = Extent(min(moments), max(moments), total)
            elif strings:
                texts.add(field)
            if field in dates or len(strings) > MOST_VALUES:
                continue
            for value in strings:
                terms = tuple(analyzer.tokens(value)) or tuple(_PARTS.findall(value.lower()))
                if terms and len(terms) <= MOST_TERMS:
                    entry = FieldValue(terms, field, value, counts[value])
                    values.setdefault(terms[0], []).append(entry)
        return cls(
            analyzer,
            numbers,
            years,
            dates,
            frozenset(texts),
            field_names([*fields], analyzer),
            {
                first: tuple(sorted(some, key=lambda one: (-len(one.terms), one.field, str(one.value))))
                for first, some in values.items()
            },
        )

    def kind(self, field: str) -> str:
        """What a field holds: number, year, date or text."""
        tables = {"number": self.numbers, "year": self.years, "date": self.dates}
        return next((kind for kind, table in tables.items() if field in table), "text")

    def time_field(self, query: str) -> tuple[str, float] | None:
        """The field of years or dates that a query means which names none beside a year, and how sure that is.

        It is one that the query names elsewhere, else the one that most documents have. None where there is none.
        """
        fields = {**self.years, **self.dates}
        if not fields:
            return None
        terms = set(self.analyzer.tokens(query))
        named = {field for name, field in self.names if field in fields and terms.issuperset(name)}
        field = min(fields, key=lambda field: (field not in named, -fields[field].documents, field))
        return field, 0.9 if len(fields) == 1 or field in named else 0.7


def numeric(counts: Mapping[Scalar, int]) -> dict[float, int]:
    """The numbers among values."""
    return {
        float(value): count
        for value, count in counts.items()
        if not isinstance(value, bool | str) and abs(value) < 1e300
    }


def dated(counts: Mapping[Scalar, int]) -> dict[float, int]:
    """The strings among values that are dates, by their year."""
    found: dict[float, int] = {}
    for value, count in counts.items():
        if isinstance(value, str) and seconds_of(value) is not None:
            year = float(value[:4])
            found[year] = found.get(year, 0) + count
    return found


def field_names(fields: list[str], analyzer: Analyzer) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The terms by which fields can be named, the longest first: `published_at` by `published`."""
    found: dict[tuple[str, ...], str] = {}
    for word in TITLE_NAMES:
        found[name_terms(word, analyzer)] = TITLE
    for field in sorted(fields, reverse=True):
        words = _PARTS.findall(_CAMEL.sub(" ", field))
        if len(words) > 1:
            words = [word for word in words if word.lower() not in _JOINTS] or words
        if terms := name_terms(" ".join(words), analyzer):
            found[terms] = field
    return tuple(sorted(found.items(), key=lambda one: (-len(one[0]), one[1])))


def name_terms(name: str, analyzer: Analyzer) -> tuple[str, ...]:
    """The terms of a name; its words where the analyser leaves nothing of it."""
    return tuple(analyzer.tokens(name)) or tuple(name.lower().split())
