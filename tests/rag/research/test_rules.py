"""Questions taken apart by rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from leanseek.errors import UsageError
from leanseek.rag.research import Graph, plan

APART = {
    "Where was Martin Luther born and where did he die?": [
        "Where was Martin Luther born",
        "where did Martin Luther die?",
    ],
    "When and where was Luther born?": ["When was Luther born?", "where was Luther born?"],
    "Which year and what town was the war in?": ["Which year was the war in?", "what town was the war in?"],
    "Who founded Apple and when?": ["Who founded Apple", "when founded Apple"],
    "Who founded Apple, when did it go public and what is its market value?": [
        "Who founded Apple",
        "when did Apple go public",
        "what is Apple's market value?",
    ],
    "How tall is the tower, but who designed it?": ["How tall is the tower", "who designed {1}?"],
    "How is oxygen made as well as in what year was it found?": [
        "How is oxygen made",
        "in what year was {1} found?",
    ],
    "What is a plague; how does it spread?": ["What is a plague", "how does {1} spread?"],
    "What do pharmacists do and Sky is now known by what name?": [
        "What do pharmacists do",
        "Sky is now known by what name?",
    ],
    "What causes rain and apart from that, what causes snow?": [
        "What causes rain",
        "apart from that, what causes snow?",
    ],
    "Is it safe and does it work?": ["Is it safe", "does {1} work?"],
    "Who wrote Faust? Who set it to music?": ["Who wrote Faust?", "Who set Faust to music?"],
    "1. What is ozone?\n2) Who found argon?": ["What is ozone?", "Who found argon?"],
    "list the kings of France and name the queens of Spain": [
        "list the kings of France",
        "name the queens of Spain",
    ],
    "How high were the winds around St. Augustine in 1871 and when was Wisconsin v. Yoder decided?": [
        "How high were the winds around St. Augustine in 1871",
        "when was Wisconsin v. Yoder decided?",
    ],
    # Comparisons.
    "Compare Python and Ruby in terms of speed": ["Python: speed", "Ruby: speed"],
    "Please contrast the old town with the new one.": ["the old town", "the new one"],
    "What is the difference between lists and tuples?": ["lists", "tuples"],
    "Python or Ruby: which is older?": ["Python: which is older", "Ruby: which is older"],
    "Which is older, Python or Ruby?": ["Python: Which is older", "Ruby: Which is older"],
    "Is the Rhine longer than the Elbe?": ["the Rhine: longer", "the Elbe: longer"],
    "Were Scott Derrickson and Ed Wood of the same nationality?": [
        "Scott Derrickson: of the same nationality",
        "Ed Wood: of the same nationality",
    ],
    "Python vs Ruby": ["Python", "Ruby"],
    # Bridges.
    "What is the capital of the country that won the 1998 World Cup?": [
        "the country that won the 1998 World Cup",
        "What is the capital of the country {1}",
    ],
    "Who was the director of the film that won in 1994 and when was he born?": [
        "the film that won in 1994",
        "Who was the director of the film {1}",
        "when was {2} born?",
    ],
}

WHOLE = [
    "What happened between 1990 and 2000?",
    "What do Oxfam and Credit Suisse believe?",
    "Which city is on the Rhine and is the capital of Hesse?",
    "Who wrote Faust and directed the theatre in Weimar?",
    "When rich countries trade with poor countries, whose wages increase?",
    "In an ideal moral society, what would all citizens be free from?",
    "To whom did Rep. Joe Barton write a letter?",
    "What must m be greater than or equal to when dividing?",
    "The university has programs in arts, music and what other subjects?",
    "In the layered model, the mantle has two layers below it. What are they?",
    "What is the name of the river that lies outside of Jacksonville?",
    "What do tribes use Google Earth and GPS for?",
    "cheap and cheerful hotels",
    "how do I open a file and read its lines",
    "Wann wurde Luther geboren und wo starb er?",
    "谁发明了电话？",
]


@pytest.mark.parametrize("question", APART)
def test_what_is_taken_apart(question: str) -> None:
    assert [node.question for node in plan(question).nodes] == APART[question]


@pytest.mark.parametrize("question", WHOLE)
def test_what_stays_whole(question: str) -> None:
    assert [node.question for node in plan(question).nodes] == [question]


def test_who_waits_for_whom() -> None:
    def parents(question: str) -> list[tuple[str, ...]]:
        return [node.parents for node in plan(question).nodes]

    assert parents("Who was the director of the film that won in 1994 and when was he born?") == [
        (),
        ("1",),
        ("2",),
    ]
    assert parents("Where was Luther born and where did he die?") == [(), ()]
    assert parents("What is a plague; how does it spread?") == [(), ("1",)]


def test_what_does_not_fit_is_asked_together() -> None:
    question = "Who was A and who was B and who was C and who was D?"
    assert len(plan(question, 8)) == 4
    assert [node.question for node in plan(question, 3).nodes] == [
        "Who was A",
        "who was B",
        "who was C and who was D?",
    ]
    assert [node.question for node in plan(question, 1).nodes] == [
        "Who was A and who was B and who was C and who was D?"
    ]
    bridge = "What is the capital of the country that won the World Cup?"
    assert [node.question for node in plan(bridge, 1).nodes] == [bridge]


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="blank"):
        plan(" \n")
    with pytest.raises(UsageError, match="max_nodes is 0"):
        plan("what?", 0)


WORDS = "who what when and or , ? . : the of that between is did it he compare Luther country vs than same both {1}"


@given(
    some.lists(some.sampled_from(WORDS.split()), min_size=1, max_size=40).map(" ".join), some.integers(1, 8)
)
def test_any_text_becomes_a_graph_within_the_limit(text: str, most: int) -> None:
    graph = plan(text, most)
    assert isinstance(graph, Graph) and 1 <= len(graph) <= most
    assert plan(text, most) == graph


@given(some.text(min_size=1).filter(str.strip))
def test_any_characters_become_a_graph(text: str) -> None:
    assert len(plan(text)) <= 8


@pytest.mark.parametrize(
    "words", ["who is it and ", "is a and ", "compare and ", "the a of the b that ", "what? "]
)
def test_what_is_no_question_stays_whole_or_within_the_limit(words: str) -> None:
    assert len(plan(words * 20_000)) == 1
    assert len(plan((words * 2_000)[:1_999])) <= 8
