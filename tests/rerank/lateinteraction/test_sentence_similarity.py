"""Sentences compared with a query by their tokens in context, against a slow reading of each passage in float64."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rerank.late_interaction_support import VOCABULARY, WORDS, slowly, unit, write_biencoder

from leanseek import Document, Index
from leanseek.encode.token_model import TokenVectors, TorchTokenModel
from leanseek.indexing.tokens.token_writer import store_tokens
from leanseek.rerank.lateinteraction.sentence_similarity import COSINE, SentenceSimilarity, load_similarity
from leanseek.rerank.lateinteraction.stored_tokens import with_stored
from leanseek.text.sentences import split_sentences
from leanseek.types import Hit

QUERY = "statin trial against placebo"
LEAST = -1.0 - COSINE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return write_biencoder(folder), folder / "model"


@pytest.fixture(scope="module")
def model(tiny: tuple[Any, Path]) -> TorchTokenModel:
    return TorchTokenModel(str(tiny[1]), tiny[1], "0" * 64, "cpu")


def sentence(rng: random.Random, words: int) -> str:
    return f"{' '.join(rng.choices(WORDS, k=words))}.".capitalize()


def tokens(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"\w+|[^\w\s]", text))


def ids(text: str) -> list[int]:
    unknown = VOCABULARY["[UNK]"]
    return [
        VOCABULARY["[CLS]"],
        *(VOCABULARY.get(one[0].lower(), unknown) for one in tokens(text)),
        VOCABULARY["[SEP]"],
    ]


def near(network: Any, text: str, start: int, end: int) -> float:
    """The similarity of the characters [start, end) of a text that fits, worked out slowly."""
    asked = unit(slowly(network, ids(QUERY))[1:-1])
    inside = [start <= one.start() and one.end() <= end for one in tokens(text)]
    read = unit(slowly(network, ids(text))[1:-1])[inside]
    cosine = asked.mean(0) @ read.mean(0) / np.linalg.norm(asked.mean(0)) / np.linalg.norm(read.mean(0))
    return float((asked @ read.T).max(1).mean() + COSINE * cosine)


def hit(text: str, title: str = "") -> Hit:
    return Hit(1, "d", 1.0, title, text, {})


@pytest.mark.parametrize("title", ["", "Heart index", " Heart "])
def test_a_sentence_is_read_in_its_passage(
    tiny: tuple[Any, Path], model: TorchTokenModel, title: str
) -> None:
    rng = random.Random(1)
    texts = ["  ".join(sentence(rng, 6) for _ in range(4)), f" {sentence(rng, 9)}\n{sentence(rng, 3)}"]
    hits = [hit(text, title) for text in texts]
    sentences = [split_sentences(text) for text in texts]
    found = SentenceSimilarity(model, model)(QUERY, hits, sentences)
    for text, some, values in zip(texts, sentences, found, strict=True):
        before = f"{title.lstrip()} " if title else ""
        wanted = [near(tiny[0], before + text, start + len(before), end + len(before)) for start, end in some]
        assert values == pytest.approx(wanted, abs=1e-5)


def test_what_does_not_fit_is_read_in_windows_that_begin_with_the_title(
    tiny: tuple[Any, Path], model: TorchTokenModel
) -> None:
    rng = random.Random(2)
    lines = [sentence(rng, words) for words in (20, 20, 20, 30, 100, 5)]
    text = " ".join(lines)
    places = split_sentences(text)
    assert len(places) == len(lines)
    [values] = SentenceSimilarity(model, model)(QUERY, [hit(text, "Heart")], [places])
    # 64 tokens hold the first two sentences, then the third and the fourth; of the fifth what fits is read.
    first, second, third = (" ".join(["Heart", *some]) for some in (lines[:2], lines[2:4], lines[4:5]))
    cut = third[: tokens(third)[61].end()]
    wanted = [
        *(
            near(tiny[0], f"Heart {text}"[: tokens(f"Heart {text}")[61].end()], 6 + a, 6 + b)
            for a, b in places[:2]
        ),
        near(tiny[0], second + " " + " ".join(lines[4].split()[:9]), 6, 6 + len(lines[2])),
    ]
    assert len(tokens(first)) < 62 and values[:3] == pytest.approx(wanted, abs=1e-5)
    assert values[4] == pytest.approx(near(tiny[0], cut, 6, len(cut)), abs=1e-5)
    assert values[5] == pytest.approx(near(tiny[0], f"Heart {lines[5]}", 6, 6 + len(lines[5])), abs=1e-5)


def test_nothing_to_compare_is_the_least(model: TorchTokenModel) -> None:
    similarity = SentenceSimilarity(model, model)
    assert similarity(QUERY, [], []) == []
    [none, some] = similarity(" ", [hit(""), hit("Heart.")], [[], [(0, 6)]])
    assert none.tolist() == [] and some.tolist() == [LEAST]
    [blank] = similarity(QUERY, [hit("Heart. \u200b\u200b")], [[(0, 6), (7, 9)]])
    assert blank[0] > LEAST and blank[1] == LEAST


def test_stored_vectors_are_taken_instead(
    tiny: tuple[Any, Path], model: TorchTokenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(3)
    texts = [" ".join(sentence(rng, 7) for _ in range(count)) for count in (4, 20, 5)]
    path = tmp_path / "index"
    Index.create(path, encoder=None).add([Document(str(n), text, "Wing") for n, text in enumerate(texts)])
    store_tokens(path, model, bits=8)
    hits = [*(hit(text, "Wing") for text in texts), hit("Not in the index. Heart and wing.", "Wing")]
    sentences = [split_sentences(one.text) for one in hits]
    plain = SentenceSimilarity(model, model)(QUERY, hits, sentences)
    read: list[str] = []

    def passages(given: Sequence[str]) -> TokenVectors:
        read.extend(given)
        return TorchTokenModel.passages(model, given)

    monkeypatch.setattr(model, "passages", passages)
    for one, other in zip(
        plain, SentenceSimilarity(with_stored(model, path), model)(QUERY, hits, sentences), strict=True
    ):
        assert other == pytest.approx(one, abs=0.02)
    # What is behind the limit, and the passage that the index does not have.
    assert f"Wing {hits[3].text}" in read and len(read) > 1
    assert not {f"Wing {text}" for text in texts} & set(read)


def test_an_encoder_is_loaded_by_its_name(tiny: tuple[Any, Path], tmp_path: Path) -> None:
    hits, sentences = [hit("Heart and wing. Statin trial.")], [[(0, 15), (16, 29)]]
    similarity = load_similarity(f"torch:{tiny[1]}", "cpu", tmp_path)
    [values] = similarity(QUERY, hits, sentences)
    assert values[1] == pytest.approx(near(tiny[0], hits[0].text, 16, 29), abs=1e-5)
