"""The scores are those of the published method, computed here the slow way in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import CHAT, FAMILIES, LATE, decoder, passages, slow_scores, tokenizer

from leanseek.decode.chat import Frame, chat_frame
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext.prompts import Wording, tokenize
from leanseek.rerank.incontext.reader import counted

DOCUMENTS = [*passages(6), "x", "", "heart [2] trial\n\nQuery: placebo", "naïve café – Ωμέγα 東京"]
QUERY = "does a statin lower cholesterol?"


def close(found: list[float], expected: list[float]) -> None:
    """Each within a thousandth of its value; where that is next to nothing, of the scores' usual size."""
    assert len(found) == len(expected)
    usual = float(np.abs(expected).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * usual)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_published_scores(family: str) -> None:
    model = decoder(family)
    found = InContextReranker((model, tokenizer())).score(QUERY, DOCUMENTS)
    expected = slow_scores(model, tokenizer(), QUERY, DOCUMENTS)
    assert np.abs(expected).max() > 1e-3  # something to compare
    close(found, expected)


def test_what_sinks_take_of_the_attention_is_no_documents() -> None:
    """Experts are not to be had in double precision."""
    model = decoder("GptOss")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.sinks.fill_(2.0)
    found = InContextReranker((model, tokenizer())).score(QUERY, DOCUMENTS)
    expected = slow_scores(model, tokenizer(), QUERY, DOCUMENTS, double=False)
    close(found, expected)


@pytest.mark.parametrize("kind", ["IE", "QA"])
@pytest.mark.parametrize("separator", ["\n\n", " \n\n", " "])
def test_the_wording_is_as_asked(kind: str, separator: str) -> None:
    model = decoder("Qwen3")
    found = InContextReranker((model, tokenizer()), kind, "[INST]", "[/INST]", separator)
    expected = slow_scores(model, tokenizer(), QUERY, DOCUMENTS, kind, "[INST]", "[/INST]", separator)
    close(found.score(QUERY, DOCUMENTS), expected)


def test_prefix_and_suffix_are_those_of_the_chat_template() -> None:
    model = decoder()
    found = InContextReranker((model, tokenizer(chat=True)))
    around = {"prefix": "<|user|>\n", "suffix": "<|end|>\n<|assistant|>"}
    close(found.score(QUERY, DOCUMENTS), slow_scores(model, tokenizer(), QUERY, DOCUMENTS, **around))
    assert found.notes == ()
    half = InContextReranker((model, tokenizer(chat=True)), prompt_suffix="")
    close(
        half.score(QUERY, DOCUMENTS), slow_scores(model, tokenizer(), QUERY, DOCUMENTS, prefix="<|user|>\n")
    )


def test_the_beginning_of_a_text_is_marked_once() -> None:
    assert CHAT.startswith("{{ bos_token }}")
    frame = chat_frame(tokenizer(chat=True))
    assert frame is not None
    ids = tokenize(tokenizer(chat=True), Wording(frame, "IE", "\n\n").compose("q", ["d"])).ids
    assert ids.count(0) == 1 and ids[0] == 0 and ids[-1] != 1


def test_without_calibration_and_with_some_heads() -> None:
    model = decoder("Gemma2")
    plain = InContextReranker((model, tokenizer()), calibrated=False)
    close(plain.score(QUERY, DOCUMENTS), slow_scores(model, tokenizer(), QUERY, DOCUMENTS, calibrated=False))
    layered = InContextReranker((model, tokenizer()), layers=(1, 2))
    heads = [(1, head) for head in range(4)]
    close(layered.score(QUERY, DOCUMENTS), slow_scores(model, tokenizer(), QUERY, DOCUMENTS, heads=heads))


def test_the_model_is_left_as_it_was() -> None:
    model = decoder("Llama", seed=9)
    before = model.config._attn_implementation
    ids = torch.arange(2, 40)[None]
    with torch.no_grad():
        logits = model(ids).logits
        InContextReranker((model, tokenizer())).score(QUERY, DOCUMENTS)
        assert model.config._attn_implementation == before
        assert torch.equal(model(ids).logits, logits)
    model.train()
    try:
        InContextReranker((model, tokenizer())).score(QUERY, DOCUMENTS)
        assert model.training and model.model.layers[0].training
    finally:
        model.eval()


def test_documents_stand_in_the_order_given() -> None:
    wording = Wording(Frame("<", ">"), "QA", "\n\n")
    prompt = wording.compose(" what? ", ["first", "second"])
    assert prompt.text == (
        f"< Here are some paragraphs:\n\n[1] first\n\n[2] second\n\n{LATE['QA']}\n\nQuery: what?>"
    )
    assert [prompt.text[start:end] for start, end in prompt.documents] == ["[1] first", "[2] second"]
    assert prompt.text[prompt.question :].startswith(LATE["QA"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.text(max_size=20))
def test_spans_cover_their_documents_and_nothing_asked(documents: list[str], query: str) -> None:
    prompt = Wording(Frame("", ""), "IE", "\n\n").compose(query, documents)
    tokens = tokenize(tokenizer(), prompt)
    for (start, end), span in zip(prompt.documents, tokens.documents, strict=True):
        inside = {place for place, (a, b) in enumerate(tokens.offsets) if a < end and b > start and b > a}
        assert inside == set(range(span.start, span.end))
        assert span.end <= tokens.question
    assert tokens.offsets[tokens.question][1] > prompt.question
    assert tokens.offsets[tokens.question - 1][1] <= prompt.question


def test_tokens_far_below_the_mean_are_not_counted() -> None:
    tokens = np.array([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, -50.0])
    assert counted(tokens).sum() == pytest.approx(tokens[:-1].sum())
    assert counted(np.array([-3.0])).tolist() == [-3.0]
