"""Exports a cross-encoder to ONNX, once, into the cache folder."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.export_files import MODEL_FILE, TOKENIZER_FILE, ExportSettings
from leanseek.encode.exporting import Export, write_graph
from leanseek.encode.folders import new_folder
from leanseek.encode.sentence import max_tokens_of, tokenizer_definition
from leanseek.errors import ModelError
from leanseek.rerank.crossencoder.layout import PROBES, PairLayout
from leanseek.rerank.crossencoder.onnx_model import OnnxPairModel
from leanseek.rerank.crossencoder.pruning import first_token_alone
from leanseek.rerank.crossencoder.torch_model import (
    input_names,
    layout_of,
    load_cross_encoder,
    padding_of,
)

_TOLERANCE = 1e-4


def _write(source: Path, target: Path) -> None:
    model = load_cross_encoder(source, "cpu")
    expected = model.predict(list(PROBES), activation_fn=_identity(), show_progress_bar=False)
    # Eager attention: its plain matrix products run faster in ONNX Runtime than the fused form.
    for part in model.modules():
        if hasattr(getattr(part, "config", None), "_attn_implementation"):
            part.config._attn_implementation = "eager"
    classifier = getattr(model, "transformers_model", None)
    if len(model) == 1 and classifier is not None:
        first_token_alone(classifier)
    inputs = input_names(model)
    definition = tokenizer_definition(model)
    layout = layout_of(model, definition, source)
    pad_id, pad_left = padding_of(model)
    with new_folder(target) as folder:
        write_graph(
            _network(model, inputs),
            inputs,
            ["logits"],
            folder / MODEL_FILE,
            functools.partial(_unsupported, source),
        )
        (folder / TOKENIZER_FILE).write_text(definition, encoding="utf-8")
        layout.write(folder)
        ExportSettings(
            dimensions=1,
            max_tokens=max_tokens_of(model),
            query_prompt="",
            document_prompt="",
            inputs=inputs,
            pad_id=pad_id,
            pad_left=pad_left,
        ).write(folder)
        found = OnnxPairModel("", folder, "").logits_of_texts(PROBES)
        difference = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
        if not difference <= _TOLERANCE:
            raise _unsupported(source, f"its scores differ from those of torch by {difference:.2g}")


def _identity() -> Any:
    import torch

    return torch.nn.Identity()


def _network(model: Any, inputs: tuple[str, ...]) -> Any:
    """A torch module from token ids (n, length) to logits (n,)."""
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(dict(zip(inputs, values, strict=True)))["scores"].reshape(-1)

    return Logits().eval()


def _carry(full: Path, folder: Path) -> None:
    PairLayout.read(full).write(folder)


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The cross-encoder in {source} cannot be exported to ONNX: {reason}. Use it with torch: "
        f"cross-encoder:torch:{source}"
    )


EXPORT = Export(form="pairs", version=1, write=_write, carry=_carry)
"""How cross-encoders are exported."""
