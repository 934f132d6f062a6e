"""Checkpoints as PyLate saves them, against a slow reading in float64."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rerank.late_interaction_support import (
    HIDDEN,
    PROJECTED,
    PUNCTUATION,
    VOCABULARY,
    WORDS,
    slow_maxsim,
    slowly,
    unit,
    write_transformer,
)

from leanseek.encode.colbert import is_colbert
from leanseek.encode.models import model_fingerprint
from leanseek.rerank import RerankOptions, load_reranker
from leanseek.rerank.lateinteraction import Mix, load
from leanseek.types import Hit

pytest.importorskip("sentence_transformers.multi_vector_encoder", reason="needs sentence-transformers 6")

CLS, SEP, MASK = VOCABULARY["[CLS]"], VOCABULARY["[SEP]"], VOCABULARY["[MASK]"]
QUERY, PASSAGE = len(VOCABULARY), len(VOCABULARY) + 1
"""The markers "[Q] " and "[D] ", which PyLate adds to the tokenizer."""
QUERY_TOKENS, PASSAGE_TOKENS = 12, 20
PASSAGES = [
    "statin trial heart",
    "wing slipstream, boundary layer.",
    "orbit",
    "query . heart",
    " ".join(WORDS),
]
QUERIES = ["statin heart", "orbit , rocket", " ".join(WORDS[:14])]


class Checkpoint(NamedTuple):
    """A folder, and what a slow reading needs of the model in it."""

    folder: Path
    transformer: Any
    projection: np.ndarray
    skipped: frozenset[int]


def write_pylate(folder: Path, **settings: object) -> Checkpoint:
    """Transformer and projection with random weights, saved as PyLate does; `settings` over its usual ones.

    A setting that is None is left out.
    """
    import torch
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer

    model = write_transformer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[-2:].normal_(0.0, 0.3)
    model.save_pretrained(folder)
    projection = np.random.default_rng(6).normal(size=(PROJECTED, HIDDEN)).astype(np.float32)
    (folder / "1_Dense").mkdir()
    save_file({"linear.weight": projection}, folder / "1_Dense" / "model.safetensors")
    written: dict[str, Any] = {
        "modules.json": [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": "sentence_transformers.models.Transformer",
            },
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
        "1_Dense/config.json": {
            "in_features": HIDDEN,
            "out_features": PROJECTED,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
        "sentence_bert_config.json": {"max_seq_length": PASSAGE_TOKENS - 1, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "model_type": "ColBERT",
            "__version__": {"sentence_transformers": "5.1.1"},
            "prompts": {"query": "", "document": ""},
            "similarity_fn_name": "MaxSim",
            "query_prefix": "[Q] ",
            "document_prefix": "[D] ",
            "query_length": QUERY_TOKENS,
            "document_length": PASSAGE_TOKENS,
            "attend_to_expansion_tokens": False,
            "skiplist_words": PUNCTUATION,
        }
        | settings,
    }
    told = written["config_sentence_transformers.json"]
    written["config_sentence_transformers.json"] = {
        key: value for key, value in told.items() if value is not None
    }
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content))
    skipped = told["skiplist_words"]
    return Checkpoint(folder, model, projection, frozenset(VOCABULARY[mark] for mark in skipped))


def words(text: str) -> list[int]:
    return [VOCABULARY[word] for word in text.replace(",", " ,").replace(".", " .").split()]


def read(model: Checkpoint, ids: Sequence[int], attended: Sequence[int] | None = None) -> np.ndarray:
    return unit(slowly(model.transformer, ids, attended) @ model.projection.astype(np.float64).T)


def query(model: Checkpoint, text: str, expands: bool = True, attends: bool = False) -> np.ndarray:
    """Marked, cut, and filled up with [MASK], whose vectors count whether or not they are looked at."""
    ids = [CLS, QUERY, *words(text)[: QUERY_TOKENS - 3], SEP]
    if not expands:
        return read(model, ids)
    fillings = QUERY_TOKENS - len(ids)
    return read(model, [*ids, *[MASK] * fillings], [*[1] * len(ids), *[int(attends)] * fillings])


def passage(model: Checkpoint, text: str) -> np.ndarray:
    """Marked, cut, and without the words of the skip list."""
    ids = [CLS, PASSAGE, *words(text)[: PASSAGE_TOKENS - 3], SEP]
    return read(model, ids)[[place for place, token in enumerate(ids) if token not in model.skipped]]


@pytest.mark.parametrize(
    ("settings", "expands", "attends"),
    [
        ({}, True, False),
        ({"attend_to_expansion_tokens": True}, True, True),
        ({"do_query_expansion": False}, False, False),
        ({"model_type": None}, True, False),  # PyLate's first versions did not tell it
        ({"skiplist_words": []}, True, False),
        ({"skiplist_words": [",", "heart"]}, True, False),
    ],
)
def test_scores_are_those_of_a_slow_reading_in_float64(
    tmp_path: Path, settings: dict[str, object], expands: bool, attends: bool
) -> None:
    model = write_pylate(tmp_path, **settings)
    reranker = load(RerankOptions(str(tmp_path), mix=Mix()))
    hits = [Hit(i, f"d{i}", 1 / i, "", text, {}) for i, text in enumerate(PASSAGES, 1)]
    passages = [passage(model, text) for text in PASSAGES]
    for asked, found in zip(QUERIES, reranker.measure(QUERIES, [hits] * len(QUERIES)), strict=True):
        vectors = query(model, asked, expands, attends)
        assert found.maxsim == pytest.approx([slow_maxsim(vectors, one) for one in passages], abs=2e-5)
        assert found.cosine is None
    assert "1 of 5 passages were longer than the model's 20 tokens" in reranker.notes[0]


def test_hits_are_ordered_by_these_scores(tmp_path: Path) -> None:
    model = write_pylate(tmp_path)
    hits = [Hit(i, f"d{i}", 1 / i, "", text, {}) for i, text in enumerate(PASSAGES, 1)]
    vectors = query(model, QUERIES[0])
    scores = [slow_maxsim(vectors, passage(model, text)) for text in PASSAGES]
    found = load(RerankOptions(str(tmp_path), mix=Mix())).rerank(QUERIES[0], hits)
    assert [hit.id for hit in found] == [hits[place].id for place in np.argsort(-np.array(scores))]


def test_it_is_known_by_its_settings_and_loaded_by_name(tmp_path: Path) -> None:
    write_pylate(tmp_path / "model")
    assert is_colbert(tmp_path / "model")
    reranker = load_reranker(f"late-interaction:{tmp_path / 'model'}")
    assert reranker.name == f"late-interaction:{tmp_path / 'model'}"
    write_pylate(tmp_path / "other", query_length=16)
    assert model_fingerprint(tmp_path / "model") != model_fingerprint(tmp_path / "other")
