"""SQL conditions on the rows of a metadata table, above all those on moments.

Rows of form 1 have moments as values of their own kind, in the order of time. Rows of form 0 have them as strings; far
from the moments that a condition names the order of such strings is that of time, whatever their zones, so that only
those near by have to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from leanseek.filters.moments import DAY, band, span

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Parameters: TypeAlias = list[str | int | float]
Condition: TypeAlias = tuple[str, Parameters]
"""An SQL condition with the values for its `?`."""

FEW = 16
"""So many moments of a list are looked up in the index; with more, all of the field's are compared."""
LIKE_A_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
"""What texts that mean a moment look like to SQLite."""
_NEAR = "kind = 'string' AND value >= ? AND value < ?"
_MOMENT = "ifnull(stored_moment(value), '')"


def moment_order(operator: Operator, bounds: tuple[str, str]) -> tuple[Literal["<", ">="], str]:
    """An order with the moments from the first to before the end, as an order with one of the two."""
    first, end = bounds
    return ("<" if operator[0] == "<" else ">="), (end if operator in ("<=", ">") else first)


def moments_ordered(text: str, operator: Operator, form: int) -> list[Condition]:
    """Moments before or after those that `text` means, and strings before or after it."""
    order, bound = moment_order(operator, _bounds(text))
    if form:
        return [
            (f"kind = 'string' AND value {operator} ?", [text]),
            (f"kind = 'moment' AND value {order} ?", [bound]),
        ]
    low, high = band(text)
    near = f"{_NEAR} AND CASE {_MOMENT} WHEN '' THEN value {operator} ? ELSE {_MOMENT} {order} ? END"
    far = f"kind = 'string' AND value {order} ?"
    return [(far, [low if order == "<" else high]), (near, [low, high, text, bound])]


def strings_ordered(text: str, operator: Operator, form: int) -> Condition:
    """Strings before or after `text`, which means no moments; moments have no order with it."""
    where = f"kind = 'string' AND value {operator} ?"
    if not form:
        where += f" AND NOT (value GLOB '{LIKE_A_DATE}' AND {_MOMENT} <> '')"
    return where, [text]


def moments_within(text: str, form: int) -> Condition:
    """The moments that `text` means."""
    first, end = _bounds(text)
    if form:
        return "kind = 'moment' AND value >= ? AND value < ?", [first, end]
    return f"{_NEAR} AND {_MOMENT} >= ? AND {_MOMENT} < ?", [*band(text), first, end]


def moments_among(texts: Sequence[str], form: int) -> list[Condition]:
    """The moments that one of the texts means."""
    if len(texts) <= FEW:
        return [moments_within(text, form) for text in texts]
    # A year, a month and a day are what their moments begin with.
    kind, value = ("moment", "value") if form else ("string", _MOMENT)
    parts: dict[str, Parameters] = {}
    for text in texts:
        end = f"instr({value}, ' ') - 1" if len(text) > DAY else str(len(text))
        parts.setdefault(f"substr({value}, 1, {end})", []).append(_bounds(text)[0])
    return [(f"kind = '{kind}' AND {part} IN ({places(same)})", same) for part, same in parts.items()]


def none_of(conditions: Sequence[Condition]) -> Condition:
    """That none of the conditions holds."""
    parameters: Parameters = []
    for _, some in conditions:
        parameters += some
    return f"NOT ({' OR '.join(f'({where})' for where, _ in conditions)})", parameters


def places(values: Sequence[object]) -> str:
    """Places for so many parameters."""
    return ", ".join("?" * len(values))


def _bounds(text: str) -> tuple[str, str]:
    bounds = span(text)
    assert bounds is not None
    return bounds
