"""The ONNX Runtime back end: encodes with a model exported by `onnx_export`, without importing torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.tokens import Int32Array, TextTokenizer, batches
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.types import Float32Array

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "settings.json"

# Small batches keep the activations in the processor's cache, which is worth more than long matrix products.
_BUDGET = 1024
_BUDGET_ACCELERATOR = 65536


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What an exported model needs besides its graph and its tokenizer.

    `inputs` are the graph's input names; padding is `pad_id`, on the left where `pad_left`.
    """

    dimensions: int
    max_tokens: int | None
    query_prompt: str
    document_prompt: str
    inputs: tuple[str, ...]
    pad_id: int
    pad_left: bool

    def write(self, folder: Path) -> None:
        """Write settings.json into an existing folder."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        (folder / SETTINGS_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ExportSettings:
        """Read settings.json.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            fields = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            return cls(**{**fields, "inputs": tuple(fields["inputs"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(folder, error) from error


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
        self._session = _session(folder, device)
        self.name = name
        self.folder = folder
        self.fingerprint = fingerprint
        self._budget = _BUDGET if device in (None, "cpu") else _BUDGET_ACCELERATOR
        try:
            definition = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise _damaged(folder, error) from error
        self._tokenizer = TextTokenizer(definition, self._settings.max_tokens)

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


def _session(folder: Path, device: str | None) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingPackageError("Encoding with ONNX Runtime", "onnxruntime", "onnx")
    import onnxruntime

    providers = {None: "CPUExecutionProvider", "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    provider = providers.get(device)
    if provider is None or provider not in onnxruntime.get_available_providers():
        raise UsageError(
            f"ONNX Runtime cannot run on the device {device!r} here. Allowed: cpu, and cuda with the package "
            "onnxruntime-gpu. Other devices work with torch: leave out the prefix onnx:"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(folder / MODEL_FILE), options, providers=[provider])
    except Exception as error:  # Its errors have no common base but Exception.
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> ModelError:
    return ModelError(
        f"The exported model in {folder} cannot be read ({error}). Delete that folder; it is made again."
    )
