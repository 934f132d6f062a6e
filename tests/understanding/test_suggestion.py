"""Suggestions are queries that the index answers; a profile prefers what is near to what was opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Curve, HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.errors import InputError, UsageError
from leanseek.text import load_analyzer
from leanseek.understanding import Profile, Suggester
from leanseek.understanding.answerable import AnswerableQuery, answerable_queries
from leanseek.understanding.suggestion import Postings, words

DAY = 86_400.0
DOCUMENTS = [
    Document("n1", "The Norman conquest of England began in 1066. Who led it? A duke.", "Normans"),
    Document(
        "n2", "After the Norman conquest castles were built. The Norman conquest was harsh.", "Norman castles"
    ),
    Document("n3", "Historians call it the Norman conquest.", "Sources"),
    Document(
        "c1", "Chloroplasts turn light into sugar.", "Plant cells", {"subject": "biology", "year": 1999}
    ),
    Document("c2", "Mitochondria burn sugar.", "Animal cells", {"subject": "biology", "year": 2004}),
]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    Index.create(tmp_path / "i", encoder=None).add(DOCUMENTS)
    return tmp_path / "i"


def candidates(*texts: str, **entities: str) -> list[AnswerableQuery]:
    """Candidates in order of text, each of a document that has one value of a field, by the text's first word."""
    return [
        AnswerableQuery(text, "log", 1, 0, text, (("title", entities.get(text.split()[0], "other")),))
        for text in sorted(texts)
    ]


def suggester(*texts: str, **entities: str) -> Suggester:
    return Suggester(candidates(*texts, **entities), load_analyzer("english"))


def test_titles_questions_and_phrases_complete_a_text(index: Path) -> None:
    with Searcher.open(index) as searcher:
        found = searcher.suggest("norman c").found
        assert [(one.text, one.kind, one.source) for one in found[:2]] == [
            ("Norman conquest", "completion", "phrase"),
            ("Norman castles", "completion", "title"),
        ]
        assert all(one.kind == "question" for one in found[2:])
        [question] = [one for one in searcher.suggest("who").found if one.kind == "completion"]
        assert question.text == "Who led it?" and question.document == "n1"


def test_what_completes_has_all_words_and_the_last_as_a_beginning() -> None:
    some = suggester("what is a wing", "is it what", "what was it", "whatever is")
    assert [one.text for one in some.suggest("What IS").found if one.kind == "completion"] == [
        "what is a wing",
        "is it what",
    ]
    assert not [one for one in some.suggest("what i ").found if one.kind == "completion"]


TEXTS = st.text("ab c", min_size=1, max_size=6).filter(str.strip)


@settings(deadline=None)
@given(st.lists(TEXTS, unique_by=str.casefold), st.text("ab c", max_size=4))
def test_completions_are_those_of_a_plain_scan(texts: list[str], typed: str) -> None:
    wanted = words(typed)

    def completes(text: str) -> bool:
        there = words(text)
        if " ".join(there) == " ".join(wanted):
            return False
        *whole, last = wanted or [""]
        if typed[-1:].isalnum():
            return set(whole) <= set(there) and any(word.startswith(last) for word in there)
        return set(wanted) <= set(there)

    found = suggester(*texts).suggest(typed, 100).found
    assert sorted(one.text for one in found if one.kind == "completion") == sorted(filter(completes, texts))


def test_every_suggestion_has_a_hit_above_the_threshold(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=HashEncoder()).add(DOCUMENTS)
    log = tmp_path / "log.txt"
    log.write_text("norman castles\nwho baked the cake\nnorman castles\n")
    with Searcher.open(tmp_path / "i", encoder=HashEncoder(), relevance=Curve()) as searcher:
        kept = answerable_queries(searcher._generation, log)
        every = [one for text in ("", "norman", "who") for one in searcher.suggest(text, 100, log=log).found]
        hits = searcher.rank_batch([one.text for one in every], 1, relevant_only=True)
        assert every and [one.document for one in every] == [hit.id for [hit] in hits]
        assert not searcher.rank_batch(["who baked the cake"], 1, relevant_only=True)[0]
    assert {one.text: one.asked for one in kept if one.source == "log"} == {"norman castles": 2}


def test_without_a_relevance_model_a_hit_has_most_of_the_words(index: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("light into sugar\nlight in a submarine\nNORMANS!\n")
    with Searcher.open(index) as searcher:
        kept = {one.text: one for one in answerable_queries(searcher._generation, log)}
    assert kept["light into sugar"].document == "c1"
    assert "light in a submarine" not in kept
    assert kept["NORMANS!"].asked == 1 and kept["NORMANS!"].found == 1, "the title is the same query"
    assert "Normans" not in kept


def test_next_questions_are_alike_and_never_the_text_itself() -> None:
    some = suggester("how do wings stall", "how do fish swim", "why do wings stall at high angles")
    found = some.suggest("How do wings stall?").found
    assert [(one.text, one.kind) for one in found] == [
        ("why do wings stall at high angles", "question"),
        ("how do fish swim", "question"),
    ]


def test_a_profile_prefers_what_its_documents_share(index: Path) -> None:
    some = suggester("y cell", "x cell", "z cell", y="biology")
    assert [one.text for one in some.suggest("cell").found] == ["x cell", "y cell", "z cell"]
    profile = Profile()
    profile.opened([Document("x", "", "biology")])
    assert [one.text for one in some.suggest("cell", profile=profile).found] == ["y cell", "x cell", "z cell"]


def test_a_typing_mistake_is_corrected_where_nothing_completes(index: Path) -> None:
    with Searcher.open(index) as searcher:
        found, better = searcher.suggest("nroman conquest")
        assert better == "norman conquest"
        assert searcher.suggest("norm").corrected is None
        assert found == searcher.suggest("norman conquest").found


def test_what_can_be_suggested_is_collected_once_for_a_state(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int | None]] = []

    def ask() -> list[str]:
        with Searcher.open(index) as searcher:
            found = searcher.suggest("norman", progress=lambda _, done, total: calls.append((done, total)))
        return [one.text for one in found.found]

    first = ask()
    assert calls and calls[-1][0] == calls[-1][1]
    calls.clear()
    assert ask() == first and not calls
    with Index.open(index) as writer:
        writer.add([Document("n4", "It is about them.", "Norman ships")])
    assert "Norman ships" in ask() and calls


@pytest.mark.parametrize("k", [0, -1, 101, 2.5])
def test_a_number_of_suggestions_that_cannot_be(index: Path, k: int) -> None:
    with Searcher.open(index) as searcher, pytest.raises(UsageError, match="1 to 100"):
        searcher.suggest("norman", k)


def test_a_log_that_is_not_there(index: Path, tmp_path: Path) -> None:
    with Searcher.open(index) as searcher, pytest.raises(InputError, match="no such file"):
        searcher.suggest("norman", log=tmp_path / "none.txt")


def test_an_empty_index_suggests_nothing(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=None)
    with Searcher.open(tmp_path / "i") as searcher:
        assert searcher.suggest("norman") == ([], None)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.text("abc", min_size=1, max_size=3), max_size=4), max_size=6),
    st.text("abc", max_size=2),
)
def test_postings_are_those_of_a_plain_scan(lists: list[list[str]], key: str) -> None:
    some = Postings(lists)
    assert some.having(key).tolist() == [place for place, keys in enumerate(lists) if key in keys]
    begins = {place for place, keys in enumerate(lists) if any(one.startswith(key) for one in keys)}
    assert set(some.beginning(key).tolist()) == begins


def test_counts_of_a_profile_fall_by_half_in_thirty_days(tmp_path: Path) -> None:
    profile = Profile()
    profile.opened(DOCUMENTS[3:], at=0.0)
    profile.opened(DOCUMENTS[3:4], at=30 * DAY)
    profile.write(tmp_path / "me.json")
    weights = Profile.read(tmp_path / "me.json").weights(at=60 * DAY)
    assert weights[("subject", "biology")] == pytest.approx(2 / 4 + 1 / 2)
    assert weights[("title", "Animal cells")] == pytest.approx(1 / 4)
    assert weights[("year", "1999")] == pytest.approx(1 / 4 + 1 / 2)
    assert (tmp_path / "me.json").stat().st_mode & 0o077 == 0, "it is private"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "entities": {"title": {"a": [1]}}}',
        '{"format": 1, "entities": {"title": {"a": [-1, 0]}}}',
        '{"format": 1, "entities": {"title": {"a": [NaN, 0]}}}',
        '{"format": 1, "entities": [3]}',
        '{"format": "1", "entities": {}}',
        "\x00\x01",
    ],
)
def test_a_damaged_profile_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "me.json").write_text(content)
    with pytest.raises(InputError, match=r"me\.json: this is no profile, or a damaged one .*delete"):
        Profile.read(tmp_path / "me.json")


def test_a_profile_of_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / "me.json").write_text(json.dumps({"format": 2, "entities": {}}))
    with pytest.raises(InputError, match="newer version"):
        Profile.read(tmp_path / "me.json")
    assert Profile.read(tmp_path / "none.json").counts == {}


@pytest.fixture(scope="module")
def squad(collection: Callable[[str], Path]) -> list[Document]:
    lines = (collection("squad2-dev") / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    values = map(json.loads, lines)
    return [Document(one["_id"], one["text"], one["title"]) for one in values]


def test_phrases_of_real_paragraphs(squad: list[Document], tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=None).add(squad)
    with Searcher.open(tmp_path / "i") as searcher:
        queries = answerable_queries(searcher._generation)
    phrases = [one.text for one in queries if one.source == "phrase"]
    texts = [document.text.casefold() for document in squad]
    assert len(phrases) > 50
    assert all(any(phrase.casefold() in text for text in texts) for phrase in phrases)
    assert not {one.split()[0].lower() for one in phrases} & {"the", "of", "in", "and", "is"}
    assert "Dutch Republic" in phrases
