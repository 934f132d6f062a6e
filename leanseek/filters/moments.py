"""Dates and times in metadata: ISO 8601 strings as moments whose order is the order of time.

A moment is written in UTC as `2024-03-01T12:45:00.5`, without zeros at the end of the fraction, so that moments
sort by code point. A time without a zone is taken as UTC, a date without a time as its midnight.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

DAY: Final = len("2024-03-01")
"""The characters of a date; a text of more is a time."""
_SECONDS: Final = 86_400
_LAST_DAY: Final = date.max.toordinal()
_EPOCH: Final = date(1970, 1, 1).toordinal()
_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2}))?)?)?)?"
)
_SHORT: Final = re.compile(r"(?!0000)[0-9]{4}(?:-(?:0[1-9]|1[0-2]))?")
_AFTER_A_MOMENT: Final = "!"
"""Sorts after the blank that ends a moment in `stored_moment`, and before the point of a fraction."""
_AFTER_ALL: Final = "~"
"""Sorts after all that is in a moment."""


def seconds_of(value: str | int | float) -> float | None:
    """Seconds since 1970 in UTC of an ISO date or time; None for what is none.

    A month or a year, such as "2024-03", "2024" or the number 2024, is its first day. A number from 10**8 on is itself
    such a count of seconds, from 10**11 on one of milliseconds.
    """
    if isinstance(value, bool):
        return None
    if not isinstance(value, str):
        if 1 <= value <= 9999 and value == int(value):
            return seconds_of(f"{int(value):04}")
        if not 10**8 <= value < 10**14:
            return None
        return float(value) if value < 10**11 else value / 1000
    if _SHORT.fullmatch(value):
        value += "-01-01"[len(value) - DAY :]
    if (moment := _moment(value)) is None:
        return None
    days = date.fromisoformat(moment[:DAY]).toordinal() - _EPOCH
    hours, minutes, seconds = moment[DAY + 1 :].split(":")
    return days * _SECONDS + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def stored_moment(text: str) -> str | None:
    """The moment of an ISO date or time, a blank, and the text itself; None for any other text."""
    moment = _moment(text)
    return None if moment is None else f"{moment} {text}"


def moment_text(stored: str) -> str:
    """The text that `stored_moment` got."""
    return stored[stored.index(" ") + 1 :]


def span(text: str) -> tuple[str, str] | None:
    """(first, end): the stored moments that `text` means are those from `first` to before `end`; None if it is none.

    A time is itself alone. A date means its whole day in UTC, `2024-03` a month and `2024` a year.
    """
    if (moment := _moment(text)) is not None and len(text) > DAY:
        return moment, moment + _AFTER_A_MOMENT
    if moment is not None or _SHORT.fullmatch(text):
        return text, text + _AFTER_ALL
    return None


def band(text: str) -> tuple[str, str]:
    """(low, high): texts before `low` are moments before those that `text` means, texts from `high` on after them.

    A zone moves a moment by less than two days; `text` is one that has a `span`.
    """
    day = date.fromisoformat(
        text[:DAY] + "-01-01"[len(text) - DAY :] if len(text) < DAY else text[:DAY]
    ).toordinal()
    low, high = day - 2, day + {4: 368, 7: 33}.get(len(text), 3)
    return (
        date.fromordinal(low).isoformat() if low > 0 else "",
        date.fromordinal(high).isoformat() if high <= _LAST_DAY else _AFTER_ALL,
    )


def _moment(text: str) -> str | None:
    # The longest fractions and zones are far shorter; the first comparison spares most strings the others.
    if len(text) < DAY or text[4] != "-" or (match := _ISO.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, *offset = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    if hour is None:
        return text + "T00:00:00"
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    midnight = hours == 24 and not minutes and not seconds and not (fraction or "").strip("0")
    # A leap second is the first of the next minute.
    if (hours > 23 and not midnight) or minutes > 59 or seconds > 60:
        return None
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if sign is not None:
        away, away_minutes, away_seconds = (int(part or 0) for part in offset)
        if away > 23 or away_minutes > 59 or away_seconds > 59:
            return None
        east = (away * 60 + away_minutes) * 60 + away_seconds
        total += east if sign == "-" else -east
    days, rest = divmod(total, _SECONDS)
    if not 1 <= days <= _LAST_DAY:
        return None
    fraction = (fraction or "").rstrip("0")
    clock = f"T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{date.fromordinal(days).isoformat()}{clock}{'.' if fraction else ''}{fraction}"
