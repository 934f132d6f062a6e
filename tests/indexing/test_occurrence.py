"""Where a phrase occurs in a text: against looking at every place, and in time linear in the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.indexing.occurrence import PhraseMatcher, Places, Sequences, plain_matcher
from leanseek.text import Span, load_analyzer

FEW = st.lists(st.sampled_from(["oil", "Pumps", "the"]), max_size=9).map(" ".join)
TEXTS = FEW | st.lists(st.sampled_from("oil pump the of Pumps re-seal x, É".split()), max_size=9).map(
    " ".join
)
PHRASES = st.lists(st.sampled_from(["oil", "pump", "the", "seal"]), min_size=1, max_size=4).map(" ".join)


def occurs_somewhere(text: Places, phrase: Places) -> bool:
    """Whether each place of the phrase shares a term with a place of the text, one after the other."""
    starts = range(len(text) - len(phrase) + 1)
    return any(all(text[at + n] & place for n, place in enumerate(phrase)) for at in starts)


@pytest.mark.parametrize("name", ["english", "simple", "lucene"])
@given(text=TEXTS, phrase=PHRASES)
def test_a_phrase_occurs_where_its_places_do(name: str, text: str, phrase: str) -> None:
    sequences = Sequences(load_analyzer(name))
    places = sequences.places(phrase)
    expected = occurs_somewhere(sequences.places(text), places)
    assert PhraseMatcher(places, sequences).occurs(text) == expected
    plain = plain_matcher(places)
    assert plain is None or plain(text) == expected


class WithParts:
    """An analyser that gives a word whole and its parts, as `oilPump` is found by `oil` and `pump` too."""

    spec = "test"

    def spans(self, text: str) -> list[Span]:
        found, at = [], 0
        for word in text.split(" "):
            if word:
                found.append(Span(word, at, at + len(word)))
            start = at
            for part in word.split("_"):
                if part != word:
                    found.append(Span(part, start, start + len(part)))
                start += len(part) + 1
            at += len(word) + 1
        return found

    def tokens(self, text: str) -> list[str]:
        return [span.token for span in self.spans(text)]


@pytest.mark.parametrize(
    ("phrase", "text", "occurs"),
    [
        ("oil_pump", "an oil_pump here", True),
        ("oil pump", "an oil_pump here", True),
        ("oil_pump", "an oil pump here", True),
        ("pump here", "an oil_pump here", True),
        ("an oil_pump", "an oil_pump", True),
        ("oil here", "an oil_pump here", False),
        ("oil_seal", "an oil_pump here", False),
        ("an oil pump", "an oil oil pump", False),
        ("oil oil pump", "an oil oil oil pump", True),
    ],
)
def test_a_word_and_its_parts_begin_at_one_place(phrase: str, text: str, occurs: bool) -> None:
    sequences = Sequences(WithParts())
    assert PhraseMatcher(sequences.places(phrase), sequences).occurs(text) is occurs


def test_what_the_analyser_leaves_out_is_compared_as_written() -> None:
    sequences = Sequences(load_analyzer("english"))
    matcher = PhraseMatcher(sequences.places("bank of America"), sequences)
    assert matcher.occurs("the Bank OF america") and not matcher.occurs("the bank for America")
    assert not matcher.occurs("bank America")


@pytest.mark.parametrize("unit", ["oil ", "the ", "oil", "水泵", "ﬁ½", "a-", "oil the ", "!? "])
def test_time_is_linear_in_the_text(unit: str) -> None:
    sequences = Sequences(load_analyzer("english"))
    text = unit * (300_000 // len(unit.encode()))
    for phrase in (unit * 40 + " end", f"{text[:20_000]} end"):
        places = sequences.places(phrase)
        started = time.process_time()
        occurs = plain_matcher(places) or PhraseMatcher(places, sequences).occurs
        assert not occurs(text)
        assert time.process_time() - started < 20
