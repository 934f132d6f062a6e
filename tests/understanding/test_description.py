"""Descriptions: the contrast of two kinds of documents, the sentences that show it, and the check of written ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.decode import Generated
from leanseek.understanding import Feedback, FeedbackDocument, describe_feedback
from leanseek.understanding.description import best_sentences, contrast_of, sentences_of

RELEVANT = ["Statins lower cholesterol. The trial took years.", "Statins harm muscles! The trial was small."]
IRRELEVANT = ["The trial took years.", "The trial was small."]


def tokens(text: str) -> list[str]:
    return [word.strip(".!").lower() for word in text.split() if word.lower() != "the"]


class Writer:
    """A decoder that writes what it was told to, and remembers what it was asked."""

    def __init__(self, text: str, finished: bool = True) -> None:
        self.text, self.finished, self.prompts = text, finished, []

    def chat(self, message: str) -> str:
        return f"<{message}>"

    def generate(self, prompts: list[str], *, most: int) -> list[Generated]:
        self.prompts += prompts
        return [Generated(self.text, (), self.finished)]


def feedback(relevant: list[str] = RELEVANT, irrelevant: list[str] = IRRELEVANT) -> Feedback:
    def documents(kind: str, texts: list[str]) -> list[FeedbackDocument]:
        return [FeedbackDocument(f"{kind}{number}", text, 1.0, None) for number, text in enumerate(texts)]

    return Feedback(
        query="statins",
        vector=None,
        relevant=documents("r", relevant),
        irrelevant=documents("n", irrelevant),
        tokens=tokens,
        shares=lambda terms: [0.0] * len(terms),
        idf=lambda terms: [1.0] * len(terms),
        encode=lambda text: pytest.fail("there is no dense side"),
    )


def test_the_contrast_is_that_of_the_formula() -> None:
    contrast = contrast_of(
        [["a", "a", "b"], ["b"]], [["b", "c"]], lambda terms: [float(len(terms))] * len(terms)
    )
    assert contrast.of("a") == pytest.approx(math.log((1 / 3 + 1e-3) / 1e-3) / 3 * 2)
    assert contrast.of("b") == pytest.approx(math.log((2 / 3 + 1e-3) / 0.501) * 2 / 3 * 2)
    assert contrast.of("c") == 0
    assert contrast.misleading("c")
    assert not contrast.misleading("b")


def test_the_sentences_are_those_that_set_apart() -> None:
    found = describe_feedback(feedback())
    assert [one.text for one in found.sentences] == ["Statins lower cholesterol.", "Statins harm muscles!"]
    assert [one.id for one in found.sentences] == ["r0", "r1"]
    assert found.text == "Statins lower cholesterol. Statins harm muscles!"
    assert found.terms[0].term == "statins"
    assert "trial" not in dict(found.terms)
    assert describe_feedback(feedback(irrelevant=[])).sentences


@pytest.mark.parametrize(
    ("written", "finished", "kept", "note"),
    [
        (
            "They want statins. They do not want the trial.",
            True,
            ["They want statins."],
            "1 of the decoder's",
        ),
        (
            "Statins lower cholesterol. Statins harm",
            False,
            ["Statins lower cholesterol."],
            "1 of the decoder's",
        ),
        ("The trial of statins.", True, None, "own"),
        ("Bananas are yellow.", True, None, "the sentences are the documents' own"),
        ("", True, None, ""),
    ],
)
def test_written_sentences_are_checked(
    written: str, finished: bool, kept: list[str] | None, note: str
) -> None:
    writer: Any = Writer(written, finished)
    found = describe_feedback(feedback(), writer)
    own = describe_feedback(feedback())
    assert [one.text for one in found.sentences] == (kept or [one.text for one in own.sentences])
    assert all(one.id == "" for one in found.sentences) == (kept is not None)
    assert note in " ".join(found.notes)
    [prompt] = writer.prompts
    assert all(text in prompt for text in (*RELEVANT, *IRRELEVANT))


def test_marks_apart_from_words_end_sentences() -> None:
    text = "the wing was tested . it broke at 2.5 degrees ! then nothing"
    assert [text[start:end] for start, end in sentences_of(text)] == [
        "the wing was tested .",
        "it broke at 2.5 degrees !",
        "then nothing",
    ]


@given(st.lists(st.text(alphabet="ab .!?\n", max_size=60), min_size=1, max_size=4), st.integers(1, 4))
def test_sentences_are_the_documents_own(texts: list[str], most: int) -> None:
    documents = [(str(number), text) for number, text in enumerate(texts)]
    contrast = contrast_of(map(tokens, texts), [["b"]], lambda terms: [1.0] * len(terms))
    chosen = best_sentences(documents, contrast, tokens, most)
    assert len(chosen) <= most
    assert all(one.text in texts[int(one.id)] and one.text.strip() for one in chosen)
    assert chosen == best_sentences(documents, contrast, tokens, 9)[:most]
