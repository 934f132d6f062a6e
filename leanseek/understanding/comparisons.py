"""What a query says of numbers, years, dates and the letters and words of a title: `after 2015`, `starting with B`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from leanseek.errors import FilterError
from leanseek.filters import Filter, parse_filter, quote_name
from leanseek.understanding.field_table import TITLE, FieldTable, name_terms

_VALUE: Final = r"(?:[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+(?:\.[0-9]+)?)"
_TIMES: Final = {
    ">": "after|later than|newer than|more recent than|past",
    ">=": "since|no earlier than|not before|starting in|starting from|beginning in|from",
    "<": "before|earlier than|older than|prior to",
    "<=": "until|till|up to|no later than|not after",
}
"""Words before a year or a date."""
_AMOUNTS: Final = {
    ">": "more than|greater than|larger than|longer than|over|above|exceeding|>",
    ">=": "at least|no less than|not less than|not fewer than|minimum|>=|≥",
    "<": "less than|fewer than|smaller than|shorter than|under|below|<",
    "<=": "at most|no more than|not more than|up to|maximum|<=|≤",
    "=": "exactly|equal to|equals|==|=|of|is|:",
}
"""Words before any number of a field that is named beside it."""
_BEHIND: Final = {
    ">=": "or later|or newer|or more|or above|and later|and newer|and above|onwards?|and onwards?",
    "<=": "or earlier|or older|or less|or fewer|or below|and earlier|and older|and below",
}
_COUNTS: Final = "one two three four five six seven eight nine ten eleven twelve".split()
_STRENGTH: Final = {"at least": ">=", "at most": "<=", "more than": ">", "fewer than": "<", "less than": "<"}


def _before(table: dict[str, str]) -> str:
    phrases = sorted((one for some in table.values() for one in some.split("|")), key=len, reverse=True)
    return "|".join(rf"\b{re.escape(one)}" if one[0].isalpha() else re.escape(one) for one in phrases)


_WORD: Final = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_RANGE: Final = re.compile(
    rf"(?:\b(?P<lead>between|from|in|during)\s+)?(?<![\w.,-])(?P<first>{_VALUE})\s*"
    rf"(?P<joint>\band\b|\bto\b|\buntil\b|\btill\b|\bthrough\b|-|–|—|\.\.)\s*(?P<last>{_VALUE})(?![\w-])",
    re.IGNORECASE,
)
_DECADE: Final = re.compile(
    r"(?:\b(?:in|of|from|during)\s+)?(?:\bthe\s+)?(?<![\w-])(?P<decade>[12][0-9]{2}0)['’]?s\b", re.IGNORECASE
)
_TIME: Final = re.compile(
    rf"(?P<how>{_before(_TIMES)})\s+(?:the\s+)?(?:year\s+)?(?P<value>{_VALUE})(?![\w-])"
    r"(?P<on>\s+(?:on|onwards?)\b)?",
    re.IGNORECASE,
)
_BEHIND_TIME: Final = re.compile(
    rf"(?:\b(?:in|from)\s+)?(?<![\w.,-])(?P<value>{_VALUE})\s+(?P<how>(?:{'|'.join(_BEHIND.values())}))(?!\w)",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(
    rf"(?:(?P<how>{_before(_AMOUNTS)})\s*)?(?<![\w.,-])(?P<value>{_VALUE})(?![\w-])", re.IGNORECASE
)
_YEAR: Final = re.compile(
    r"(?:\b(?P<lead>in|of|from|during)\s+)?(?:the\s+)?(?:year\s+)?(?<![\w.,$€£-])"
    r"(?P<value>[12][0-9]{3}(?:-[0-9]{2}(?:-[0-9]{2})?)?)(?![\w%-]|[.,][0-9])",
    re.IGNORECASE,
)
_AMOUNT_BEFORE: Final = re.compile(rf"(?:{_before(_AMOUNTS)})\s*$", re.IGNORECASE)
_PIECE: Final = (
    r"""(?:(?:the\s+)?(?:letters?|words?|prefix|suffix)\s+)?(?P<piece>"[^"]+"|“[^”]+”|'[^']+'|[^\s"“']+)"""
)
_LETTERS: Final = re.compile(
    r"(?P<lead>(?:\b(?:whose|with|and|the|a|an|that|which|having)\s+)*)(?:\b(?P<name>[^\W\d_]+)\s+)??"
    r"(?P<that>(?:\b(?:that|which)\s+)?)\b(?P<how>(?:starts?|starting|begins?|beginning|ends?|ending)\s+(?:with|in)"
    r"|contains?|containing)\s+" + _PIECE,
    re.IGNORECASE,
)
_NUMBER: Final = "|".join(["[0-9]{1,2}", *_COUNTS])
_STRONG: Final = "|".join(_STRENGTH)
_WORDS_OF: Final = re.compile(
    rf"(?:\b(?:whose|with|and|having|that|has|have)\s+)*(?:\b(?:the|a|an)\s+)?\b(?P<name>[^\W\d_]+)\s+(?:(?:of|with|has|have|having"
    rf"|is|are|contains?)\s+)?(?:exactly\s+)?(?:(?P<how>{_STRONG})\s+)?(?P<number>{_NUMBER})[\s-]words?(?:\s+long)?\b",
    re.IGNORECASE,
)
_WORDS_IN: Final = re.compile(
    rf"(?:\b(?:with|of|having|and|that|has|have)\s+)*(?:\b(?:a|an)\s+)?(?:exactly\s+)?(?:\b(?P<how>{_STRONG})\s+)?\b(?P<number>{_NUMBER})"
    r"[\s-]words?\s+(?:in\s+(?:the|its|their)\s+)?(?P<name>[^\W\d_]+)\b",
    re.IGNORECASE,
)


class Mention(NamedTuple):
    """A condition that characters [start, end) of a query ask for, and how sure that is, in [0, 1]."""

    start: int
    end: int
    condition: Filter
    confidence: float


def comparisons(query: str, table: FieldTable) -> Iterator[Mention]:
    """The comparisons of a query, those that come first are to be preferred where two overlap."""
    for finder in (_lengths, _ranges, _decades, _times, _amounts, _years, _letters):
        yield from finder(query, table)


def _ranges(query: str, table: FieldTable) -> Iterator[Mention]:
    for match in _RANGE.finditer(query):
        joint, lead = match["joint"].lower(), (match["lead"] or "").lower()
        if (joint == "and") != (lead == "between"):
            continue
        field = _field_of(query, match.start(), match.end(), table, match["first"], match["last"])
        if field is None or (not lead and field.guessed and joint[0] not in "-–—."):
            continue
        first, last = sorted((match["first"], match["last"]), key=_amount)
        yield from _mention(field, "in {0}..{1}", first, last)


def _decades(query: str, table: FieldTable) -> Iterator[Mention]:
    for match in _DECADE.finditer(query):
        first = match["decade"]
        # The 1900s are a century, the 2000s may be one some day.
        last = str(int(first) + (99 if first.endswith("00") and first != "2000" else 9))
        if (field := _field_of(query, match.start(), match.end(), table, first, last)) is not None:
            yield from _mention(field, "in {0}..{1}", first, last)


def _times(query: str, table: FieldTable) -> Iterator[Mention]:
    for pattern, tables in ((_TIME, _TIMES), (_BEHIND_TIME, _BEHIND)):
        for match in pattern.finditer(query):
            how = " ".join(match["how"].lower().split())
            if how == "from" and not match["on"]:
                continue
            operator = _operator(how, tables)
            field = _field_of(query, match.start(), match.end(), table, match["value"])
            if field is not None and field.timed:
                yield from _mention(field, f"{operator} {{0}}", match["value"])


def _amounts(query: str, table: FieldTable) -> Iterator[Mention]:
    for match in _AMOUNT.finditer(query):
        field = _field_of(query, match.start(), match.end(), table, match["value"])
        if field is not None and not field.guessed:
            operator = _operator(" ".join((match["how"] or "=").lower().split()), _AMOUNTS)
            yield from _mention(field, f"{operator} {{0}}", match["value"])


def _years(query: str, table: FieldTable) -> Iterator[Mention]:
    for match in _YEAR.finditer(query):
        field = _field_of(query, match.start(), match.end(), table, match["value"])
        if field is None or not field.timed:
            continue
        extent = {**table.years, **table.dates}[field.name]
        outside = not extent.least <= int(match["value"][:4]) <= extent.most
        if match["lead"] is None and (outside or _AMOUNT_BEFORE.search(query, 0, match.start())):
            continue  # more than 2000 people
        for one in _mention(field, "= {0}", match["value"]):
            yield one if match["lead"] is not None else one._replace(confidence=one.confidence * 0.7)


def _letters(query: str, table: FieldTable) -> Iterator[Mention]:
    for match in _LETTERS.finditer(query):
        quoted = match["piece"][0] in "\"“'"
        piece = match["piece"][1:-1] if quoted else match["piece"].rstrip(".,;:!?)")
        field = _text_named(match["name"], table)
        how = match["how"].lower()
        # Without a name it is the title, where letters are meant: not "beginning with what was said above".
        letters = not how.startswith("contain") and (quoted or len(piece) == 1 or match["that"])
        if not piece or not (field is not None or letters):
            continue
        start = match.start()
        if field is None and match["name"] is not None:
            start = match.start("that") if match["that"] else match.start("how")
        operator = next(
            one for one in ("starts with", "ends with", "contains") if how[:3] in (one[:3], "beg")
        )
        end = match.end() if quoted else match.start("piece") + len(piece)
        condition = f"{quote_name(field or TITLE)} {operator} {_quoted(piece)}"
        yield Mention(start, end, parse_filter(condition), 0.9 if field is not None else 0.6)


def _lengths(query: str, table: FieldTable) -> Iterator[Mention]:
    for pattern in (_WORDS_OF, _WORDS_IN):
        for match in pattern.finditer(query):
            if (field := _text_named(match["name"], table)) is None:
                continue
            written = match["number"].lower()
            number = _COUNTS.index(written) + 1 if written in _COUNTS else int(written)
            operator = _STRENGTH[" ".join(match["how"].lower().split())] if match["how"] else "="
            condition = parse_filter(f"words({quote_name(field)}) {operator} {number}")
            yield Mention(*match.span(), condition, 0.9)


class _Field(NamedTuple):
    """The field that a comparison is about, and the characters of both; `guessed`: it is not named."""

    name: str
    kind: str
    start: int
    end: int
    guessed: bool
    confidence: float

    @property
    def timed(self) -> bool:
        return self.kind in ("year", "date")


def _field_of(query: str, start: int, end: int, table: FieldTable, *values: str) -> _Field | None:
    """The field of numbers or dates that is named beside a comparison, else that of years where it has years."""
    numbers = {"number", "year"}
    dates = {"date"} if all(_is_time(value) for value in values) else set()
    for found in (named_before(query, start, table), named_after(query, end, table)):
        if found is not None and (kind := table.kind(found.name)) in numbers | dates:
            if kind in numbers and any("-" in value for value in values):
                continue
            return _Field(found.name, kind, min(start, found.start), max(end, found.end), False, 0.95)
    chosen = table.time_field(query)
    if chosen is None or not all(_is_time(value) for value in values):
        return None
    field, sure = chosen
    kind = table.kind(field)
    if kind == "year" and any("-" in value for value in values):
        return None
    return _Field(field, kind, start, end, True, sure)


class Named(NamedTuple):
    """A field and the characters of its name."""

    name: str
    start: int
    end: int


def named_before(query: str, end: int, table: FieldTable) -> Named | None:
    """The field whose name ends right before a place, but for signs and words such as `is`."""
    words = list(_WORD.finditer(query, 0, end))
    while words and words[-1].group().lower() in (
        "is",
        "are",
        "was",
        "were",
        "be",
        "of",
        "in",
        "the",
        "from",
        "on",
    ):
        words.pop()
    for terms, field in table.names:
        for count in (len(terms), len(terms) + 1):
            some = words[-count:]
            if (
                len(some) == count
                and name_terms(query[some[0].start() : some[-1].end()], table.analyzer) == terms
            ):
                return Named(field, some[0].start(), some[-1].end())
    return None


def named_after(query: str, start: int, table: FieldTable) -> Named | None:
    """The field whose name begins right after a place."""
    words = list(_WORD.finditer(query, start))[: 1 + max((len(terms) for terms, _ in table.names), default=0)]
    for terms, field in table.names:
        for count in (len(terms), len(terms) + 1):
            some = words[:count]
            if (
                len(some) == count
                and name_terms(query[some[0].start() : some[-1].end()], table.analyzer) == terms
            ):
                return Named(field, some[0].start(), some[-1].end())
    return None


def _text_named(word: str | None, table: FieldTable) -> str | None:
    """The field of strings that a word names."""
    if word is None:
        return None
    terms = name_terms(word, table.analyzer)
    return next((field for name, field in table.names if name == terms and field in table.texts), None)


def _mention(field: _Field, pattern: str, *values: str) -> Iterator[Mention]:
    """The condition of a pattern filled in; nothing where it is none, such as a range that ends before it begins."""
    written = [f'"{value}"' if field.kind == "date" else value.replace(",", "") for value in values]
    try:
        condition = parse_filter(f"{quote_name(field.name)} {pattern.format(*written)}")
    except FilterError:
        return
    yield Mention(field.start, field.end, condition, field.confidence)


def _operator(how: str, table: dict[str, str]) -> str:
    for operator, phrases in table.items():
        if any(re.fullmatch(phrase, how) for phrase in phrases.split("|")):
            return operator
    raise AssertionError(f"{how!r} is in no row")


def _amount(value: str) -> tuple[float, str]:
    """What orders numbers, and dates, as they are written."""
    return (float(value[:4]), value) if "-" in value else (float(value.replace(",", "")), value)


def _is_time(value: str) -> bool:
    return value[0] in "12" and (len(value) == 4 or value[4:5] == "-")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
