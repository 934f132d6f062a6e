"""The ONNX Runtime back end: encodes with a model exported to ONNX, without importing torch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.batches import batches, onnx_batch_tokens
from leanseek.encode.export import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Export,
    ExportSettings,
    open_session,
    read_tokenizer,
    write_graph,
)
from leanseek.encode.tokenizer import TextTokenizer, model_inputs
from leanseek.encode.torch_encoder import load_model, max_tokens_of, prompts_of, tokenizer_definition
from leanseek.errors import ModelError
from leanseek.files import new_folder
from leanseek.types import Float32Array, Int32Array

_PROBES = (
    "",
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)
_TOLERANCE = 1e-5
"""The largest difference of a vector's element from torch."""


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
        self._device = device
        self.folder = folder
        self.fingerprint = fingerprint
        self._budget = onnx_batch_tokens(device)
        self._tokenizer = TextTokenizer(read_tokenizer(folder), self._settings.max_tokens)

    def share_processors(self) -> None:
        """Let the threads sleep while they wait, for a process that works on other things at the same time."""
        self._session = open_session(self.folder, self._device, spinning=False)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries, with the model's own query prompt."""
        return self._encode(texts, self._settings.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages, with the model's own document prompt."""
        return self._encode(texts, self._settings.document_prompt)

    def count_tokens(self, texts: Sequence[str]) -> Int32Array:
        """The lengths (n,) of documents before any cut, prompt and special tokens included."""
        return self._tokenizer([self._settings.document_prompt + text for text in texts]).lengths

    def _encode(self, texts: Sequence[str], prompt: str) -> Encoded:
        ids, lengths = self._tokenizer([prompt + text for text in texts])
        vectors: Float32Array = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for batch in batches([len(text) for text in ids], self._budget):
            vectors[batch] = self._run([ids[i] for i in batch])
        return Encoded(vectors, lengths)

    def _run(self, ids: list[Int32Array]) -> Float32Array:
        given = model_inputs(ids, self._settings.pad_id, self._settings.pad_left)
        vectors: Float32Array
        [vectors] = self._session.run(None, {name: given[name] for name in self._settings.inputs})
        return vectors


def settings_of(model: Any, dimensions: int) -> ExportSettings:
    """How a SentenceTransformer, of vectors with so many dimensions, reads texts."""
    query_prompt, document_prompt = prompts_of(model)
    return ExportSettings(
        dimensions=dimensions,
        max_tokens=max_tokens_of(model),
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        inputs=_input_names(model),
        pad_id=int(getattr(model.tokenizer, "pad_token_id", 0) or 0),
        pad_left=getattr(model.tokenizer, "padding_side", "right") == "left",
    )


def _write(source: Path, target: Path) -> None:
    # Eager attention: its plain matrix products run a third faster in ONNX Runtime than the fused form.
    model = load_model(source, "cpu", attn_implementation="eager")
    if any(prompts_of(model)) and not all(getattr(m, "include_prompt", True) for m in model):
        raise _unsupported(source, "its pooling leaves out the prompt")
    inputs = _input_names(model)
    network = _network(model, inputs)
    with new_folder(target) as folder:
        write_graph(
            network, inputs, ["vectors"], folder / MODEL_FILE, functools.partial(_unsupported, source)
        )
        (folder / TOKENIZER_FILE).write_text(tokenizer_definition(model), encoding="utf-8")
        settings_of(model, _width(network, inputs)).write(folder)
        _check(model, folder, source)


def _network(model: Any, inputs: tuple[str, ...]) -> Any:
    """A torch module from token ids (n, length) to vectors (n, D)."""
    import torch

    class Vectors(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            found = self.model(dict(zip(inputs, values, strict=True)))["sentence_embedding"]
            found = found[:, : self.model.truncate_dim] if self.model.truncate_dim else found
            return torch.nn.functional.normalize(found, dim=1)

    return Vectors().eval()


def _width(network: Any, inputs: tuple[str, ...]) -> int:
    """How many dimensions the network's vectors have."""
    import torch

    with torch.inference_mode():
        return int(network(*(torch.ones((1, 7), dtype=torch.int64) for _ in inputs)).shape[1])


def _input_names(model: Any) -> tuple[str, ...]:
    names = ["input_ids", "attention_mask"]
    transformer = getattr(model[0], "auto_model", None)
    if transformer is not None and "token_type_ids" in inspect.signature(transformer.forward).parameters:
        names.append("token_type_ids")
    return tuple(names)


def _check(model: Any, folder: Path, source: Path) -> None:
    encoder = OnnxEncoder("", folder, "")
    query_prompt, document_prompt = prompts_of(model)
    for encode, reference, prompt in (
        (encoder.encode_queries, model.encode_query, query_prompt),
        (encoder.encode_documents, model.encode_document, document_prompt),
    ):
        expected = reference(list(_PROBES), prompt=prompt, normalize_embeddings=True, show_progress_bar=False)
        difference = float(np.abs(encode(_PROBES).vectors - expected).max())
        if not difference <= _TOLERANCE:
            raise _unsupported(source, f"its vectors differ from those of torch by {difference:.2g}")


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The model in {source} cannot be exported to ONNX: {reason}. "
        "Use it with torch: leave out the prefix onnx: or onnx-int8:"
    )


EXPORT = Export(form="", version=1, write=_write)
"""How encoders are exported."""
