"""Exports a sentence-transformers model to ONNX, once, into the cache folder.

The whole model is exported, with pooling and every later module, so that the graph turns token ids into vectors.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.export_files import MODEL_FILE, TOKENIZER_FILE, ExportSettings
from leanseek.encode.exporting import Export, write_graph
from leanseek.encode.folders import new_folder
from leanseek.encode.onnx_model import OnnxEncoder
from leanseek.encode.sentence import load_model, max_tokens_of, prompts_of, tokenizer_definition
from leanseek.errors import ModelError

_PROBES = (
    "",
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)
_TOLERANCE = 1e-5


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
