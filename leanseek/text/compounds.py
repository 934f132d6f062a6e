"""Words with an inner structure: numbers, versions, codes, identifiers, initials, and names with signs.

`AB-123/5`, `3.11.4`, `put_order` and `getUserById` are terms as a whole and by their parts, so that either finds
them; `3.14`, `1,000`, `U.S.A.`, `C++`, `C#` and `R&D` are terms as a whole alone. The whole of a code is without the
signs between its parts, but for those between two digits: `IL-6` is `IL6`, and `12/35` is not `123/5`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from leanseek.text.letters import CLASSES

WORD: Final = "[lud][ludmz]*+"
COMPOUND: Final = f"{WORD}(?:[-./_:,&']{WORD})*+"

LONGEST_CODE: Final = 64
"""Characters of a code or identifier; what is longer, such as an address or encoded data, is only its parts."""
_SHORT: Final = 3
"""Letters that a word without digits has at most in a code: `COVID-19-related` is worth no term of its own."""

_ELEMENT: Final = re.compile(
    # A chemical name's numbers of places, 1,2-dichloroethane, and the day of a moment, 2024-03-01T12:15.
    r"(?P<series>(?<!d[.,])d{1,2}(?:,d{1,2})++(?=-[lu])|(?<![ludmz][-/.])dddd-dd-dd(?=udd:))"
    # Thousands and decimals belong to a number; a unit may follow them.
    r"|(?P<number>(?<!d[.,])(?:d{1,3}(?:,ddd)++(?:\.d++)?|d++\.d++)(?!d|[.,]d)|(?<!d[.,])d++(?![ludmz]|[.,]d))"
    r"|(?P<initials>(?<![ludmz]\.)[lu]m*+(?:\.[lu]m*+)++(?!\.?[ludmz]))"
    rf"|(?P<word>{WORD})"
)
_LATIN: Final = frozenset({"eg", "ie"})
_DIGITS: Final = re.compile("d+")
_UPPER, _LOWER = (f"{kind}[mz]*+" for kind in "ul")
_CAMEL: Final = re.compile(f"{_LOWER}u|{_UPPER}{_UPPER}{_LOWER}l")
_HUMP: Final = re.compile(
    f"(?:{_UPPER})+(?={_UPPER}{_LOWER}l)|(?:{_UPPER})?(?:{_LOWER})++d*+|(?:{_UPPER})++d*+|d++|."
)


class Term(NamedTuple):
    """A term at the characters [start, end); `plain`: it is a word, which may be left out or stemmed."""

    text: str
    start: int
    end: int
    plain: bool


class _Element(NamedTuple):
    """A word or number of a compound; `sign` binds it to the one before it, "" where none does."""

    kind: str
    start: int
    end: int
    sign: str


class Compounds:
    """Finds the terms of compounds: words with single signs between them, or without any."""

    def __init__(self, fold: Callable[[str], str], *, english: bool) -> None:
        """`english` leaves out what is no word there: `'s`, the t of `isn't`, the I of `I'm`, and `e.g.`."""
        self._fold = fold
        self._english = english

    def terms(self, text: str, classes: str, start: int, end: int) -> list[Term]:
        """The terms of the compound at [start, end) of a text, in order of their starts, a whole before its parts."""
        found: list[Term] = []
        group: list[_Element] = []
        previous = ""
        for match in _ELEMENT.finditer(classes, start, end):
            at, stop = match.span()
            sign = classes[at - 1] if at > start else ""
            binding = _binding(classes, at, stop)
            if sign not in previous or sign not in binding:
                sign = ""
            previous = binding
            if group and not sign:
                self._add_group(found, text, classes, group)
                group.clear()
            if not (self._english and _is_remainder(text, classes, at, stop)):
                group.append(_Element(str(match.lastgroup), at, stop, sign))
        if group:
            self._add_group(found, text, classes, group)
        return found

    def _add_group(self, found: list[Term], text: str, classes: str, group: Sequence[_Element]) -> None:
        """Add the terms of elements that are bound together, or of one alone."""
        led = len(group) == 1
        if not led:
            start, end = group[0].start, group[-1].end
            signs = {element.sign for element in group[1:]}
            if end - start <= LONGEST_CODE:
                if signs & {"&", "_"} or classes.find("d", start, end) >= 0:
                    found.append(Term(self._joined(text, group), start, end, False))
                # Of 3.11.4 also 3.11.
                dotted = _dotted(classes, group)
                for size in (3, 2):
                    if size <= dotted and size < len(group):
                        parts = group[:size]
                        found.append(Term(self._joined(text, parts), start, parts[-1].end, False))
            if "&" in signs:
                group = [element for element in group if _letters(classes, element.start, element.end) > 1]
        for element in group:
            self._add_element(found, text, classes, element, led=led)

    def _add_element(
        self, found: list[Term], text: str, classes: str, element: _Element, *, led: bool
    ) -> None:
        """Add the terms of a word or number by itself; `led`: a dot before it would be its own."""
        kind, start, end, _ = element
        whole = self._text(text, element)
        if kind == "series":
            found.append(Term(whole, start, end, False))
            digits = [match.span() for match in _DIGITS.finditer(classes, start, end)]
            found.extend(Term(self._fold(text[at:stop]), at, stop, False) for at, stop in digits)
            return
        dot = led and start > 0 and classes[start - 1] == "."
        dot = dot and (start == 1 or classes[start - 2] not in "ludmzcLVTHJs.")
        if kind == "number":
            whole = f"0.{whole}" if dot and "." not in whole else whole
            found.append(Term(whole, start - dot, end, False))
            return
        if kind == "word" and classes.find("d", start, end) < 0:
            if dot and len(whole) > 1:
                found.append(Term(f".{whole}", start - 1, end, False))
            elif classes.startswith("++", end):
                found.append(Term(f"{whole}++", start, end + 2, False))
                if len(whole) == 1:
                    return
            elif len(whole) == 1 and classes.startswith("#", end):
                found.append(Term(f"{whole}#", start, end + 1, False))
                return
        if kind == "initials" and self._english and whole in _LATIN:
            return
        # Initials of two letters may look like a stop word: I.T.
        plain = len(whole) > 2 if kind == "initials" else not _is_label(text, start, end)
        found.append(Term(whole, start, end, plain))
        if kind == "word" and 3 < end - start <= LONGEST_CODE and _CAMEL.search(classes, start, end):
            humps = [match.span() for match in _HUMP.finditer(classes, start, end)]
            humps = [
                (at, stop) for at, stop in humps if _letters(classes, at, stop) > 1 and classes[at] != "d"
            ]
            if len(humps) > 1:
                found.extend(Term(self._fold(text[at:stop]), at, stop, True) for at, stop in humps)

    def _joined(self, text: str, group: Sequence[_Element]) -> str:
        """The whole of a code: its elements, and signs where two digits would meet."""
        parts: list[str] = []
        for element in group:
            part = self._text(text, element)
            if parts and part and (element.sign == "&" or (parts[-1][-1:].isdigit() and part[0].isdigit())):
                parts.append(element.sign)
            parts.append(part)
        # v3.11 is 3.11.
        if len(group) > 1 and group[1].sign == "." and parts[0][:1] == "v" and parts[0][1:].isdigit():
            parts[0] = parts[0][1:]
        return "".join(parts)

    def _text(self, text: str, element: _Element) -> str:
        """The element folded: a number without separators of thousands, initials without dots."""
        kind, start, end, _ = element
        part = text[start:end]
        if kind == "word":
            return self._fold(part)
        if not part.isascii():
            # Other scripts' digits, separators and hyphens.
            part = "".join(
                sign if sign in ".,-" else self._fold(char)
                for char, sign in zip(part, part.translate(CLASSES), strict=True)
            )
        if kind == "initials":
            return part.replace(".", "").lower()
        return part.replace(",", "") if kind == "number" else part


def _binding(classes: str, start: int, end: int) -> str:
    """The signs by which the word or number there may be bound to its neighbours."""
    if classes.find("d", start, end) >= 0:
        return "&_-/:."
    return "&_-/:" if _letters(classes, start, end) <= _SHORT else "&_"


def _is_label(text: str, start: int, end: int) -> bool:
    """Whether it is an A with a sign beside it, which is no article: hepatitis A/B."""
    return text[start:end] == "A" and text[end : end + 1] in tuple("-/") and text[end + 1 : end + 2].isalnum()


def _letters(classes: str, start: int, end: int) -> int:
    """The letters and digits there, without marks."""
    return end - start - classes.count("m", start, end) - classes.count("z", start, end)


def _is_remainder(text: str, classes: str, start: int, end: int) -> bool:
    """Whether it is the one letter that a contraction leaves before or behind its apostrophe."""
    if _letters(classes, start, end) != 1:
        return False
    if text[start] in "iI" and classes.startswith("'l", end):
        return True
    if start == 0 or classes[start - 1] != "'":
        return False
    return text[start] in "sS" or (start > 1 and classes[start - 2] in "ludmz")


def _dotted(classes: str, group: Sequence[_Element]) -> int:
    """How many numbers with dots between them the group begins with."""
    count = 1
    while count < len(group) and group[count].sign == ".":
        if _DIGITS.fullmatch(classes, group[count].start, group[count].end) is None:
            break
        count += 1
    return count
