"""Extracts by the token vectors that an index has stored: which are used, what they change, and what goes wrong."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from rerank.cross_encoder_support import build_model, hits_of, texts
from rerank.late_interaction_support import write_biencoder

from leanseek import Document, Index, load_reranker
from leanseek.indexing import forget_tokens, store_tokens
from leanseek.rerank import ByScore
from leanseek.rerank.crossencoder import CrossEncoderReranker
from leanseek.rerank.crossencoder.extracts import Extractor
from leanseek.rerank.lateinteraction.sentence_similarity import load_similarity, stored_similarity
from leanseek.rerank.lateinteraction.stored_tokens import TokenStoreWarning
from leanseek.types import Hit

pytest.importorskip("sentence_transformers", reason="needs leanseek[encode]")

QUERY = "statin trial against placebo"
HITS = hits_of([". ".join(texts(20, 8, seed)) + "." for seed in range(3)], "Wing")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    write_biencoder(folder)
    return f"torch:{folder / 'model'}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"cross-encoder:torch:{build_model(tmp_path_factory.mktemp('cross'))}"


@pytest.fixture
def index(tmp_path: Path, encoder: str) -> Path:
    path = tmp_path / "i"
    Index.create(path, encoder=None).add([Document(hit.id, hit.text, hit.title) for hit in HITS])
    store_tokens(path, encoder, bits=8)
    return path


def loaded(model: str, index: Path | None, long: str = "extract") -> CrossEncoderReranker:
    found = load_reranker(model, "cpu", long=long, cache=False, index=index)
    assert isinstance(found, CrossEncoderReranker)
    return found


def test_stored_vectors_choose_the_sentences(model: str, encoder: str, index: Path) -> None:
    by_words, by_both = loaded(model, None), loaded(model, index)
    assert by_words.fingerprint != by_both.fingerprint and not by_both.alone
    tokenizer = by_both._tokenizer
    wanted = Extractor(tokenizer, "english", load_similarity(encoder, "cpu"))
    [round_] = wanted.rounds([QUERY], [HITS], 61)
    read = [Hit(1, one.extract.text, 1.0, "", one.extract.text, {}) for one in round_]
    [expected] = loaded(model, None, "maxp").judge([QUERY], [read])
    [scored] = by_both.judge([QUERY], [HITS])
    assert np.allclose(scored.scores, expected.scores, atol=1e-5)
    [words] = by_words.judge([QUERY], [HITS])
    assert not np.allclose(scored.scores, words.scores, atol=1e-3)
    # Alone, together, and mixed with the search: the same scores.
    both = by_both.judge([QUERY, "wing"], [HITS, HITS[:1]])
    assert np.allclose(both[0].scores, scored.scores, atol=1e-5)
    mixed = load_reranker(f"interpolated:{model}", "cpu", long="extract", cache=False, index=index)
    assert isinstance(mixed, ByScore) and by_both.name in mixed.name


def test_where_nothing_is_stored_the_words_choose(model: str, index: Path) -> None:
    assert loaded(model, index, "maxp").fingerprint == loaded(model, None, "maxp").fingerprint
    forget_tokens(index)
    assert stored_similarity(index) is None
    assert loaded(model, index).fingerprint == loaded(model, None).fingerprint


def test_a_store_that_cannot_be_used_is_told(model: str, encoder: str, index: Path) -> None:
    form = next(path for path in (index / "tokens").iterdir() if path.is_file())
    kept = form.read_bytes()
    form.write_bytes(b"no form")
    with pytest.warns(TokenStoreWarning, match="Sentences are chosen without them"):
        assert loaded(model, index).fingerprint == loaded(model, None).fingerprint
    form.write_bytes(kept)
    folder = Path(encoder.removeprefix("torch:"))
    moved = folder.rename(folder.with_name("moved"))
    try:
        with pytest.warns(TokenStoreWarning, match="cannot be used"):
            assert stored_similarity(index) is None
    finally:
        moved.rename(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stored_similarity(index) is not None
