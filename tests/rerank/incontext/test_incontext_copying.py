"""A decoder that was trained to look things up: its attention must find the document that was asked for.

`scripts/train_copying_decoder.py` trains it; the weights in `copying_decoder` are what the script wrote.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import COPYING_DECODER, ROOT

from leanseek.decode.decoder import Decoder
from leanseek.decode.decoder_loader import load_decoder
from leanseek.rerank import InContextReranker
from leanseek.train import Example, find_heads
from leanseek.types import Hit

FOLDER = COPYING_DECODER


@cache
def script() -> ModuleType:
    path = ROOT / "scripts" / "train_copying_decoder.py"
    spec = importlib.util.spec_from_file_location("train_copying_decoder", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_copying_decoder"] = module
    spec.loader.exec_module(module)
    return module


@cache
def kept() -> Decoder:
    return load_decoder(FOLDER)


def lookups(count: int, seed: int, documents: int | None = None) -> list[Any]:
    return list(script().lookups(count, documents or script().DOCUMENTS, seed))


def reranker(decoder: Decoder, **options: Any) -> InContextReranker:
    return InContextReranker(decoder, prompt_prefix="", prompt_suffix="", **options)


def reciprocal_rank(decoder: Decoder, documents: int | None = None, **options: Any) -> float:
    """The mean over lookups that training has not seen; of equal scores the wrong ones count as better."""
    judge, found = reranker(decoder, **options), []
    for one in lookups(60, 9, documents):
        scores = np.array(judge.score(one.query, one.documents))
        found.append(1 / np.count_nonzero(scores >= scores[one.place]))
    return float(np.mean(found))


def examples(count: int, seed: int = 77) -> list[Example]:
    return [
        Example(
            one.query,
            tuple(one.documents),
            tuple(place == one.place for place in range(len(one.documents))),
        )
        for one in lookups(count, seed)
    ]


def test_chance_is_a_fifth_and_the_weights_are_small() -> None:
    documents = script().DOCUMENTS
    assert sum(1 / rank for rank in range(1, documents + 1)) / documents == pytest.approx(0.2, abs=0.01)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3 << 20


def test_attention_finds_the_document_and_calibration_helps() -> None:
    calibrated = reciprocal_rank(kept())
    assert calibrated > 0.9
    assert calibrated > reciprocal_rank(kept(), calibrated=False)


@pytest.mark.parametrize("method", ["contrastive", "ndcg", "mass"])
def test_selected_heads_are_no_worse_than_all(method: Any) -> None:
    found = find_heads(kept(), examples(45), method=method, count=4)
    assert found.ndcg >= found.ndcg_of_all
    # Lists of the length that it was trained with are too easy: all heads make no mistake there either.
    assert reciprocal_rank(kept(), 30, heads=found.heads) >= reciprocal_rank(kept(), 30)


def test_documents_by_themselves_are_found_too() -> None:
    assert reciprocal_rank(kept(), block_memory=1 << 28) > 0.9


def test_documents_in_8_bits_are_found_as_well() -> None:
    exact, packed = reranker(kept(), block_memory=0), reranker(kept(), block_memory=0, block_bits=8)
    for one in lookups(20, seed=5):
        scores = packed.score(one.query, one.documents)
        assert scores == pytest.approx(exact.score(one.query, one.documents), abs=0.01)
    assert reciprocal_rank(kept(), block_memory=1 << 28, block_bits=8) > 0.9


def test_hits_come_back_with_the_answer_first() -> None:
    judge, first = reranker(kept(), batch_size=5), 0
    asked = lookups(30, seed=5)
    lists = [
        [Hit(rank, f"d{rank:02}", 1 / rank, "", text, {}) for rank, text in enumerate(one.documents, 1)]
        for one in asked
    ]
    for one, found in zip(asked, judge.rerank_batch([one.query for one in asked], lists), strict=True):
        assert sorted(hit.id for hit in found.hits) == [f"d{rank:02}" for rank in range(1, 18)]
        first += found.hits[0].text == one.documents[one.place]
    assert first > 0.8 * len(asked)


def test_what_is_looked_at_most_is_the_pair_or_the_word_that_it_reaches() -> None:
    """The first layer hands a word to the three after it, so the word after a pair holds both of it."""
    judge = reranker(kept())
    for one in lookups(12, seed=8):
        text = one.documents[one.place]
        ((start, end),) = judge.explain(one.query, one.documents)[one.place].peaks(1)
        words = text.split()
        place = words.index(one.query)
        assert text[start:end] in words[place : place + 3]
        assert len(text[:start].split()) in range(place, place + 3)


@pytest.mark.slow
def test_the_script_makes_such_a_decoder(tmp_path: Path) -> None:
    """In a few steps of its 1,700, which take most of an hour on slow processors: it learns nothing yet."""
    script().save(*script().train(10), tmp_path)
    made = load_decoder(tmp_path)
    one = lookups(1, 9)[0]
    assert len(reranker(made).score(one.query, one.documents)) == len(one.documents)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in FOLDER.iterdir())
