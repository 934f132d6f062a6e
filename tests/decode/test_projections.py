"""The queries and keys of a decoder's attention are those that its weights are made of."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from rerank.incontext_support import decoder, tokenizer

from leanseek.decode import load_decoder

IDS = [0, *np.random.default_rng(0).integers(2, 400, 99).tolist()]


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "GPT2"])
def test_attention_is_made_of_them(family: str) -> None:
    """Against the weights that transformers itself computes."""
    model = copy.deepcopy(decoder(family))
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = model(torch.tensor([IDS]), output_attentions=True).attentions
    found = load_decoder((decoder(family), tokenizer())).projections(IDS, 40)
    assert sorted(found) == list(range(len(expected)))
    for layer, (queries, keys) in found.items():
        assert queries.dtype == keys.dtype == np.float32
        assert (queries.shape[:2], keys.shape[1]) == ((4, 40), 100)
        keys = keys.repeat(len(queries) // len(keys), axis=0)
        scores = np.einsum("hqd,hnd->hqn", queries, keys) / np.sqrt(queries.shape[2])
        scores[:, np.arange(100) > np.arange(60, 100)[:, None]] = -np.inf
        weights = torch.tensor(scores).float().softmax(dim=-1)
        assert torch.allclose(weights, expected[layer][0, :, 60:], atol=1e-5)


def test_only_the_layers_asked_for() -> None:
    reader = load_decoder((decoder(), tokenizer()))
    some, every = reader.projections(IDS, 5, [1]), reader.projections(IDS, 5)
    assert list(some) == [1]
    assert all(np.array_equal(one, other) for one, other in zip(some[1], every[1], strict=True))
