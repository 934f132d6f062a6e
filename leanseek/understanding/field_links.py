"""From the words of a query to conditions on the fields of an index: values, years, comparisons, titles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from leanseek.filters import Comparison, Element, Filter, Membership, Not
from leanseek.text import Analyzer, Span
from leanseek.types import Constraint, Understanding
from leanseek.understanding.comparisons import Mention, comparisons, named_after, named_before
from leanseek.understanding.field_table import FieldTable, FieldValue

SURE: Final = 0.5
"""A strict search filters by what is at least so sure."""
NAMED: Final = 0.95
"""How sure a value beside the name of its field is."""
LONG: Final = 0.8
SHORT: Final = 0.6
"""How sure a value of several terms is, and one of a single term."""
_NOT: Final = re.compile(
    r"\b(?:but\s+not|not|no|without|except(?:\s+for)?|excluding|other\s+than)\s+(?:(?:in|from|by|the|of|with)\s+)*$",
    re.IGNORECASE,
)
_SPACE: Final = re.compile(r"\s+")
_LOOSE: Final = re.compile(
    r"^(?:\W|\b(?:and|or|but)\b)+|(?:[\s,;:]|\b(?:and|or|but|in|from|with|by|of|the)\b)+$", re.I
)


def link_fields(query: str, table: FieldTable) -> list[Constraint]:
    """The conditions on fields that a query asks for, in the order of its words; no two share a word.

    Values of one field that stand beside each other are alternatives.
    """
    mentions: list[Mention] = []
    for mention in [*comparisons(query, table), *values_in(query, table)]:
        if all(mention.end <= other.start or mention.start >= other.end for other in mentions):
            mentions.append(mention)
    found = joined(query, sorted(negated(query, mention) for mention in mentions))
    return [
        Constraint(field_of(one.condition), str(one.condition), one.start, one.end, one.confidence)
        for one in found
    ]


def understanding(query: str, constraints: Sequence[Constraint]) -> Understanding:
    """The constraints, and the query without their words."""
    rest, last = [], 0
    for one in sorted(constraints, key=lambda one: one.start):
        rest.append(query[last : one.start])
        last = max(last, one.end)
    text = _SPACE.sub(" ", " ".join([*rest, query[last:]])).strip()
    return Understanding(tuple(constraints), _LOOSE.sub("", text) if constraints else query)


def values_in(query: str, table: FieldTable) -> Iterator[Mention]:
    """The values that a query names, those beside the name of their field first, then the longest."""
    spans = words_of(query, table.analyzer)
    found: list[tuple[float, int, int, int, FieldValue]] = []
    for place, span in enumerate(spans):
        for value in table.values.get(span.token, ()):
            end = place + len(value.terms)
            if tuple(one.token for one in spans[place:end]) != value.terms:
                continue
            start, stop = span.start, spans[end - 1].end
            before, after = named_before(query, start, table), named_after(query, stop, table)
            sure = LONG if len(value.terms) > 1 else SHORT
            if before is not None and before.name == value.field:
                sure, start = NAMED, before.start
            elif after is not None and after.name == value.field:
                sure, stop = NAMED, after.end
            found.append((sure, len(value.terms), start, stop, value))
    found.sort(key=lambda one: (-one[0], -one[1], one[2], -one[4].documents, one[4].field, str(one[4].value)))
    for sure, _, start, stop, value in found:
        fields = {one[4].field for one in found if one[2] < stop and one[3] > start and one[0] == sure}
        condition = Comparison(value.field, "=", Element(str(value.value), "string"))
        yield Mention(start, stop, condition, sure if sure == NAMED else sure / len(fields))


def words_of(query: str, analyzer: Analyzer) -> list[Span]:
    """The terms of a query, of wholes with parts the wholes, with their characters."""
    found: list[Span] = []
    for token, start, end in analyzer.spans(query):
        if not found or start >= found[-1].end:
            found.append(Span(token, start, end))
    return found


def negated(query: str, mention: Mention) -> Mention:
    """The mention, turned round where a word such as `not` or `except` stands before it."""
    match = _NOT.search(query, 0, mention.start)
    if match is None:
        return mention
    return mention._replace(start=match.start(), condition=Not(mention.condition))


def joined(query: str, mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions, in their order, where several values of one field have become one condition."""
    found: list[Mention] = []
    for mention in mentions:
        last = found[-1] if found else None
        if last is not None and (values := alternatives(last.condition, mention.condition)):
            between = query[last.end : mention.start].strip(" ,/").lower()
            if between in ("", "or", "and", "and/or"):
                field = field_of(mention.condition)
                sure = min(last.confidence, mention.confidence)
                found[-1] = Mention(last.start, mention.end, Membership(field, values), sure)
                continue
        found.append(mention)
    return found


def alternatives(first: Filter, second: Filter) -> tuple[Element, ...]:
    """The values of two conditions on one field that it has one of these; nothing where they are no such ones."""
    if field_of(first) != field_of(second):
        return ()
    values: list[Element] = []
    for one in (first, second):
        if isinstance(one, Membership):
            values += one.values
        elif isinstance(one, Comparison) and one.operator == "=":
            values.append(one.value)
        else:
            return ()
    return tuple(dict.fromkeys(values))


def field_of(condition: Filter) -> str:
    """The field of a condition on a single one."""
    return next(condition.leaves()).field
