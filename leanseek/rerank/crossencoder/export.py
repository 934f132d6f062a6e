"""Exports a cross-encoder to ONNX, once, into the cache folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.folders import cache_folder, new_folder
from leanseek.encode.onnx_export import Precision, _quiet
from leanseek.encode.onnx_model import MODEL_FILE, TOKENIZER_FILE, ExportSettings
from leanseek.encode.sentence import max_tokens_of, tokenizer_definition
from leanseek.errors import LeanseekError, MissingPackageError, ModelError
from leanseek.rerank.crossencoder.layout import PROBES, PairLayout
from leanseek.rerank.crossencoder.onnx_model import OnnxPairModel
from leanseek.rerank.crossencoder.pruning import first_token_alone
from leanseek.rerank.crossencoder.torch_model import (
    input_names,
    layout_of,
    load_cross_encoder,
    padding_of,
)

_VERSION = 1
_TOLERANCE = 1e-4
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What exporting and running the export needs, besides torch."""


def export_folder(fingerprint: str, precision: Precision) -> Path:
    """Where the export of the model with that fingerprint stands, or will stand."""
    return cache_folder() / "onnx" / f"{fingerprint}-pairs-{precision}-v{_VERSION}"


def exported(source: Path, fingerprint: str, precision: Precision) -> Path:
    """The folder of the model's export, which is made now where it is missing (some seconds, imports torch).

    float32 is checked against torch before it is kept.

    Raises MissingPackageError, ModelError where the model cannot be exported, StorageError.
    """
    target = export_folder(fingerprint, precision)
    if target.is_dir():
        return target
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("Exporting a model to ONNX", package, "onnx")
    if precision == "float32":
        _export(source, target)
    else:
        from leanseek.encode.int8 import quantise_export

        full = exported(source, fingerprint, "float32")
        with new_folder(target) as folder:
            quantise_export(full, folder)
            PairLayout.read(full).write(folder)
    return target


def _export(source: Path, target: Path) -> None:
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
        try:
            with _quiet():
                _write_graph(model, inputs, folder / MODEL_FILE)
        except (LeanseekError, OSError):
            raise
        except Exception as error:  # The exporter's errors are as many as the models.
            raise _unsupported(source, " ".join(str(error).split())[:300]) from error
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


def _write_graph(model: Any, inputs: tuple[str, ...], path: Path) -> None:
    """Write the graph from token ids (n, length) to logits (n,)."""
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(dict(zip(inputs, values, strict=True)))["scores"].reshape(-1)

    # Sizes other than 1 keep the exporter from taking them for constants.
    example = tuple(torch.ones((2, 7), dtype=torch.int64) for _ in inputs)
    rows, columns = torch.export.Dim("pairs", min=1), torch.export.Dim("tokens", min=1)
    program = torch.onnx.export(
        Logits().eval(),
        example,
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes=(tuple({0: rows, 1: columns} for _ in inputs),),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter gave no program")
    program.save(str(path), external_data=False)


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The cross-encoder in {source} cannot be exported to ONNX: {reason}. Use it with torch: "
        f"cross-encoder:torch:{source}"
    )
