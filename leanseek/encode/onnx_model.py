"""The ONNX Runtime back end: encodes with a model exported by `onnx_export`, without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.export_files import ExportSettings, open_session, read_tokenizer
from leanseek.encode.tokens import Int32Array, TextTokenizer, batches
from leanseek.types import Float32Array

# Small batches keep the activations in the processor's cache, which is worth more than long matrix products.
_BUDGET = 1024
_BUDGET_ACCELERATOR = 65536


class OnnxEncoder:
    """A model exported to ONNX, run by ONNX Runtime."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the export in `folder`; `device` is "cpu" (the same as None) or "cuda".

        Raises:
            MissingPackageError: onnxruntime is not installed.
            ModelError: the export is damaged.
            UsageError: the installed ONNX Runtime does not have the device.
        """
        self._settings = ExportSettings.read(folder)
        self.dimensions = self._settings.dimensions
        self.max_tokens = self._settings.max_tokens
        self._session = open_session(folder, device)
        self.name = name
        self.folder = folder
        self.fingerprint = fingerprint
        self._budget = _BUDGET if device in (None, "cpu") else _BUDGET_ACCELERATOR
        self._tokenizer = TextTokenizer(read_tokenizer(folder), self._settings.max_tokens)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries, with the model's own query prompt."""
        return self._encode(texts, self._settings.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages, with the model's own document prompt."""
        return self._encode(texts, self._settings.document_prompt)

    def _encode(self, texts: Sequence[str], prompt: str) -> Encoded:
        ids, lengths = self._tokenizer([prompt + text for text in texts])
        vectors: Float32Array = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for batch in batches([len(text) for text in ids], self._budget):
            vectors[batch] = self._run([ids[i] for i in batch])
        return Encoded(vectors, lengths)

    def _run(self, ids: list[Int32Array]) -> Float32Array:
        width = max(len(text) for text in ids)
        tokens = np.full((len(ids), width), self._settings.pad_id, dtype=np.int64)
        mask = np.zeros((len(ids), width), dtype=np.int64)
        for row, text in enumerate(ids):
            place = slice(width - len(text), width) if self._settings.pad_left else slice(0, len(text))
            tokens[row, place] = text
            mask[row, place] = 1
        given = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self._settings.inputs:
            given["token_type_ids"] = np.zeros_like(tokens)
        vectors: Float32Array = self._session.run(None, given)[0]
        return vectors
