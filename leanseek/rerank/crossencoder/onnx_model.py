"""The ONNX Runtime back end of cross-encoders: scores pairs without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leanseek.encode.export_files import ExportSettings, open_session, read_tokenizer
from leanseek.encode.tokens import TextTokenizer
from leanseek.rerank.crossencoder.layout import PairIds, PairLayout
from leanseek.rerank.crossencoder.model import pad
from leanseek.types import Float32Array

# As with encoders: what stays in the processor's cache is worth more than long matrix products.
_BUDGET = 512
_BUDGET_ACCELERATOR = 65536


class OnnxPairModel:
    """A cross-encoder exported to ONNX, run by ONNX Runtime."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the export in `folder`; `device` is "cpu" (the same as None) or "cuda".

        Raises MissingPackageError where onnxruntime is absent, ModelError for a damaged export, UsageError for a
        device that the installed ONNX Runtime does not have.
        """
        self._settings = ExportSettings.read(folder)
        self._session = open_session(folder, device)
        self.name = name
        self.fingerprint = fingerprint
        self.layout = PairLayout.read(folder)
        self.max_tokens = self._settings.max_tokens
        self.budget = _BUDGET if device in (None, "cpu") else _BUDGET_ACCELERATOR
        self.definition = read_tokenizer(folder)

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        """(n,) the raw scores of n pairs."""
        padded = pad(pairs, self._settings.pad_id, self._settings.pad_left)
        given = {"input_ids": padded.ids, "attention_mask": padded.mask, "token_type_ids": padded.types}
        logits: Float32Array = self._session.run(None, {name: given[name] for name in self._settings.inputs})[
            0
        ]
        return logits

    def logits_of_texts(self, pairs: Sequence[tuple[str, str]]) -> Float32Array:
        """(n,) the raw scores of n short pairs of texts."""
        tokenizer = TextTokenizer(self.definition, None, special=False)
        queries, passages = zip(*pairs, strict=True)
        joined = map(self.layout.join, tokenizer(queries).ids, tokenizer(passages).ids)
        return self.logits(list(joined))
