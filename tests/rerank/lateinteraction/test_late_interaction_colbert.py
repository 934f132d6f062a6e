"""Checkpoints of ColBERT's kind, against a slow reading in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank.late_interaction_support import (
    PUNCTUATION,
    VOCABULARY,
    WORDS,
    slow_maxsim,
    slowly,
    unit,
    write_colbert,
)

from leanseek.errors import UsageError
from leanseek.rerank import RerankOptions, load_reranker
from leanseek.rerank.lateinteraction import Mix, load
from leanseek.types import Hit

pytest.importorskip("sentence_transformers.multi_vector_encoder", reason="needs sentence-transformers 6")

CLS, SEP, MASK = VOCABULARY["[CLS]"], VOCABULARY["[SEP]"], VOCABULARY["[MASK]"]
QUERY, PASSAGE = VOCABULARY["[unused0]"], VOCABULARY["[unused1]"]
PASSAGES = ["statin trial heart", "wing slipstream, boundary layer.", "orbit", " ".join(WORDS)]


def words(text: str) -> list[int]:
    return [VOCABULARY[word] for word in text.replace(",", " ,").replace(".", " .").split()]


@pytest.mark.parametrize("attends", [False, True])
def test_scores_are_those_of_a_slow_reading_in_float64(tmp_path: Path, attends: bool) -> None:
    transformer, projection = write_colbert(tmp_path, query_tokens=12, passage_tokens=20, attends=attends)
    reranker = load(RerankOptions(str(tmp_path), mix=Mix()))
    punctuation = {VOCABULARY[mark] for mark in PUNCTUATION}

    def query(text: str) -> np.ndarray:
        ids = [CLS, QUERY, *words(text)[:9], SEP]
        filled = [*ids, *[MASK] * (12 - len(ids))]
        attended = [1] * (12 if attends else len(ids)) + [0] * (0 if attends else 12 - len(ids))
        return unit(slowly(transformer, filled, attended) @ projection.T)

    def passage(text: str) -> np.ndarray:
        ids = [CLS, PASSAGE, *words(text)[:17], SEP]
        kept = [place for place, token in enumerate(ids) if token not in punctuation]
        return unit(slowly(transformer, ids) @ projection.T)[kept]

    hits = [Hit(i, f"d{i}", 1 / i, "", text, {}) for i, text in enumerate(PASSAGES, 1)]
    queries = ["statin heart", " ".join(WORDS[:14])]
    for asked, found in zip(queries, reranker.measure(queries, [hits, hits]), strict=True):
        wanted = [slow_maxsim(query(asked), passage(text)) for text in PASSAGES]
        assert found.maxsim == pytest.approx(wanted, abs=2e-5)
        assert found.cosine is None
    assert "1 of 4 passages were longer than the model's 20 tokens" in reranker.notes[0]
    # Nine words stand beside the three marks; the second query has fourteen.
    assert reranker.notes[1].startswith("1 query was longer than the model's 12 tokens")
    reranker.measure([" ".join(WORDS[:9])], [hits])
    assert reranker.notes[1].startswith("1 query was")


def test_it_is_loaded_by_name_and_by_torch_alone(tmp_path: Path) -> None:
    write_colbert(tmp_path)
    reranker = load_reranker(f"late-interaction:{tmp_path}")
    assert reranker.name == f"late-interaction:{tmp_path}"
    again = load_reranker(reranker.name)
    assert again.fingerprint == reranker.fingerprint
    with pytest.raises(UsageError, match="torch alone"):
        load(RerankOptions(f"onnx:{tmp_path}"))
