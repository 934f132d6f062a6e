"""Exports a sentence-transformers model to ONNX, once, into the cache folder."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from leanseek.encode.folders import cache_folder, new_folder
from leanseek.encode.onnx_model import MODEL_FILE, TOKENIZER_FILE, ExportSettings, OnnxEncoder
from leanseek.encode.sentence import load_model, max_tokens_of, prompts_of, tokenizer_definition
from leanseek.errors import LeanseekError, MissingPackageError, ModelError

Precision: TypeAlias = Literal["float32", "int8"]

_VERSION = 1
_PROBES = (
    "",
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)
_TOLERANCE = 1e-5


def export_folder(fingerprint: str, precision: Precision) -> Path:
    """Where the export of the model with that fingerprint stands, or will stand."""
    return cache_folder() / "onnx" / f"{fingerprint}-{precision}-v{_VERSION}"


def exported(source: Path, fingerprint: str, precision: Precision) -> Path:
    """The folder of the model's export, which is made now where it is missing (some seconds, imports torch).

    The whole model is exported, with pooling and every later module, so that the graph turns token ids into
    vectors. float32 is checked against torch before it is kept.

    Raises:
        MissingPackageError: onnx, onnxscript or torch is not installed.
        ModelError: the model cannot be exported.
        StorageError: the cache folder cannot be written.
    """
    target = export_folder(fingerprint, precision)
    if target.is_dir():
        return target
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("Exporting a model to ONNX", package, "onnx")
    if precision == "float32":
        _export(source, target)
    else:
        from leanseek.encode.int8 import quantise_export

        full = exported(source, fingerprint, "float32")
        with new_folder(target) as folder:
            quantise_export(full, folder)
    return target


def _export(source: Path, target: Path) -> None:
    # Eager attention: its plain matrix products run a third faster in ONNX Runtime than the fused form.
    model = load_model(source, "cpu", attn_implementation="eager")
    query_prompt, document_prompt = prompts_of(model)
    if (query_prompt or document_prompt) and not all(getattr(m, "include_prompt", True) for m in model):
        raise _unsupported(source, "its pooling leaves out the prompt")
    tokenizer = model.tokenizer
    inputs = _input_names(model)
    with new_folder(target) as folder:
        try:
            with _quiet():
                dimensions = _write_graph(model, inputs, folder / MODEL_FILE)
        except (LeanseekError, OSError):
            raise
        except Exception as error:  # The exporter's errors are as many as the models.
            raise _unsupported(source, " ".join(str(error).split())[:300]) from error
        (folder / TOKENIZER_FILE).write_text(tokenizer_definition(model), encoding="utf-8")
        ExportSettings(
            dimensions=dimensions,
            max_tokens=max_tokens_of(model),
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            inputs=inputs,
            pad_id=int(getattr(tokenizer, "pad_token_id", 0) or 0),
            pad_left=getattr(tokenizer, "padding_side", "right") == "left",
        ).write(folder)
        _check(model, folder, source)


def _write_graph(model: Any, inputs: tuple[str, ...], path: Path) -> int:
    """Write the graph from token ids (n, length) to vectors (n, D), and return D."""
    import torch

    class Vectors(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            found = self.model(dict(zip(inputs, values, strict=True)))["sentence_embedding"]
            found = found[:, : self.model.truncate_dim] if self.model.truncate_dim else found
            return torch.nn.functional.normalize(found, dim=1)

    # Sizes other than 1 keep the exporter from taking them for constants.
    example = tuple(torch.ones((2, 7), dtype=torch.int64) for _ in inputs)
    rows, columns = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=1)
    module = Vectors().eval()
    program = torch.onnx.export(
        module,
        example,
        input_names=list(inputs),
        output_names=["vectors"],
        dynamic_shapes=(tuple({0: rows, 1: columns} for _ in inputs),),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter gave no program")
    program.save(str(path), external_data=False)
    with torch.inference_mode():
        return int(module(*example).shape[1])


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
