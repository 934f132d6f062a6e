"""The ONNX Runtime back end of cross-encoders: scores pairs without importing torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.batches import onnx_batch_tokens
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
from leanseek.encode.torch_encoder import max_tokens_of, tokenizer_definition
from leanseek.errors import ModelError
from leanseek.files import new_folder
from leanseek.rerank.crossencoder.layout import PROBES, PairIds, PairLayout
from leanseek.rerank.crossencoder.torch_pairs import (
    first_token_alone,
    input_names,
    layout_of,
    load_cross_encoder,
    padding_of,
)
from leanseek.types import Float32Array

_TOLERANCE = 1e-4
"""The largest difference of a score from torch, relative to scores above 1."""


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
        self.budget = onnx_batch_tokens(device)
        self.definition = read_tokenizer(folder)

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        """(n,) the raw scores of n pairs."""
        settings = self._settings
        given = model_inputs(
            [pair.ids for pair in pairs], settings.pad_id, settings.pad_left, [pair.types for pair in pairs]
        )
        logits: Float32Array
        [logits] = self._session.run(None, {name: given[name] for name in settings.inputs})
        return logits

    def logits_of_texts(self, pairs: Sequence[tuple[str, str]]) -> Float32Array:
        """(n,) the raw scores of n short pairs of texts."""
        tokenizer = TextTokenizer(self.definition, None, special=False)
        queries, passages = zip(*pairs, strict=True)
        joined = map(self.layout.join, tokenizer(queries).ids, tokenizer(passages).ids)
        return self.logits(list(joined))


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
