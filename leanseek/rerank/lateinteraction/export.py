"""Exports a bi-encoder's tokens to ONNX, once, into the cache folder."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode import cache_folder
from leanseek.encode.folders import new_folder
from leanseek.encode.onnx_export import Precision, _quiet
from leanseek.encode.onnx_model import MODEL_FILE, TOKENIZER_FILE
from leanseek.encode.sentence import load_model, tokenizer_definition
from leanseek.errors import LeanseekError, MissingPackageError, ModelError
from leanseek.rerank.lateinteraction.biencoder import network_of, settings_of, special_of
from leanseek.rerank.lateinteraction.onnx_model import SPECIAL_FILE, OnnxTokenModel
from leanseek.rerank.lateinteraction.torch_model import TorchTokenModel

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What exporting and running the export needs, besides torch."""
_VERSION = 1
_TOLERANCE = 1e-5
_PROBES = (
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)


def export_folder(fingerprint: str, precision: Precision) -> Path:
    """Where the export of the model with that fingerprint stands, or will stand."""
    return cache_folder() / "onnx" / f"{fingerprint}-tokens-{precision}-v{_VERSION}"


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
            (folder / SPECIAL_FILE).write_bytes((full / SPECIAL_FILE).read_bytes())
    return target


def _export(source: Path, target: Path) -> None:
    # Eager attention: its plain matrix products run faster in ONNX Runtime than the fused form.
    model = load_model(source, "cpu", attn_implementation="eager")
    settings = settings_of(model)
    with new_folder(target) as folder:
        try:
            with _quiet():
                _write_graph(network_of(model, settings.inputs), settings.inputs, folder / MODEL_FILE)
        except (LeanseekError, OSError):
            raise
        except Exception as error:  # The exporter's errors are as many as the models.
            raise _unsupported(source, " ".join(str(error).split())[:300]) from error
        (folder / TOKENIZER_FILE).write_text(tokenizer_definition(model), encoding="utf-8")
        (folder / SPECIAL_FILE).write_text(json.dumps(special_of(model)), encoding="utf-8")
        settings.write(folder)
        _check(TorchTokenModel("", source, "", "cpu"), OnnxTokenModel("", folder, ""), source)


def _write_graph(network: Any, inputs: Sequence[str], path: Path) -> None:
    """Write the graph from token ids (n, length) to their vectors and the texts'."""
    import torch

    # Sizes other than 1 keep the exporter from taking them for constants.
    example = tuple(torch.ones((2, 7), dtype=torch.int64) for _ in inputs)
    rows, columns = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=1)
    program = torch.onnx.export(
        network,
        example,
        input_names=list(inputs),
        output_names=["tokens", "text_vectors"],
        dynamic_shapes=(tuple({0: rows, 1: columns} for _ in inputs),),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter gave no program")
    program.save(str(path), external_data=False)


def _check(wanted: TorchTokenModel, found: OnnxTokenModel, source: Path) -> None:
    for by_torch, by_onnx in (
        (wanted.queries(_PROBES), found.queries(_PROBES)),
        (wanted.passages(_PROBES), found.passages(_PROBES)),
    ):
        pairs = zip(by_torch.tokens, by_onnx.tokens, strict=True)
        difference = max(float(np.abs(one - other).max(initial=0.0)) for one, other in pairs)
        if by_torch.texts is not None and by_onnx.texts is not None:
            difference = max(difference, float(np.abs(by_torch.texts - by_onnx.texts).max()))
        if not difference <= _TOLERANCE:
            raise _unsupported(source, f"its vectors differ from those of torch by {difference:.2g}")


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The model in {source} cannot be exported to ONNX: {reason}. Use it with torch: "
        f"late-interaction:torch:{source}"
    )
