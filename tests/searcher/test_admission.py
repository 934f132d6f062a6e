"""Operators in a search: against every text read one by one, in all modes, and what an answer says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder

from leanseek import Document, Index, Searcher, SparseSettings
from leanseek.errors import UsageError
from leanseek.text import load_analyzer
from leanseek.types import content
from leanseek.understanding import without_repeats

WORDS = [
    "pump",
    "pumps",
    "leaks",
    "oil",
    "the",
    "of",
    "to",
    "be",
    "x",
    "7",
    "Seal",
    "re-seal",
    "café",
    "pump's",
    "水泵房",
]
PLACE = re.compile(r"[^\W_]+")


def texts() -> list[Document]:
    """Every text of up to three of a few words, and longer ones, with all that stands between words."""
    made = [[one] for one in WORDS] + [[one, two] for one in WORDS for two in WORDS[:9]]
    made += [[one, two, three] for one in WORDS[:6] for two in WORDS[:6] for three in WORDS[3:9]]
    joined = [", ", " ", "\n", "-", " (", "\u00a0"]
    return [
        Document(
            f"d{number:03}", joined[number % len(joined)].join(words), "Pump oil" if number % 7 == 0 else ""
        )
        for number, words in enumerate(made)
    ]


DOCUMENTS = texts()


class Reference:
    """Which documents a query admits, from their words one by one."""

    def __init__(self, analyzer: str) -> None:
        self.analyzer = load_analyzer(analyzer)

    def places(self, text: str) -> list[tuple[str, ...]]:
        return [
            tuple(self.analyzer.tokens(word)) or ("not a term", word.lower()) for word in PLACE.findall(text)
        ]

    def has(self, document: Document, words: str) -> bool:
        text, phrase = self.places(content(document.title, document.text)), self.places(words)
        starts = range(len(text) - len(phrase) + 1)
        return bool(phrase) and any(text[at : at + len(phrase)] == phrase for at in starts)

    def admitted(self, required: list[str], excluded: list[str]) -> set[str]:
        return {
            document.id
            for document in DOCUMENTS
            if all(self.has(document, words) for words in required)
            and not any(self.has(document, words) for words in excluded)
        }


INDEXES = {
    "english": SparseSettings(analyzer="english"),
    "simple": SparseSettings(analyzer="simple"),
    "other back end": SparseSettings(analyzer="english", backend="bm25s"),
    "no sparse side": None,
}


@pytest.fixture(scope="module", params=INDEXES)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Searcher, Reference]:
    sparse = INDEXES[request.param]
    if sparse is not None and sparse.backend == "bm25s":
        pytest.importorskip("bm25s")
    index = Index.create(tmp_path_factory.mktemp("operators") / "i", encoder=HashEncoder(), sparse=sparse)
    index.add(DOCUMENTS[:200], cache=False)
    index.add([*DOCUMENTS[200:], Document("gone", "pump leaks oil")], cache=False)
    index.delete(["gone"])
    return (
        Searcher.open(index.path, encoder=HashEncoder()),
        Reference(sparse.analyzer if sparse is not None else "simple"),
    )


# One word is never a part of a CJK run here, which has no words of its own.
words = st.lists(st.sampled_from([*WORDS, "absent", "Pumping"]), min_size=1, max_size=3).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    required=st.lists(words, max_size=2),
    excluded=st.lists(words, max_size=2),
    mode=st.sampled_from(["sparse", "dense", "hybrid"]),
)
def test_a_search_returns_what_its_operators_admit(
    made: tuple[Searcher, Reference], required: list[str], excluded: list[str], mode: str
) -> None:
    searcher, reference = made
    if searcher.settings.sparse is None:
        mode = "dense"
    query = " ".join(["pump oil", *(f'"{one}"' for one in required), *(f'-"{one}"' for one in excluded)])
    text = without_repeats(" ".join(["pump oil", *required]))
    every = len(DOCUMENTS)
    found = [hit.id for hit in searcher.search(query, every, mode=mode)]
    admitted = reference.admitted(required, excluded)
    # A search without operators ranks the same documents, and those that were left out.
    whole = [hit.id for hit in searcher.search(text, every, mode=mode, literal=True)]
    assert set(found) == admitted & set(whole)
    if mode != "hybrid":
        assert found == [one for one in whole if one in admitted]
        assert [hit.id for hit in searcher.search(query, 3, mode=mode)] == found[:3]


def test_a_word_is_excluded_in_every_form(made: tuple[Searcher, Reference]) -> None:
    searcher, reference = made
    found = searcher.search("leaks oil -pump", 500)
    assert found and {hit.id for hit in found} <= reference.admitted([], ["pump"])


@pytest.mark.parametrize("query", ["oil -pump", "oil NOT pump", "+leaks oil", '"pump leaks"'])
def test_batches_and_threads_answer_alike(made: tuple[Searcher, Reference], query: str) -> None:
    searcher, _ = made
    alone = searcher.search(query, 7)
    assert searcher.search_batch(["pump", query, "", "oil", query], 7)[1::3] == [alone, alone]
    ranked = searcher.rank_batch(["pump", query], 7, literal=False)
    assert [one.id for one in ranked[1]] == [hit.id for hit in alone]


def test_what_is_evaluated_and_what_is_asked_is_text(made: tuple[Searcher, Reference]) -> None:
    searcher, _ = made
    literal = searcher.search("oil -pump", 20, literal=True)
    assert [one.id for one in searcher.rank_batch(["oil -pump"], 20)[0]] == [hit.id for hit in literal]
    assert "pump" in PLACE.findall(searcher.context("oil -pump").text)
    assert "pump" not in PLACE.findall(searcher.context("oil -pump", literal=False).text)


def test_candidates_of_another_run_obey_operators(made: tuple[Searcher, Reference]) -> None:
    searcher, reference = made
    ids = [document.id for document in DOCUMENTS[:60]]
    [ranked] = searcher.rank_batch(["oil -pump"], 100, candidates=[ids], literal=False)
    assert {one.id for one in ranked} == reference.admitted([], ["pump"]) & set(ids)


def test_an_answer_tells_its_operators(made: tuple[Searcher, Reference]) -> None:
    searcher, reference = made
    answer = searcher.answer('oil +leaks -"pump leaks"')
    assert [(one.written, one.words, one.excludes, one.left) for one in answer.operators] == [
        ("+leaks", "leaks", False, len(reference.admitted(["leaks"], []))),
        ('-"pump leaks"', "pump leaks", True, len(reference.admitted(["leaks"], ["pump leaks"]))),
    ]
    nothing = searcher.answer('oil -x "leaks absent"')
    assert not nothing.hits and [one.left for one in nothing.operators][-1] == 0
    assert searcher.answer("oil leaks").operators == ()
    assert searcher.answer("oil -leaks", literal=True).operators == ()


def test_filters_and_operators_hold_together(made: tuple[Searcher, Reference]) -> None:
    searcher, reference = made
    answer = searcher.answer("oil -pump", 500, filter='title = "Pump oil"')
    assert not answer.hits and answer.operators[0].left == 0
    answer = searcher.answer("oil -leaks", 500, filter='title = "Pump oil"')
    titled = {document.id for document in DOCUMENTS if document.title}
    assert answer.operators[0].left == len(titled & reference.admitted([], ["leaks"]))
    assert {hit.id for hit in answer.hits} <= titled & reference.admitted([], ["leaks"])


def test_a_query_that_only_excludes_is_an_error(made: tuple[Searcher, Reference]) -> None:
    searcher, _ = made
    with pytest.raises(UsageError, match=r"only excludes: -pump NOT oil\. .* literal"):
        searcher.search("-pump NOT oil")
    assert searcher.search("-pump", literal=True)


def test_a_document_counts_as_one_however_it_was_split(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=HashEncoder(), chunk_words=4)
    index.add(
        [
            Document("both", "Pumps move oil here. Valves stop water there. Seals hold glue well."),
            Document("valves", "Valves stop water there."),
            Document("pumps", "Pumps move oil here."),
        ],
        cache=False,
    )
    searcher = Searcher.open(index.path, encoder=HashEncoder())
    assert [hit.id for hit in searcher.search("pumps -valves")] == ["pumps"]
    assert [hit.id for hit in searcher.search("+pumps +valves glue")] == ["both"]
    [hit] = searcher.search('glue "valves stop" +pumps')
    assert hit.id == "both" and "glue" not in hit.text
    answer = searcher.answer("oil -pumps")
    assert [one.left for one in answer.operators] == [1]
