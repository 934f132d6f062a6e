"""N-grams that a decoder finds: against the same search with the model called token by token, without a cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from rerank.incontext_support import decoder, tokenizer

from leanseek.decode import load_decoder
from leanseek.decode.ngram_beams import generate_ngrams
from leanseek.errors import InputError, UsageError
from leanseek.types import Int64Array

PROMPT = "heart trial of mice"
TEXTS = ["the statin lowers cholesterol in mice", "mice of the heart trial", "the trial lowers the heart"]


class PlainContinuations:
    """The n-grams of some texts, found by looking at every place."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [tokenizer()(text, add_special_tokens=False)["input_ids"] for text in texts]

    @property
    def everything(self) -> tuple[int, ...]:
        return ()

    def extend(self, found: tuple[int, ...], token: int) -> tuple[int, ...]:
        return (*found, token)

    def may_follow(self, found: tuple[int, ...]) -> Int64Array:
        n = len(found)
        return np.unique(
            [
                text[at + n]
                for text in self.texts
                for at in range(len(text) - n)
                if tuple(text[at : at + n]) == found
            ]
        ).astype(np.int64)


def expected(ngrams: PlainContinuations, beams: int, longest: int) -> list[tuple[tuple[int, ...], float]]:
    prompt = list(tokenizer()(PROMPT)["input_ids"][:-1])
    open_ngrams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    found = []
    for _ in range(longest):
        longer = []
        for tokens, score in open_ngrams:
            with torch.no_grad():
                logits = decoder("Llama")(torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0, -1]
            chances = logits.double().log_softmax(dim=-1)
            for token in ngrams.may_follow(tokens).tolist():
                longer.append(((*tokens, token), score + float(chances[token])))
        open_ngrams = sorted(longer, key=lambda one: -one[1])[:beams]
        found += open_ngrams
    return found


@pytest.mark.parametrize(("beams", "longest"), [(1, 4), (3, 5), (50, 3)])
def test_the_most_probable_ngrams_that_occur_are_found(beams: int, longest: int) -> None:
    ngrams = PlainContinuations(TEXTS)
    pair = load_decoder((decoder("Llama"), tokenizer()))
    found = generate_ngrams(pair, PROMPT, ngrams, beams=beams, longest=longest)
    by_hand = expected(ngrams, beams, longest)
    assert [one.tokens for one in found] == [tokens for tokens, _ in by_hand]
    assert [one.log_probability for one in found] == pytest.approx([score for _, score in by_hand], abs=1e-3)
    assert all(one.state == one.tokens for one in found)


def test_ngrams_have_their_probability_behind_another_prompt() -> None:
    ngrams = PlainContinuations(TEXTS)
    pair = load_decoder((decoder("Llama"), tokenizer()))
    prefix = "the statin"
    for one in generate_ngrams(pair, PROMPT, ngrams, other=prefix, beams=3, longest=4):
        prompt = list(tokenizer()(prefix)["input_ids"][:-1])
        with torch.no_grad():
            logits = decoder("Llama")(torch.tensor([[*prompt, *one.tokens]]), use_cache=False).logits[0]
        chances = logits.double().log_softmax(dim=-1)[len(prompt) - 1 :]
        by_hand = sum(float(chances[place, token]) for place, token in enumerate(one.tokens))
        assert one.otherwise == pytest.approx(by_hand, abs=1e-3)


def test_where_nothing_follows_nothing_is_found() -> None:
    pair = load_decoder((decoder("Llama"), tokenizer()))
    assert generate_ngrams(pair, PROMPT, PlainContinuations([])) == []


def test_what_cannot_be_asked_is_refused() -> None:
    pair = load_decoder((decoder("Llama"), tokenizer()))
    with pytest.raises(UsageError, match="write nothing"):
        generate_ngrams(pair, PROMPT, PlainContinuations(TEXTS), beams=0)
    with pytest.raises(InputError, match="shorten"):
        generate_ngrams(pair, "heart " * 100_000, PlainContinuations(TEXTS))
