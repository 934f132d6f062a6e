"""Generation and log-probabilities against the same model called token by token, without a cache."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import decoder, tokenizer
from support import WORDS

from leanseek.decode import Decoder, OneOf, load_decoder
from leanseek.errors import InputError, ModelError, UsageError

SHARED = "does a statin lower the cholesterol of mice? heart trial, heart trial, "
PROMPTS = ["heart trial", "a much longer prompt: does a statin lower the cholesterol of mice?", "x"]
FAMILIES = ("Llama", "Qwen3", "Gemma2", "Gemma3Text", "GPT2", "Phi3")


def pair(family: str = "Llama") -> Decoder:
    return load_decoder((decoder(family), tokenizer()))


def ids_of(text: str) -> list[int]:
    return list(tokenizer()(text)["input_ids"][:-1])  # without the mark for the end


def choices(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(v,) log-probabilities of the token after these, each time from the first token on."""
    with torch.no_grad():
        return model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1].double().log_softmax(dim=-1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("batch_size", "shared"), [(1, ""), (3, ""), (3, SHARED)])
def test_the_most_probable_token_is_taken_each_time(family: str, batch_size: int, shared: str) -> None:
    prompts = [shared + prompt for prompt in PROMPTS]
    found = pair(family).generate(prompts, most=12, batch_size=batch_size)
    for prompt, one in zip(prompts, found, strict=True):
        ids = ids_of(prompt)
        for token in one.tokens:
            scores = choices(decoder(family), ids)
            assert token.id == int(scores.argmax())
            assert token.log_probability == pytest.approx(float(scores[token.id]), abs=1e-4)
            assert token.entropy == pytest.approx(-float((scores.exp() * scores).sum()), abs=1e-3)
            ids.append(token.id)
        assert one.text == tokenizer().decode([token.id for token in one.tokens], skip_special_tokens=True)
        assert one.log_probability == pytest.approx(sum(token.log_probability for token in one.tokens))
        ended = int(choices(decoder(family), ids).argmax()) == tokenizer().eos_token_id
        assert len(one.tokens) == 12 or ended
        assert one.finished == (len(one.tokens) < 12)


def test_what_prompts_begin_with_is_read_once() -> None:
    read, model = list[tuple[int, ...]](), copy.deepcopy(decoder())
    model.register_forward_pre_hook(
        lambda _, given, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    load_decoder((model, tokenizer())).generate([SHARED + prompt for prompt in PROMPTS], most=2)
    rows, lengths = [ids_of(SHARED + prompt) for prompt in PROMPTS], [shape[1] for shape in read]
    common = next(place for place in range(99) if len({row[place] for row in rows}) > 1)
    assert common > 16 and read[0] == (1, common) and lengths[1:] == [max(map(len, rows)) - common, 1]


def test_settings_that_a_model_brings_for_sampling_play_no_part() -> None:
    model = copy.deepcopy(decoder())
    model.generation_config.update(do_sample=True, temperature=3.0, repetition_penalty=9.0, top_k=2)
    model.train()
    changed = load_decoder((model, tokenizer()))
    assert changed.generate(PROMPTS, most=8) == pair().generate(PROMPTS, most=8)
    assert model.training and model.config._attn_implementation == decoder().config._attn_implementation


def test_a_text_ends_where_the_model_ends_it() -> None:
    model = copy.deepcopy(decoder())
    (free,) = load_decoder((model, tokenizer())).generate(PROMPTS[:1], most=10)
    place = next(n for n in range(1, 10) if free.tokens[n].id not in [t.id for t in free.tokens[:n]])
    model.generation_config.eos_token_id = [399, free.tokens[place].id]
    (ended,) = load_decoder((model, tokenizer())).generate(PROMPTS[:1], most=10)
    assert ended.tokens == free.tokens[:place] and ended.finished and not free.finished


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_each_token_after_the_ones_before(family: str) -> None:
    prompt, text = "does a statin", " lower cholesterol?"
    found = pair(family).log_probabilities(prompt, text)
    whole = ids_of(prompt + text)
    begin = len(whole) - len(found)
    assert "".join(token.text for token in found).endswith(text.strip()) and begin > 0
    for place, token in enumerate(found, begin):
        scores = choices(decoder(family), whole[:place])
        assert token.id == whole[place]
        assert token.log_probability == pytest.approx(float(scores[token.id]), abs=1e-4)
    assert pair(family).log_probabilities(prompt, "") == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12, unique=True), st.sampled_from(PROMPTS))
def test_one_of_some_texts_is_written_and_at_each_token_the_best_that_leads_to_one(
    words: list[str], prompt: str
) -> None:
    texts = [*words, f"{words[0]} {words[-1]}"]
    (found,) = pair().generate([prompt], most=64, constraint=OneOf(tokenizer(), texts))
    assert found.text in texts and found.finished
    ids, paths = (
        ids_of(prompt),
        [list(tokenizer()(text, add_special_tokens=False)["input_ids"]) for text in texts],
    )
    ends = [[*path, tokenizer().eos_token_id] for path in paths]
    for place, token in enumerate(found.tokens):
        scores = choices(decoder(), ids).numpy()
        open_paths = [path for path in ends if path[:place] == [one.id for one in found.tokens[:place]]]
        allowed = sorted({path[place] for path in open_paths})
        assert scores[token.id] >= max(scores[allowed]) - 1e-5
        ids.append(token.id)


def test_a_constraint_of_ones_own_gets_what_was_written_so_far() -> None:
    seen: list[list[int]] = []

    def upwards(generated: Sequence[int]) -> list[int]:
        seen.append(list(generated))
        return [] if len(generated) == 3 else [10 + len(generated), 20 + len(generated)]

    (found,) = pair().generate(["heart"], most=9, constraint=upwards)
    assert [len(one) for one in seen] == [0, 1, 2, 3] and found.finished
    assert all(token.id % 10 == place for place, token in enumerate(found.tokens))


def test_what_does_not_fit_is_told() -> None:
    short = load_decoder((decoder(), tokenizer()))
    room = (short.context or 0) - len(ids_of("heart " * 20))
    full = "heart " * 20 + "x" * (room - 3)
    assert len(short.generate([full], most=50)[0].tokens) <= (short.context or 0) - len(ids_of(full)) + 1
    with pytest.raises(InputError, match=r"has 2,\d\d\d tokens, and the model reads 2,048"):
        short.generate(["x" * 2100])
    with pytest.raises(InputError, match="shorten it"):
        short.log_probabilities("x", "x" * 2100)
    with pytest.raises(InputError, match="empty"):
        load_decoder((decoder("GPT2"), bare_tokenizer())).generate([""])
    with pytest.raises(InputError, match="empty"):
        load_decoder((decoder("GPT2"), bare_tokenizer())).log_probabilities("", "heart")
    for most, batch_size in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="give 1 or more"):
            short.generate(["x"], most=most, batch_size=batch_size)
    for texts in ([], ["yes", ""]):
        with pytest.raises(UsageError, match="at least one text"):
            OneOf(tokenizer(), texts)
    with pytest.raises(UsageError, match="give a list"):
        short.generate("x")
    assert short.generate([]) == []


def test_a_model_without_a_limit_writes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = pair().generate(PROMPTS, most=4)
    monkeypatch.setattr(Decoder, "context", None)
    assert pair().generate(PROMPTS, most=4) == limited


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_a_long_prompt_takes_no_room_from_those_read_with_it(family: str) -> None:
    one = pair(family)
    long = "x" * ((one.context or 0) - 3)
    alone = [one.generate([prompt], most=12)[0] for prompt in ("heart trial", long)]
    assert len(alone[0].tokens) == 12 > len(alone[1].tokens)
    together = one.generate(["heart trial", long], most=12)
    assert [text.text for text in together] == [text.text for text in alone]


def bare_tokenizer() -> Any:
    """One that adds no marks."""
    bare = copy.deepcopy(tokenizer())
    bare.backend_tokenizer.post_processor = None
    return bare


def test_output_that_is_no_numbers_is_an_error() -> None:
    broken = copy.deepcopy(decoder())
    with torch.no_grad():
        broken.model.norm.weight.fill_(np.nan)
    with pytest.raises(ModelError, match="no numbers"):
        load_decoder((broken, tokenizer())).generate(["heart"])
    with pytest.raises(ModelError, match="no numbers"):
        load_decoder((broken, tokenizer())).log_probabilities("heart", " trial")


def test_a_message_is_put_into_the_chat_template() -> None:
    assert (
        load_decoder((decoder(), tokenizer(chat=True))).chat("Hello?")
        == "<|user|>\nHello?<|end|>\n<|assistant|>"
    )
    assert pair().chat("Hello?") == "Hello?"
