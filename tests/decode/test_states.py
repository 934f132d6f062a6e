"""States of tokens in 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rerank.incontext_support import decoder, tokenizer

from leanseek.decode import load_decoder
from leanseek.decode.states import PackedStates, States

GROUPS, TOKENS, WIDTH, LAYERS = 3, 195, 64, 25


def states(dtype: torch.dtype = torch.float32) -> States:
    """Random states, with channels of keys that are large in all tokens and tokens with large values."""
    torch.manual_seed(0)
    keys = torch.randn(LAYERS, GROUPS, TOKENS, WIDTH)
    values = torch.randn(LAYERS, GROUPS, TOKENS, WIDTH)
    keys[:, :, :, 5] *= 300
    values[:, :, 7] *= 300
    keys[3, 1, :, 9] = 0
    last = values[-1, :, :1]
    return States(tuple(keys.to(dtype)), (*values[:-1].to(dtype), last.to(dtype)))


def test_numbers_are_within_a_rounding_error_of_their_channel_or_token() -> None:
    exact = states()
    packed = PackedStates.of(exact)
    for number in range(LAYERS):
        keys, values = (part.double().numpy() for part in exact.layer(number))
        found = [part.numpy() for part in packed.layer(number)]
        assert [one.dtype for one in found] == [np.float32] * 2
        # Half a step of the 127, and as much for the scale's own rounding, of the largest alone.
        assert (np.abs(found[0] - keys) <= np.abs(keys).max(axis=1, keepdims=True) / 250 + 1e-12).all()
        if number < LAYERS - 1:
            largest = np.abs(values).max(axis=(0, 2), keepdims=True)
            assert (np.abs(found[1] - values) <= largest / 250 + 1e-12).all()
    assert not packed.layer(3)[0][1, :, 9].any()


@pytest.mark.parametrize(("dtype", "times"), [(torch.float32, 4.0), (torch.bfloat16, 2.0)])
def test_they_take_a_quarter_of_what_all_numbers_take_in_float32(dtype: torch.dtype, times: float) -> None:
    exact = states(dtype)
    packed = PackedStates.of(exact)
    numbers = 2 * LAYERS * GROUPS * TOKENS * WIDTH
    assert numbers * dtype.itemsize >= times * packed.bytes
    assert exact.bytes / packed.bytes > 0.98 * times
    assert packed.layer(0)[0].dtype == dtype
    assert packed.tokens == exact.tokens == TOKENS


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "GPT2"])
def test_the_values_of_the_deepest_layer_are_not_needed(family: str) -> None:
    """Only the first token's are kept, so that the others may be anything."""
    reader = load_decoder((decoder(family), tokenizer()))
    [begin] = reader.states([[0, 5, 9]], 1)
    [block] = reader.states([[7, 8, 20, 31]], 1, begin)
    assert [one.shape[1] for one in block.values] == [4, 1]
    assert [one.shape[1] for one in block.keys] == [4, 4]
    assert block.layer(1)[1].shape == block.layer(0)[1].shape
