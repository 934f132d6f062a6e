"""Documents read each by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from rerank.incontext_support import LATE, decoder, passages, tokenizer

from leanseek.rerank import InContextReranker

QUERY = "does a statin lower cholesterol?"


def reranker(family: str = "Llama", memory: int = 1 << 30, **options: Any) -> InContextReranker:
    return InContextReranker((decoder(family), tokenizer()), block_memory=memory, **options)


def slow_scores(model: Any, query: str, documents: Sequence[str]) -> list[float]:
    """One prompt with a mask and positions of its own, its whole attention matrices in double precision."""
    exact = copy.deepcopy(model).double()
    exact.set_attn_implementation("eager")

    def attention(question: str) -> tuple[np.ndarray, list[np.ndarray]]:
        def tokens(text: str, first: bool = False) -> list[int]:
            ids = tokenizer()(text)["input_ids"][:-1]
            return ids if first else ids[1:]

        ids, owner, position = tokens(" Here are some paragraphs:", True), [], []
        owner, position = [-1] * len(ids), list(range(len(ids)))
        begin, spans = len(ids), []
        for number, document in enumerate(documents):
            block = tokens(f"\n\n[1] {document}\n\n")
            around = len(tokens("\n\n"))
            spans.append(np.arange(len(ids) + around, len(ids) + len(block) - around))
            ids += block
            owner += [number] * len(block)
            position += [begin + place for place in range(len(block))]
        asked = tokens(f"{LATE['IE']}\n\nQuery: {question}")
        start = max(position) + 1
        ids += asked
        owner += [len(documents)] * len(asked)
        position += [start + place for place in range(len(asked))]
        kind, place = np.array(owner), np.array(position)
        seen = (place[:, None] >= place[None]) & (
            (kind[None] == -1) | (kind[:, None] == kind[None]) | (kind[:, None] == len(documents))
        )
        mask = torch.where(torch.from_numpy(seen), 0.0, -torch.inf).double()[None, None]
        with torch.no_grad():
            layers = exact(
                torch.tensor([ids]),
                attention_mask=mask,
                position_ids=torch.tensor([position]),
                output_attentions=True,
            ).attentions
        looked = np.stack([layer[0].numpy() for layer in layers])[:, :, -len(asked) :].mean(axis=2)
        return looked.sum(axis=(0, 1)), spans

    asked, spans = attention(query)
    blank, _ = attention("N/A")
    scores = []
    for places in spans:
        tokens = asked[places] - blank[places]
        scores.append(float(tokens[tokens > tokens.mean() - 2 * tokens.std(ddof=1)].sum()))
    return scores


@pytest.mark.parametrize("family", ["Llama", "Phi3", "GPT2"])
def test_scores_are_those_of_a_prompt_in_which_documents_do_not_see_each_other(family: str) -> None:
    documents = passages(5)
    expected = slow_scores(decoder(family), QUERY, documents)
    assert reranker(family).score(QUERY, documents) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Gemma3Text", "Qwen2", "Mistral"])
def test_a_single_document_gets_the_published_score(family: str) -> None:
    whole = InContextReranker((decoder(family), tokenizer()))
    for document in passages(3, words=20):
        assert reranker(family).score(QUERY, [document]) == pytest.approx(
            whole.score(QUERY, [document]), rel=1e-3
        )


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Gemma3Text"])
def test_the_order_and_what_is_kept_mean_nothing(family: str) -> None:
    documents = [*passages(6), "x", ""]
    judge = reranker(family)
    scores = judge.score(QUERY, documents)
    order = np.random.default_rng(0).permutation(len(documents))
    again = judge.score(QUERY, [documents[place] for place in order])  # all states are kept by now
    assert again == pytest.approx([scores[place] for place in order], rel=1e-3)
    assert reranker(family, memory=0).score(QUERY, documents) == pytest.approx(scores, rel=1e-3)


def test_documents_are_computed_once_and_the_least_used_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = reranker()
    computed: list[int] = []
    real = judge._decoder.states
    monkeypatch.setattr(
        judge._decoder,
        "states",
        lambda blocks, *rest: (computed.append(len(blocks)), real(blocks, *rest))[1],
    )
    documents = passages(5)
    judge.score("statin", documents)
    judge.score("placebo heart", documents[:3])
    assert sum(computed) == 6  # the beginning and each document, once
    judge.score("orbit", [*documents, "one more"])
    assert sum(computed) == 7

    one = judge._decoder.states([list(range(60))], 2)[0].bytes
    scarce = reranker(memory=3 * one)
    monkeypatch.setattr(scarce._decoder, "states", judge._decoder.states)
    for document in documents:
        scarce.score("statin", [document])
    computed.clear()
    scarce.score("statin", [documents[-1]])
    assert sum(computed) == 0
    scarce.score("statin", [documents[0]])
    assert sum(computed) == 1


def test_in_8_bits_scores_are_nearly_the_same_whatever_is_kept() -> None:
    documents = passages(6)
    exact = reranker().score(QUERY, documents)
    packed = reranker(block_bits=8)
    scores = packed.score(QUERY, documents)
    assert scores == pytest.approx(exact, abs=0.01)
    assert scores != exact
    assert packed.score(QUERY, documents) == pytest.approx(scores, rel=1e-3)  # all states are kept by now
    assert reranker(memory=0, block_bits=8).score(QUERY, documents) == pytest.approx(scores, rel=1e-3)


def test_in_8_bits_more_documents_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [" ".join(passages(1, words=60, seed=seed)) for seed in range(12)]

    def computed_again(**options: Any) -> int:
        exact = reranker(memory=0)._decoder.states([list(range(100))], 2)[0].bytes
        judge = reranker(memory=6 * exact, **options)
        computed: list[int] = []
        real = judge._decoder.states
        for document in documents:
            judge.score("statin", [document])
        monkeypatch.setattr(
            judge._decoder,
            "states",
            lambda blocks, *rest: (computed.append(len(blocks)), real(blocks, *rest))[1],
        )
        for document in reversed(documents):
            judge.score("heart", [document])
        return sum(computed)

    assert computed_again() >= 6
    assert computed_again(block_bits=8) == 0


def test_any_number_of_documents_fits() -> None:
    model = copy.deepcopy(decoder())
    model.config.max_position_embeddings = 256
    judge = InContextReranker((model, tokenizer()), block_memory=0)
    scores = judge.score(QUERY, passages(60))
    assert len(set(scores)) == 60
    assert not any("windows" in note for note in judge.notes)
