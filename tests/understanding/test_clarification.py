"""Questions back: what their options are true of, when none is asked, and what an answer is worth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.understanding.clarification import BEST, COMMONEST, OVERLAP, RAREST, asked_of, competing

SUBJECTS = ("whales", "poetry", "engines", "volcano")


def about(subject: str, number: int) -> str:
    """A text with the word river in it, about a subject or about none of them."""
    return f"river number{number} {subject} river stone" if subject else f"river number{number} stone"


@pytest.fixture
def rivers(tmp_path: Path) -> Searcher:
    """Sixty texts on rivers, of which a fifth is about each of four subjects; half are English, a few are old."""
    documents = [
        Document(
            f"d{number:02}",
            about((*SUBJECTS, "")[number % 5], number),
            "",
            {"era": "old" if number < 3 else "new"},
        )
        for number in range(60)
    ]
    Index.create(tmp_path / "i", encoder=None).add(documents)
    return Searcher.open(tmp_path / "i")


def test_options_are_what_some_hits_have_and_others_have_not(rivers: Searcher) -> None:
    question = rivers.clarify("river")
    assert question is not None
    assert (question.query, question.field, question.documents) == ("river", None, 60)
    assert question.text == "What is it about?"
    assert {one.text for one in question.options} == set(SUBJECTS)
    for one in question.options:
        assert one.documents == 12 and one.filter is None
        assert {hit.text.split()[2] for hit in rivers.search(one.query, 12)} == {one.text}
    # A word of the query, one that all hits have and one that a single hit has tell nothing apart.
    asked = rivers.clarify("river whales")
    assert asked is not None and "whales" not in {one.text for one in asked.options}


def test_what_comes_in_another_order_gives_the_same_question(rivers: Searcher, tmp_path: Path) -> None:
    documents = rivers.documents(rivers.ids())
    Index.create(tmp_path / "other", encoder=None).add(documents[::-1])
    with Searcher.open(tmp_path / "other") as other:
        assert other.clarify("river") == rivers.clarify("river") == rivers.clarify("river")


def test_a_field_with_few_values_goes_first(tmp_path: Path) -> None:
    documents = [
        Document(
            f"d{number}",
            f"river {SUBJECTS[number % 4]}",
            "",
            {"lang": ["en", "de", "fr"][number % 3], "number": number, "old": number == 0},
        )
        for number in range(40)
    ]
    Index.create(tmp_path / "i", encoder=None).add(documents)
    with Searcher.open(tmp_path / "i") as searcher:
        question = searcher.clarify("river", filter='lang != "fr"')
        assert question is not None and (question.field, question.text) == ("lang", "In which language?")
        assert [(one.text, one.documents, one.query) for one in question.options] == [
            ("en", 14, "river"),
            ("de", 13, "river"),
        ]
        found = searcher.search(question.options[1].query, 50, filter=question.options[1].filter)
        assert {hit.metadata["lang"] for hit in found} == {"de"} and len(found) == 13
        question = searcher.clarify("river", filter="number < 3 or number > 33", mode="sparse")
        assert question is None  # fewer than ten hits
        # One value: the field tells nothing apart. `old` has two, but nearly all hits have the same.
        question = searcher.clarify("river", filter='lang = "fr"')
        assert question is not None and question.field is None


def test_questions_on_fields_with_and_without_a_form_of_their_own() -> None:
    assert asked_of("Version", {"1", "2"}) == "For which version?"
    assert asked_of("peer_reviewed", {"yes", "no"}) == "peer reviewed: yes or no?"
    assert asked_of("journal_name", {"a", "b"}) == "Which journal name?"


@pytest.mark.parametrize("query", ["", "zebra", "+river +number7", '"number7 engines"'])
def test_nothing_is_asked_where_there_is_nothing_to_tell_apart(rivers: Searcher, query: str) -> None:
    assert rivers.clarify(query) is None


def test_nothing_is_asked_where_one_hit_stands_out(tmp_path: Path) -> None:
    texts = [f"river {SUBJECTS[number % 4]}" for number in range(40)]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    documents.append(Document("best", "river delta mouth estuary"))
    Index.create(tmp_path / "i", encoder=None).add(documents)
    with Searcher.open(tmp_path / "i") as searcher:
        assert searcher.clarify("river") is not None
        assert searcher.clarify("river delta mouth estuary") is None


@given(
    st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=200),
    st.floats(0.01, 100),
    st.floats(-1e3, 1e3),
)
def test_how_many_hits_compete(scores: list[float], scale: float, shift: float) -> None:
    some = np.sort(np.array(scores, np.float64))[::-1]
    found = competing(some.astype(np.float32))
    assert 1 - 1e-9 <= found <= min(len(some), 100) + 1e-6
    if some[:100].std() > 1e-3 * (abs(some[0]) + 1):
        first = some[:100].astype(np.float32).astype(np.float64)
        weights = [math.exp((one - first[0]) / first.std()) for one in first]
        shares = [one / sum(weights) for one in weights]
        assert found == pytest.approx(math.exp(-sum(one * math.log(one) for one in shares)), rel=1e-9)
        moved = competing((some * scale + shift).astype(np.float32))
        assert moved == pytest.approx(found, rel=0.05)
    assert competing(np.full(7, 3, np.float32)) == 7


def test_options_keep_their_bounds_in_real_texts(tmp_path: Path) -> None:
    documents = make_documents(300, seed=5)
    Index.create(tmp_path / "i", encoder=HashEncoder()).add(
        [Document(one.id, one.text, one.title) for one in documents]
    )
    asked = 0
    with Searcher.open(tmp_path / "i", encoder=HashEncoder()) as searcher:
        analyzer = searcher.source.passages.analyzer
        for mode in ("hybrid", "sparse", "dense"):
            for query in ("heart", "wing load", "shock wave library"):
                question = searcher.clarify(query, mode=mode, depth=20)
                if question is None:
                    continue
                asked += 1
                hits = searcher.search(query, BEST, mode=mode, depth=BEST)
                said = [set(analyzer.tokens(f"{hit.title} {hit.text}")) for hit in hits]
                assert question.documents == len(hits) and 2 <= len(question.options) <= 5
                having = []
                for option in question.options:
                    [term] = analyzer.tokens(option.text)
                    having.append({place for place, terms in enumerate(said) if term in terms})
                    assert option.documents == len(having[-1])
                    assert RAREST <= len(having[-1]) / len(hits) <= COMMONEST
                    assert (
                        option.query == f"{query} {option.text} {option.text}"
                        and term not in analyzer.tokens(query)
                    )
                for place, one in enumerate(having):
                    for other in having[:place]:
                        assert len(one & other) < OVERLAP * min(len(one), len(other))
    assert asked > 3
