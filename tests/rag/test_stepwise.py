"""Answers written in steps, with searches in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rerank.incontext_support import decoder, tokenizer

from leanseek import Document, Index, Searcher
from leanseek.decode import Decoder, load_decoder
from leanseek.errors import InputError, UsageError
from leanseek.rag import Trigger, write_answer, write_answers
from leanseek.rag.stepwise import ASK

QUESTIONS = ["does a statin lower cholesterol?", "what is a placebo", "heart and lung?"]
TEXTS = {
    "statin": "A statin is a drug that lowers cholesterol in the blood.",
    "placebo": "A placebo has no drug in it.",
    "heart": "The heart and the lung work together.",
}


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    folder = tmp_path_factory.mktemp("rag") / "index"
    with Index.create(folder, encoder=None) as index:
        index.add(Document(name, text) for name, text in TEXTS.items())
    with Searcher.open(folder) as found:
        yield found


@pytest.fixture(scope="module")
def writer() -> Decoder:
    return load_decoder((decoder(), tokenizer(chat=True)))


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Gemma3Text", "GPT2"])
def test_attention_is_that_of_whole_matrices(family: str) -> None:
    ids = list(np.random.default_rng(1).integers(5, 400, 40))
    model = decoder(family)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        layers = model(torch.tensor([ids]), output_attentions=True).attentions
    whole = np.stack([layer[0].numpy() for layer in layers])
    reader = load_decoder((model, tokenizer()))
    assert reader.attention_rows(ids, 12) == pytest.approx(whole[:, :, -12:].mean(axis=(0, 1)), abs=1e-5)
    assert reader.attention_rows(ids, 40, [1]) == pytest.approx(whole[1].mean(axis=0), abs=1e-5)


def test_without_a_doubt_it_is_what_the_decoder_writes(searcher: Searcher, writer: Decoder) -> None:
    never = Trigger(float("inf"))
    for question, found in zip(
        QUESTIONS, write_answers(QUESTIONS, searcher, writer, never, step=24, most=24), strict=True
    ):
        [expected] = writer.generate([writer.chat(ASK + question)], most=24)
        assert found.text == expected.text.strip()
        assert found.finished == expected.finished
        assert found.retrievals == () and found.context is None


def test_where_it_always_doubts_it_searches_before_every_step(searcher: Searcher, writer: Decoder) -> None:
    found = write_answer(QUESTIONS[0], searcher, writer, Trigger(-1), k=1, step=4, most=12)
    assert [one.tokens for one in found.retrievals] == [0, 4, 8]
    assert all(one.query for one in found.retrievals)
    assert found.context is not None and found.context.passages[0].id == "statin"
    assert found.context.tokens > 0


def test_it_goes_on_from_the_passages(searcher: Searcher, writer: Decoder) -> None:
    """The step in doubt is written again after the passages, and so differs from what stood there without them."""
    without = write_answer(QUESTIONS[0], searcher, writer, Trigger(float("inf")), step=8, most=8)
    after = write_answer(QUESTIONS[0], searcher, writer, Trigger(-1), step=8, most=8)
    assert after.text != without.text
    prompts: list[str] = []

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(writer, name)

        def generate(self, given: list[str], **options: Any) -> Any:
            prompts.extend(given)
            return writer.generate(given, **options)

    again = write_answer(QUESTIONS[0], searcher, Watching(), Trigger(-1), step=8, most=8)  # type: ignore[arg-type]
    assert again == after
    assert TEXTS["statin"] not in prompts[0] and TEXTS["statin"] in prompts[1]
    assert [one.count(QUESTIONS[0]) for one in prompts] == [1, 1]


def test_questions_together_get_the_answers_that_they_get_alone(searcher: Searcher, writer: Decoder) -> None:
    trigger = Trigger(0.5)
    together = write_answers(QUESTIONS, searcher, writer, trigger, step=6, most=15, batch_size=2)
    alone = [write_answer(one, searcher, writer, trigger, step=6, most=15) for one in QUESTIONS]
    assert together == alone
    assert write_answers([], searcher, writer, trigger) == []


def test_options_of_a_search_are_passed_on(searcher: Searcher, writer: Decoder) -> None:
    found = write_answer(QUESTIONS[0], searcher, writer, Trigger(-1), step=4, most=4, filter='id = "heart"')
    assert found.context is not None
    assert [one.id for one in found.context.passages] in (["heart"], [])


def test_what_cannot_be_answered_is_refused(searcher: Searcher, writer: Decoder) -> None:
    trigger = Trigger(0.1)
    with pytest.raises(InputError, match="blank"):
        write_answer("  ", searcher, writer, trigger)
    with pytest.raises(UsageError, match="1 or more"):
        write_answer("a question", searcher, writer, trigger, step=0)
    with pytest.raises(UsageError, match="single text"):
        write_answers("a question", searcher, writer, trigger)
    with pytest.raises(InputError, match="tokens"):
        write_answer("statin " * 3000, searcher, writer, trigger)


def test_rarity_is_that_of_the_index(searcher: Searcher, tmp_path: Path) -> None:
    rare, common, absent, stop = searcher.idf(["cholesterol", "drug", "orbit", "the"])
    assert rare > common > 0 == absent == stop
    assert searcher.idf(["drug cholesterol"])[0] == rare
    assert searcher.idf([]).shape == (0,)
    trigger = Trigger(0.1, idf=searcher.idf)
    tokens = [" drug", " cholesterol", *(f" zz{letter}" for letter in "abcdefgh"), " heart"]
    assert trigger.decide(tokens, [0.0] * 10 + [1.0]) == "drug cholesterol zzd zze zzf zzg zzh heart"
