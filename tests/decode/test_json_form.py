"""Whatever a decoder is, the form that it fills in can be read."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import decoder, tokenizer

from leanseek.decode import JsonForm, load_decoder
from leanseek.errors import ModelError, UsageError

KEYS = ("perfect", "not relevant", 'a "b"')


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_a_decoder_of_random_weights_fills_it_in(family: str) -> None:
    model = load_decoder((decoder(family), tokenizer()))
    form = JsonForm(model.tokenizer, KEYS, most=5)
    for found in model.generate(["heart trial", "x"], constraint=form, most=form.longest):
        values = json.loads(found.text)
        assert found.finished and tuple(values) == KEYS
        assert all(any(map(str.isalnum, value)) for value in values.values())


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(1, 6), st.booleans())
@settings(max_examples=40)
def test_any_way_through_it_ends_in_json(picks: list[int], most: int, distinct: bool) -> None:
    form, tokens = JsonForm(tokenizer(), KEYS, most, distinct=distinct), list[int]()
    while allowed := form(tokens):
        assert list(allowed) == sorted(set(allowed))
        tokens.append(allowed[picks[len(tokens) % len(picks)] % len(allowed)])
    assert len(tokens) <= form.longest
    assert tuple(json.loads(tokenizer().decode(tokens))) == KEYS


def test_values_end_at_their_longest() -> None:
    form, tokens = JsonForm(tokenizer(), KEYS, 4), list[int]()
    word = tokenizer()("x", add_special_tokens=False)["input_ids"][0]
    while allowed := form(tokens):
        tokens.append(word if word in allowed else allowed[0])
    assert len(tokens) == form.longest
    assert set(json.loads(tokenizer().decode(tokens)).values()) == {"xxxx"}


@given(st.data())
@settings(max_examples=40)
def test_distinct_values_repeat_no_value_and_no_three_tokens(data: st.DataObject) -> None:
    form, tokens = JsonForm(tokenizer(), KEYS, 6, distinct=True), list[int]()
    some = tokenizer()("heart x trial", add_special_tokens=False)["input_ids"]
    while allowed := form(tokens):
        # Few tokens to choose from: a model that repeats itself.
        few = sorted({*some, *allowed[-1:]} & {*allowed}) or list(allowed)[:1]
        tokens.append(data.draw(st.sampled_from(few)))
    values = list(json.loads(tokenizer().decode(tokens)).values())
    assert len(set(values)) == len(values)


def test_the_third_token_of_a_repetition_is_left_out() -> None:
    from leanseek.decode.json_form import without_repeats

    assert without_repeats([3, 4, 5, 9], [1, 2], [[0, 1, 2, 3], [1, 2, 4]], 9) == [5, 9]
    assert without_repeats([3, 9], [1, 2], [[1, 2]], 9) == [3]
    assert without_repeats([3], [1, 2], [[1, 2, 3]], 9) == [9], "a value that nothing may follow ends"


@pytest.mark.parametrize("text", ['say "hi', "a\\b", "two\nlines", "tab\tstop"])
def test_tokens_that_would_end_a_string_or_cannot_stand_in_one_are_no_part_of_values(text: str) -> None:
    words = copy.deepcopy(tokenizer())
    words.add_tokens([text, "plain words"])
    forbidden, plain = words.convert_tokens_to_ids([text, "plain words"])
    form, tokens = JsonForm(words, ["a"]), list[int]()
    while len(allowed := form(tokens)) == 1:
        tokens += allowed
    for within in (allowed, form([*tokens, plain])):
        assert plain in within and forbidden not in within


def test_no_form_is_refused() -> None:
    for keys, most in (([], 5), (["a"], 0)):
        with pytest.raises(UsageError, match="give 1 or more"):
            JsonForm(tokenizer(), keys, most)


def test_a_tokenizer_without_the_letters_of_json_is_told() -> None:
    from support import COPYING_DECODER

    with pytest.raises(ModelError, match="no tokens for JSON"):
        JsonForm(load_decoder(str(COPYING_DECODER)).tokenizer, ["a"])
