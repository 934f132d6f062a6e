from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder

from leanseek.encode.corpus import Encoding, make_encoding
from leanseek.errors import UsageError
from leanseek.indexing.learning_queries import (
    FEWEST_QUERIES,
    given_learning_queries,
    learn_from,
    make_learning_queries,
    mixed_with_next,
)
from leanseek.indexing.passage_store import PassageStore
from leanseek.reading import read
from leanseek.types import Document


def test_titles_first_sentences_and_questions_are_taken() -> None:
    document = Document(
        id="d",
        title="Boundary layers on wings",
        text='Flow over a wing was measured. The tunnel was cold. But "does the layer separate early?" Yes.',
    )
    found = make_learning_queries([document])
    assert sorted(found.texts + found.held_out) == [
        "Boundary layers on wings",
        'But "does the layer separate early?"',
        "Flow over a wing was measured.",
    ]
    assert found.source == "corpus" and found.documents == ("d", "d", "d")


def test_what_is_too_short_or_too_long_for_a_query_is_left_out() -> None:
    documents = [
        Document(id="a", text="word " * 41 + ". Second sentence here."),
        Document(id="b", title="Title", text=""),
        Document(id="c", text="  \n "),
    ]
    assert make_learning_queries(documents).texts == ()
    assert make_learning_queries([]).held_out == ()


def test_kinds_share_equally_and_one_makes_up_for_another() -> None:
    documents = [
        Document(
            id=f"d{number}", title=f"Title number {number}", text=f"First sentence {number}. Nothing more."
        )
        for number in range(400)
    ]
    documents[7] = Document(id="d7", text="So what is number seven? It is the only question.")
    found = make_learning_queries(documents, limit=101)
    everything = found.texts + found.held_out
    assert len(everything) == 101
    assert sum("?" in text for text in everything) == 1
    assert abs(sum(text.startswith("Title") for text in everything) - 50) <= 1


texts = st.text(alphabet="ab ?.", max_size=30)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.builds(Document, id=st.uuids().map(str), title=texts, text=texts), max_size=30),
    st.integers(2, 20),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_distinct_within_the_limit_and_whatever_the_order(
    documents: list[Document], limit: int, seed: int, chance: object
) -> None:
    found = make_learning_queries(documents, limit, seed)
    shuffled = list(documents)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_learning_queries(shuffled, limit, seed) == found
    everything = found.texts + found.held_out
    assert len(everything) <= limit and len({text.casefold() for text in everything}) == len(everything)
    assert len(found.documents) == len(everything)
    of = {document.id: f"{document.title} {document.text}" for document in documents}
    for text, document in zip(everything, found.documents, strict=True):
        assert text in " ".join(of[document].split())
    if len(everything) >= 2:
        assert found.texts and found.held_out


def test_a_collection_gives_its_share_and_seeds_differ(collection: Callable[[str], Path]) -> None:
    documents = list(read(collection("cranfield") / "corpus.jsonl"))
    found = make_learning_queries(documents, limit=500)
    assert (len(found.texts), len(found.held_out)) == (400, 100)
    assert make_learning_queries(iter(documents), limit=500) == found
    other = make_learning_queries(documents, limit=500, seed=1)
    assert 0 < len(set(found.texts) & set(other.texts)) < 400


def test_given_queries_are_tidied_and_split() -> None:
    given_texts = [f"query  number\t{number}" for number in range(50)] + ["QUERY number 3", "", "  "]
    found = given_learning_queries(given_texts, held_out=0.1)
    everything = {text.casefold() for text in found.texts + found.held_out}
    assert everything == {f"query number {number}" for number in range(50)}
    assert (len(found.held_out), found.source, found.documents) == (5, "given", ())
    assert given_learning_queries(reversed(given_texts), held_out=0.1) == found
    assert len(given_learning_queries(given_texts, limit=10).texts) == 8


def test_bad_arguments_are_told() -> None:
    with pytest.raises(UsageError, match="limit is 1"):
        make_learning_queries([], limit=1)
    with pytest.raises(UsageError, match="held_out is 1"):
        given_learning_queries(["a b"], held_out=1.0)


def test_queries_made_from_documents_are_as_long_as_before_and_further_from_their_own() -> None:
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((300, 48))
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    made = 3.0 * (documents + 0.01 * rng.standard_normal(documents.shape)).astype(np.float32)
    found = mixed_with_next(made)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(made, axis=1), rtol=1e-5)
    scores = found / np.linalg.norm(found, axis=1, keepdims=True) @ documents.T
    own, nearest = np.diagonal(scores), np.sort(np.argsort(-scores, axis=1)[:, :2], axis=1)
    assert 0.65 < own.mean() < 0.75
    assert nearest[1:].tolist() == [[number, number + 1] for number in range(299)]
    assert not mixed_with_next(np.zeros((3, 4), np.float32)).any()
    np.testing.assert_allclose(mixed_with_next(made[:1]), made[:1], rtol=1e-6)


def test_only_queries_made_from_the_documents_are_mixed() -> None:
    class Store:
        def blocks(self, size: int) -> list[list[int]]:
            return [list(range(30))]

        def get(self, ordinals: list[int]) -> list[Document]:
            return [Document(str(number), f"What is number {number}?") for number in ordinals]

    def encoding(given: Sequence[str]) -> Encoding:
        return make_encoding(HashEncoder(), given, cache=False)

    given = [f"who has seen {number}" for number in range(FEWEST_QUERIES)]
    store: PassageStore = Store()  # type: ignore[assignment]
    lesson = learn_from(encoding(given), store)
    chosen = given_learning_queries(given)
    plain = HashEncoder().encode_queries([*chosen.texts, *chosen.held_out]).vectors
    assert lesson.source == "given"
    np.testing.assert_allclose(lesson.queries, plain, rtol=1e-5)
    made = learn_from(encoding(()), store)
    texts = make_learning_queries(store.get(list(range(30))))
    plain = HashEncoder().encode_queries([*texts.texts, *texts.held_out]).vectors
    assert made.source == "corpus"
    np.testing.assert_allclose(made.queries, mixed_with_next(plain), rtol=1e-5)
    assert not np.allclose(made.queries, plain)
