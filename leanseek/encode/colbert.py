"""Checkpoints trained for late interaction: those of ColBERT, of PyLate and of sentence-transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.batches import torch_batch_tokens
from leanseek.encode.corpus import TruncationReport
from leanseek.encode.device import check_device
from leanseek.encode.models import settings_in
from leanseek.encode.token_model import TokenVectors
from leanseek.encode.tokenizer import encodable
from leanseek.encode.torch_encoder import loading
from leanseek.errors import MissingPackageError
from leanseek.types import Int32Array

_OWN_TYPES = ("ColBERT", "MultiVectorEncoder")


def is_colbert(folder: Path) -> bool:
    """Whether the folder's model was trained for late interaction, by its settings."""
    kind = settings_in(folder / "config_sentence_transformers.json")
    architectures = settings_in(folder / "config.json").get("architectures") or []
    return kind.get("model_type") in _OWN_TYPES or "query_prefix" in kind or "HF_ColBERT" in architectures


class ColbertModel:
    """A `TokenModel` with markers, a projection, and fillings as its settings have them.

    ColBERT (Khattab and Zaharia, SIGIR 2020) puts a marker [Q] or [D] before a text, projects each token's vector
    to fewer dimensions, leaves the passages' punctuation out, and fills queries up with [MASK], whose vectors are
    compared too. Read by sentence-transformers' MultiVectorEncoder.
    """

    whole = False

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the checkpoint in `folder`; `device` is a torch device, None for the best there is.

        Raises MissingPackageError where sentence-transformers is absent or too old, ModelError where it cannot load
        the checkpoint.
        """
        self._model = _load(folder, device)
        self.name = name
        self.fingerprint = fingerprint
        first = self._model[0]
        self.passage_tokens = _limit(getattr(first, "document_length", None) or first.max_seq_length)
        filled = getattr(first, "query_expansion", None) or {}
        always = filled.get("length") if filled.get("strategy") == "fixed" else None
        self._query_tokens = _limit(always or getattr(first, "query_length", None) or first.max_seq_length)
        self.budget = torch_batch_tokens(self._model.device.type)

    def lengths(self, passages: Sequence[str]) -> Int32Array:
        """See TokenModel."""
        return self._lengths(passages, "document")

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        """See TokenModel."""
        return TruncationReport.of(self._lengths(texts, "query"), self._query_tokens)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        return self._read(texts, self._model.encode_query)

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        return self._read(texts, self._model.encode_document)

    def _lengths(self, texts: Sequence[str], role: str) -> Int32Array:
        prompt = self._model.prompts.get(role) or ""
        # What is too long is counted and reported in the notes.
        found = self._model.tokenizer(
            [prompt + encodable(text) for text in texts], truncation=False, verbose=False
        )
        return np.array([len(ids) for ids in found["input_ids"]], dtype=np.int32)

    def _read(self, texts: Sequence[str], encode: Any) -> TokenVectors:
        found = encode(
            [encodable(text) for text in texts],
            batch_size=max(len(texts), 1),
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return TokenVectors([np.asarray(tokens, dtype=np.float32) for tokens in found], None)


def _limit(tokens: int | None) -> int | None:
    # Tokenizers without a limit of their own report one of about 1e30.
    return int(tokens) if tokens is not None and tokens < 1 << 24 else None


def _load(folder: Path, device: str | None) -> Any:
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingPackageError("Re-ranking by late interaction", "sentence-transformers", "encode")
    try:
        from sentence_transformers import MultiVectorEncoder
    except ImportError as error:
        raise MissingPackageError(
            "A checkpoint of ColBERT's kind", "sentence-transformers>=6", "encode"
        ) from error
    check_device(device)
    with loading(folder, device, " for late interaction"):
        model = MultiVectorEncoder(str(folder), device=device, local_files_only=True)
    return model.float().eval()
