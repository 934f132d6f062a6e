"""A question taken apart by rules: several questions in one, comparisons, and questions about what another finds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from leanseek.errors import UsageError
from leanseek.rag.research.graph import Graph, Node
from leanseek.text.sentences import split_sentences

ASKING: Final = frozenset(
    "who whom whose what which when where why how whoever whatever who's what's where's when's how's why's".split()
)
"""Words that ask."""
VERBS: Final = frozenset(
    "is are was were am be been do does did has have had can could will would shall should may might must "
    "isn't aren't wasn't weren't don't doesn't didn't hasn't haven't can't couldn't won't wouldn't shouldn't "
    "ain't who's what's where's when's how's why's".split()
)
"""Words that begin a question to be answered with yes or no, or the verb of another."""
ORDERS: Final = frozenset(
    "name list give tell describe explain find show identify state define compare summarise summarize".split()
)
"""Words that begin a question in the form of an order."""
BEFORE: Final = frozenset(
    "in on at of by to for from with under over into about after before during since until through within "
    "without between among against near along besides outside according as also then so and".split()
)
"""Words that may stand before the one that asks."""
COORDINATORS: Final = re.compile(
    r"[,;]?\s+(?:and|or|but|plus|while|whereas)(?:,)?(?:\s+(?:also|then|secondly|finally))?,?\s+"
    r"|[,;]?\s+(?:as well as|along with|and also)\s+|\s+&\s+|;\s+|,\s+(?:also\s+)?(?=[a-z])",
    re.IGNORECASE,
)
"""What stands between two questions in one sentence."""
PRONOUNS: Final = re.compile(
    r"\b(he|she|it|they|him|them|his|her|hers|its|their|theirs)\b"
    r"(?!['’]|(?<=it) (?:called|known|that|when|said|possible)\b)",
    re.IGNORECASE,
)
"""Words for what was named before; in *it is called* the word stands for nothing."""
POSSESSIVE: Final = frozenset("his hers its their theirs".split())
SUBORDINATE: Final = frozenset("when where if although because since while unless once whether".split())
"""Words that may begin a clause that asks nothing; *when* and *where* ask before a verb."""
ADVERBS: Final = frozenset("when where why how who".split())
"""Words that ask alone: who founded it and when."""
ARTICLES: Final = frozenset("a an the".split())
STARTERS: Final = ASKING | VERBS | ORDERS | ARTICLES | BEFORE
"""Words whose capital letter at the beginning of a question says nothing."""
FORMAL: Final = frozenset(
    "name names kind kinds type types part parts number title rest most one ones end beginning start "
    "majority some any all many each both purpose".split()
)
"""What is *of* something without being another thing to look for: the name of the city that …"""

_WORD: Final = re.compile(r"[\w'’-]+")
_MARK: Final = re.compile(r"(?<=\?)\s+(?!(?:and|or|but)\b)", re.IGNORECASE)
_FIRST: Final = re.compile(r"^\W*[\w'’-]+\s*")
_AFTER_COMMA: Final = re.compile(
    r",\s+(?:[a-z]+\s+)?(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE
)
_NAME: Final = re.compile(r"\b(?!I\b)[A-Z][\w-]*(?:\s+(?:(?:of|de|von|van|the)\s+)*[A-Z][\w-]*)*")
_NUMBERED: Final = re.compile(r"^(?:\(?\d{1,2}[.)]|[-*•])\s+")

_COMPARE: Final = re.compile(
    r"^(?:please\s+)?(?:(?:can|could)\s+you\s+)?(?:compare|contrast)\s+(?P<a>.+?)\s+"
    r"(?:and|with|to|against|versus|vs\.?)\s+(?P<b>.+?)"
    r"(?:\s+(?:in terms of|with regard to|with respect to|regarding|by|for)\s+(?P<by>.+))?$",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(
    r"^.*\b(?:differences?|similarit(?:y|ies)|comparison|distinction)\s+(?:in\s+(?P<by>.+?)\s+)?"
    r"between\s+(?P<a>.+?)\s+and\s+(?P<b>.+)$",
    re.IGNORECASE,
)
_VERSUS: Final = re.compile(r"^(?P<a>.+?)\s+(?:vs\.?|versus)\s+(?P<b>.+?)(?::\s*(?P<by>.+))?$", re.IGNORECASE)
_CHOICE_FIRST: Final = re.compile(
    r"^(?P<a>[^,:]+?)\s+or\s+(?P<b>[^,:]+?)\s*[,:–—-]+\s*(?P<by>(?:which|who|what|where)\b.+)$", re.IGNORECASE
)
_CHOICE_LAST: Final = re.compile(
    r"^(?P<by>(?:which|who|what|where)\b[^,:]+?)\s*[,:–—]\s*(?P<a>[^,:]+?),?\s+or\s+(?P<b>[^,:]+)$",
    re.IGNORECASE,
)
_THAN: Final = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|can)\s+(?P<a>.+?)\s+(?P<by>(?:\w+er|more \w+|less \w+|better|worse))"
    r"\s+than\s+(?P<b>.+)$",
    re.IGNORECASE,
)
_BOTH: Final = re.compile(
    r"^(?P<verb>is|are|was|were|do|did|have|has)\s+(?:both\s+)?(?P<a>.+?)\s+and\s+(?P<b>.+?)\s+"
    r"(?:both\s+(?P<by>.+)|(?P<same>(?:(?:of|from|in|at|on|by|born in)\s+)?the\s+same\s+.+))$",
    re.IGNORECASE,
)
_COMPARISONS: Final = (_COMPARE, _BETWEEN, _CHOICE_FIRST, _CHOICE_LAST, _THAN, _BOTH, _VERSUS)
_BRIDGE: Final = re.compile(
    r"^(?P<outer>.*\bthe\s+(?P<what>[\w'’-]+(?:\s+[\w'’-]+){0,3}?)\s+of)\s+"
    r"(?P<inner>(?:the|a|an)\s+(?P<kind>[\w'’-]+(?:\s+[\w'’-]+){0,3}?)\s+"
    r"(?:that|which|who|whose|where|whom|in which|on which)\s+.+)$",
    re.IGNORECASE,
)
_LONGEST: Final = 2_000
"""Characters of a question that rules are tried on; a longer text is no question."""
_MANY: Final = 40
"""Coordinators of a sentence that rules are tried on; one with more is left whole, as it would take too long."""


def plan(question: str, max_nodes: int = 8) -> Graph:
    """The graph that rules make of a question; one node where none applies, never more than `max_nodes`.

    - Coordination: two questions joined by *and* or another coordinator become two nodes. What the second takes over
      is repeated: `when and where was Luther born`, `who founded Apple and when`; a pronoun in it gets the names of the
      first.
    - Comparison: `compare A and B`, `the difference between A and B`, `A or B: which is older`, `is A older than B`
      become one node a side.
    - Bridge: `the X of the Y that …` asks for the Y that … first, and then for the X of what was found.

    Raises UsageError for a blank question or `max_nodes` below 1.
    """
    if not question.strip():
        raise UsageError("the question is blank; give one")
    if max_nodes < 1:
        raise UsageError(f"max_nodes is {max_nodes}; give at least 1 (8 is usual)")
    parts = questions(question)
    nodes: list[Node] = []
    subject = ""
    for place, part in enumerate(parts):
        text, parents = resolved(part, subject, nodes)
        graphs = steps(text, len(nodes) + 1) if not parents else [Node(str(len(nodes) + 1), text, parents)]
        if len(graphs) + (place + 1 < len(parts)) > max_nodes - len(nodes):
            # What is left of the question goes into the last node.
            nodes.append(Node(str(len(nodes) + 1), " and ".join(parts[place:])))
            break
        # What comes after a bridge is about what that finds, not about the names in it.
        subject = (name_of(text) or subject) if len(graphs) == 1 else ""
        nodes += graphs
    return Graph(nodes)


def steps(question: str, first: int) -> list[Node]:
    """The nodes of a single question, numbered from `first`: its comparison, its bridge, or itself."""
    bare = question.rstrip(" ?.!")
    if len(bare) <= _LONGEST:
        for pattern in _COMPARISONS:
            match = pattern.match(bare)
            if match and all(_is_side(match[side]) for side in ("a", "b")):
                return [Node(str(first + place), text) for place, text in enumerate(sides(match))]
        match = _BRIDGE.match(bare)
        if (
            match
            and match["what"].split()[-1].casefold() not in FORMAL
            and not BEFORE & {*words(match["kind"])}
        ):
            asked = f"{match['outer']} the {match['kind']} {{{first}}}"
            return [Node(str(first), match["inner"]), Node(str(first + 1), asked, (str(first),))]
    return [Node(str(first), question)]


def sides(match: re.Match[str]) -> list[str]:
    """What is asked of each side of a comparison."""
    found = match.groupdict()
    by = found.get("same") or found.get("by") or ""
    return [f"{found[side].strip(' ,')}: {by}" if by else found[side].strip(" ,") for side in ("a", "b")]


def _is_side(text: str) -> bool:
    """Whether a text can be the name of a thing that is compared."""
    found = words(text)
    return bool(found) and found[0] not in ASKING | BEFORE | SUBORDINATE and found[-1] not in ("or", "and")


def questions(text: str) -> list[str]:
    """The questions in a text, each so that it can be asked alone; the text itself where it is one."""
    whole = " ".join(text.split())
    if len(text) > _LONGEST:
        return [whole]
    found: list[str] = []
    pending: list[str] = []
    for sentence in _sentences(text):
        pending.append(sentence)
        if asks(sentence):
            # A statement before a question says what it is about.
            found += split(" ".join(pending))
            pending = []
    if not found:
        return [whole]
    if pending:
        found[-1] = " ".join([found[-1], *pending])
    return list(dict.fromkeys(found))


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        line = _NUMBERED.sub("", line.strip())
        for start, end in split_sentences(line):
            yield from (part for part in _MARK.split(line[start:end]) if part)


def split(sentence: str) -> list[str]:
    """The questions that coordinators join in a sentence."""
    cut = best_cut(sentence)
    if cut is None:
        return [sentence]
    head, tail = completed(sentence[: cut.start()].rstrip(" ,;"), sentence[cut.end() :])
    return [*split(head), *split(tail)]


def best_cut(sentence: str) -> re.Match[str] | None:
    """The coordinator between two questions after which the second begins most plainly; None without one."""
    found = list(COORDINATORS.finditer(sentence))
    if len(found) > _MANY:
        return None
    cuts = [
        (plainness(sentence[: match.start()], sentence[match.end() :], match[0]), -match.start(), match)
        for match in found
    ]
    strength, _, match = max(cuts, key=lambda cut: cut[:2], default=(0, 0, None))
    return match if strength else None


def plainness(head: str, tail: str, coordinator: str) -> int:
    """How plain it is that a coordinator stands between two questions, from 1 to 4; 0: it does not."""
    before, after = words(head), words(tail)
    if not before or not after or not asks(head):
        return 0
    if before[0] in VERBS | ORDERS and after[0] in VERBS | ORDERS and coordinator.strip(" ,;"):
        return 2
    if {"do", "does", "did"} & {after[0]} and after[1:2] and after[1] in ARTICLES and complete(before):
        return 2
    opening = next((place for place, word in enumerate(after) if word not in BEFORE), len(after))
    opens = opening < len(after) and after[opening] in ASKING and asks(tail)
    if not coordinator.strip(" ,;"):
        # A comma joins questions where both begin with the word that asks: "who was it, when was it, …"
        joins = (
            ASKING & {*before[:3]} and VERBS & {*after[:6]} and not {"which", "whose", "whom"} & {after[0]}
        )
        return int(opens and complete(before) and bool(joins))
    if opens:
        alone = len(after) == opening + 1
        if alone:
            return 3 if before[0] in ASKING and after[-1] in ADVERBS and complete(before) else 0
        return 4 if complete(before) or shared(head, tail) else 0
    if after[0] in BEFORE | SUBORDINATE and _AFTER_COMMA.search(tail) and complete(before):
        return 3  # "and apart from that, what …"
    # The word that asks stands inside the second question: "and Sky is now known by what name".
    inside = any(word in ASKING - SUBORDINATE for word in after)
    return int(inside and complete(before) and complete(after))


def complete(asked: list[str]) -> bool:
    """Whether the words are a question with a verb of its own, as far as words can tell."""
    if len(asked) < 3:
        return False
    verb = asked[0] == "what" and asked[1].endswith(("s", "ed"))  # "what causes rain"
    return asked[0] == "who" or verb or len(asked) > 4 or any(word in VERBS for word in asked)


def shared(head: str, tail: str) -> str:
    """What the second of two questions says of both: "when" and "where was Luther born"; empty where nothing."""
    before, after = words(head), words(tail)
    verb = next((word for word in after if word in VERBS), None)
    # "when", "which year", "how many towns"; but "who wrote it" is whole.
    phrase = len(before) == 1 or (len(before) <= 3 and before[0] != "who")
    if verb is None or not phrase or any(word in VERBS for word in before):
        return ""
    match = re.search(rf"(?<![\w'’-]){re.escape(verb)}(?![\w'’-]).*", tail, re.IGNORECASE | re.DOTALL)
    return match[0] if match else ""


def completed(head: str, tail: str) -> tuple[str, str]:
    """Two coordinated questions, each with what it shares with the other."""
    if common := shared(head, tail):
        return f"{head} {common}", tail
    after = [word for word in words(tail) if word not in BEFORE]
    if len(after) == 1 and after[0] in ASKING:
        # "who founded Apple and when"
        return head, f"{tail.rstrip(' ?.!')} {_FIRST.sub('', head)}"
    return head, tail


def asks(text: str) -> bool:
    """Whether a text holds a question, as far as words can tell."""
    found = words(text)
    if text.rstrip().endswith("?") or (found and found[0] in VERBS | ORDERS):
        return True
    return any(
        word in ASKING
        and (word not in SUBORDINATE or not found[place + 1 :] or found[place + 1] in VERBS | {"and", "or"})
        for place, word in enumerate(found)
    )


def resolved(part: str, subject: str, earlier: Sequence[Node]) -> tuple[str, tuple[str, ...]]:
    """A question with the subject of the one before it for a pronoun near its beginning, and the parents it needs.

    Without a subject the pronoun stands for what the node before it finds.
    """
    match = PRONOUNS.search(part)
    if not earlier or match is None or name_of(part) or len(words(part[: match.start()])) > 4:
        return part, ()
    owner = match[0].casefold() in POSSESSIVE or (
        match[0].casefold() == "her" and re.match(r"\s+\w", part[match.end() :]) is not None
    )
    stands_for = subject or f"{{{earlier[-1].name}}}"
    text = f"{part[: match.start()]}{stands_for}{chr(39) + 's' if owner else ''}{part[match.end() :]}"
    return text, () if subject else (earlier[-1].name,)


def name_of(question: str) -> str:
    """The first name in a question, but for its first word where that is usual; empty where there is none."""
    first = words(question)[:1]
    match = _NAME.search(_FIRST.sub("", question) if first and first[0] in STARTERS else question)
    return match[0] if match else ""


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [match[0].casefold().replace("’", "'") for match in _WORD.finditer(text)]
