"""Heads that copy, and heads that are masked, against whole attention matrices and a model without them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from rerank.incontext_support import decoder, passages, slow_scores, tokenizer

from leanseek.errors import UsageError
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import Head
from leanseek.rerank.incontext.prompts import tokenize
from leanseek.train import Example, check_heads, find_heads
from leanseek.train.head_copying import copied, sentence_for
from leanseek.train.prompt_examples import ndcg

DOCUMENTS = ("Mice eat cheese. A statin lowers cholesterol of the heart. Dogs do not.", *passages(3))
EXAMPLE = Example("does a statin lower cholesterol?", DOCUMENTS, (True, False, False, False))


def test_the_sentence_is_the_one_with_most_words_of_the_query() -> None:
    first, last = sentence_for(EXAMPLE.query, DOCUMENTS[0])
    assert DOCUMENTS[0][first:last].strip() == "A statin lowers cholesterol of the heart."
    assert sentence_for("q", "one two") == (0, 7) and sentence_for("q", " ") == (0, 1)


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Gemma2", "GPT2"])
def test_a_head_copies_what_its_strongest_attention_points_to(family: str) -> None:
    model = decoder(family)
    reader = InContextReranker((model, tokenizer())).reader
    found = copied(reader, EXAMPLE)
    prompt = reader.wording.compose(EXAMPLE.query, DOCUMENTS)
    tokens = tokenize(tokenizer(), prompt)
    start = prompt.text.index("A statin lowers")
    end = prompt.text.index(" Dogs do not.")
    inside = [place for place, (begin, stop) in enumerate(tokens.offsets) if begin < end and stop > start]
    exact = copy.deepcopy(model).double()
    exact.set_attn_implementation("eager")
    ids = [*tokens.ids, *(tokens.ids[place] for place in inside)]
    with torch.no_grad():
        layers = exact(torch.tensor([ids]), output_attentions=True).attentions
    expected = []
    for layer in layers:
        for head in layer[0].numpy():
            hits = 0
            for number, place in enumerate(inside):
                strongest = int(head[len(tokens.ids) - 1 + number].argmax())
                hits += strongest in inside and ids[strongest] == ids[place]
            expected.append(hits / len(inside))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def without(model: Any, heads: list[tuple[int, int]]) -> Any:
    """The model whose output projections ignore some heads."""
    changed = copy.deepcopy(model)
    size = changed.config.head_dim
    with torch.no_grad():
        for layer, head in heads:
            changed.model.layers[layer].self_attn.o_proj.weight[:, head * size : (head + 1) * size] = 0
    return changed


def test_masked_heads_neither_compute_nor_count() -> None:
    model = decoder("Qwen3")
    examples = [
        Example(query, tuple(passages(6, seed=seed)), tuple(place == seed for place in range(6)))
        for seed, query in enumerate(("heart trial", "a statin", "placebo wing", "shock orbit"))
    ]
    masked = [(0, 1), (1, 2)]
    found = check_heads(
        InContextReranker((model, tokenizer())).reader, [Head(*head) for head in masked], examples, draws=2
    )

    def expected(heads: list[tuple[int, int]]) -> float:
        rest = [(layer, head) for layer in range(3) for head in range(4) if (layer, head) not in heads]
        scores = [
            slow_scores(without(model, heads), tokenizer(), one.query, one.documents, heads=rest)
            for one in examples
        ]
        return float(
            np.mean(
                [
                    ndcg(np.array([s]), np.array(one.relevant))[0]
                    for s, one in zip(scores, examples, strict=True)
                ]
            )
        )

    assert found.whole == pytest.approx(expected([])) and found.without_selected == pytest.approx(
        expected(masked)
    )
    assert len(found.without_others) == 2
    assert found.lost == pytest.approx(found.whole - found.without_selected)
    with pytest.raises(UsageError, match="choose fewer heads"):
        check_heads(
            InContextReranker((model, tokenizer())).reader,
            [Head(0, n) for n in range(4)] + [Head(1, 0), Head(1, 1)],
            examples,
        )


def test_masking_ends_with_the_block() -> None:
    reranker = InContextReranker((decoder(), tokenizer()))
    before = reranker.score("heart", passages(4))
    examples = [Example("heart", tuple(passages(4)), (True, False, False, False))]
    check_heads(reranker.reader, [Head(0, 0)], examples, draws=1)
    assert reranker.score("heart", passages(4)) == before


def test_heads_by_copying_are_found_and_checked() -> None:
    reader = (decoder(), tokenizer())
    examples = [
        Example(query, DOCUMENTS, EXAMPLE.relevant)
        for query in ("statin", "cholesterol", "heart")
        for _ in range(4)
    ]
    found = find_heads(reader, examples, method="copy", count=2, check=True, seed=3)
    assert found.heads.method == "copy" and (found.learned_from, found.held_out) == (8, 4)
    assert found.check is not None and len(found.check.without_others) == 5
    assert find_heads(reader, examples, method="copy", count=2, seed=3).heads == found.heads
