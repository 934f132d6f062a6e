"""Topics in markup: TREC's SGML with and without end tags, XML under any root, and Indri's parameter files.

No parser of XML or HTML reads them all: `<num> Number: 301 <title> A & B` has no end tags and a bare ampersand, and
HTML has rules of its own for `<title>`. Reading takes time in proportion to the text, whatever it is.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from leanseek.reading.streams import Place
from leanseek.types import Query

_MARKUP: Final = re.compile(r"<(?=[A-Za-z/!?])")
_TAG: Final = re.compile(r"""<(/?)([A-Za-z][\w.:-]*+)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+|[^<>]*+)>""")
_ATTRIBUTE: Final = re.compile(r"""(?<![\w:.-])([\w:.-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'/]++))""")
_NUMBERED: Final = re.compile(r"(?:number|topic)\s*:\s*(\S+)", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?:topic|description)\s*:\s*", re.IGNORECASE)
_LANGUAGE: Final = re.compile(r"[a-z]{2}-(?=[a-z])")
_OPERATOR: Final = re.compile(r"#[\w.]++(?::[^\s(]++)?\s*+\(")
_COMBINED: Final = re.compile(r"#(?:combine|and|sum)\s*+\(([^#()]*+)\)", re.IGNORECASE)

_TOPICS: Final = ("top", "topic", "query", "question")
_NUMBERS: Final = ("num", "number", "id", "qid", "identifier", "topic_id", "query_id")
_TITLES: Final = ("title", "query", "text", "question", "content", "desc", "description")
_INLINE: Final = frozenset("b i u em strong sub sup span font a tt code br p".split())


def is_markup(row: str) -> bool:
    """Whether a line begins with a tag, a comment or a declaration."""
    return _MARKUP.match(row.lstrip()) is not None


class _Tag(NamedTuple):
    """A tag in lower case, without the prefix of a name space; `line` is where it begins."""

    name: str
    closing: bool
    attributes: str
    line: int

    @property
    def is_topic(self) -> bool:
        return not self.closing and (self.name in _TOPICS or self.name.endswith(("_topic", "-topic")))

    @property
    def is_empty(self) -> bool:
        return self.attributes.endswith("/")


def read_topics(rows: Iterable[str], place: Place) -> Iterator[Query]:
    """The queries of a file of topics: elements `<top>`, `<topic>`, `<query>` or `<question>` under any root.

    The id is an attribute such as `number`, or an element such as `<num>`; `Number: 051` is 51, as in the judgments.
    The text is the title, or the query, question or description; of a topic of other elements, all their texts.

    Raises InputError with the line for a topic without an id, a comment or topic that does not end, Indri's operators,
    and markup without topics.
    """
    topic: _Tag | None = None
    inside: list[_Tag | str] = []
    first: _Tag | None = None
    found = ended = False
    for part in _parts("".join(rows), place):
        if isinstance(part, str):
            inside.append(part)
            continue
        first = first or part
        if part.is_topic and (topic is None or part.name == topic.name):
            if topic is not None:
                yield _query(topic, inside, place)
            topic, inside, found = part, [], True
            if not part.is_empty:
                continue
        elif topic is None or not (part.closing and part.name == topic.name):
            inside.append(part)
            continue
        yield _query(topic, inside, place)
        topic, ended = None, True
    if topic is not None:
        place.line = topic.line
        if ended:
            raise place.error(f"the topic that begins here has no </{topic.name}>: the file is cut off")
        yield _query(topic, inside, place)
    if not found:
        place.line = first.line if first is not None else 1
        known = ", ".join(f"<{name}>" for name in _TOPICS)
        tag = f"; the first tag is <{first.name}>" if first is not None else ""
        raise place.error(f"this markup has no topics that are read ({known}){tag}")


def _parts(text: str, place: Place) -> Iterator[_Tag | str]:
    """The tags and the texts between them, entities resolved; comments and declarations are passed over."""
    done = position = counted = 0
    line = 1
    while (found := _MARKUP.search(text, position)) is not None:
        start = found.start()
        line += text.count("\n", counted, start)
        counted = start
        if text.startswith(("<!", "<?"), start):
            opening, end = next(
                marks for marks in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", ">"), ("<!", ">"))
                if text.startswith(marks[0], start)
            )  # fmt: skip
            close = text.find(end, start + len(opening))
            if close < 0:
                place.line = line
                raise place.error(f"what begins here with {opening} has no {end}: the file is cut off")
            yield _unescaped(text[done:start])
            if opening == "<![CDATA[":
                yield text[start + len(opening) : close]
            done = position = close + len(end)
            continue
        tag = _TAG.match(text, start)
        if tag is None:
            position = start + 1
            continue
        yield _unescaped(text[done:start])
        name = _LANGUAGE.sub("", tag[2].lower().rpartition(":")[2], count=1)
        yield _Tag(name, tag[1] == "/", tag[3].rstrip(), line)
        done = position = tag.end()
    yield _unescaped(text[done:])


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number of thousands of digits
        return text


def _query(topic: _Tag, inside: Sequence[_Tag | str], place: Place) -> Query:
    place.line = topic.line
    fields = _Fields(inside)
    attributes = {
        name.lower().rpartition(":")[2]: _unescaped(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(topic.attributes)
    }
    id = next((attributes[name] for name in _NUMBERS if attributes.get(name)), "")
    number = "" if id else next((name for name in _NUMBERS if fields.text(name)), "")
    id = id or fields.text(number)
    if not id:
        raise place.error('the topic has no number: neither <num> nor an attribute such as number="1"')
    if numbered := _NUMBERED.match(id):
        id = (numbered[1].lstrip("0") or "0") if numbered[1].isdecimal() else numbered[1]
    title = next((text for name in _TITLES if (text := fields.text(name))), "")
    title = title or next((attributes[name] for name in _TITLES if attributes.get(name)), "")
    # Some tracks' topics are a bare text, or a set of named facets, which together are the query.
    title = title or fields.all_but(number)
    if label := _LABEL.match(title):
        title = title[label.end() :]
    if _OPERATOR.match(title):
        combined = _COMBINED.fullmatch(title)
        if combined is None:
            raise place.error(
                f"Indri's operators are not read ({title[:40]}); write the query's words, without or within one "
                "#combine( )"
            )
        title = combined[1]
    return Query(id, title)


class _Fields:
    """The elements of a topic. One without an end tag ends where the next begins."""

    def __init__(self, inside: Sequence[_Tag | str]) -> None:
        ended = {part.name for part in inside if isinstance(part, _Tag) and part.closing}
        self._texts: list[str] = []
        self._spans: dict[str, tuple[int, int]] = {}
        self._open: list[tuple[str, int]] = []
        names: Counter[str] = Counter()
        for part in inside:
            if isinstance(part, str):
                self._texts.append(part)
                continue
            if part.name in _INLINE:
                self._texts.append(" " if part.name in ("br", "p") else "")
                continue
            self._texts.append(" ")
            if part.closing:
                while names[part.name]:
                    closed = self._close()
                    names[closed] -= 1
                    if closed == part.name:
                        break
            elif not part.is_empty:
                while self._open and self._open[-1][0] not in ended:
                    names[self._close()] -= 1
                self._open.append((part.name, len(self._texts)))
                names[part.name] += 1
        while self._open:
            self._close()

    def _close(self) -> str:
        name, start = self._open.pop()
        if start < self._spans.get(name, (len(self._texts) + 1, 0))[0]:
            self._spans[name] = (start, len(self._texts))
        return name

    def text(self, name: str) -> str:
        """The text of the first element of a name, elements inside included; "" if there is none."""
        start, end = self._spans.get(name, (0, 0))
        return " ".join("".join(self._texts[start:end]).split())

    def all_but(self, name: str) -> str:
        """The text of the topic without that of one element."""
        start, end = self._spans.get(name, (0, 0))
        return " ".join("".join([*self._texts[:start], *self._texts[end:]]).split())
