"""Encoders by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial

from leanseek.encode.backends import Backends
from leanseek.encode.base import Encoder
from leanseek.encode.device import may_have_accelerator
from leanseek.encode.export import PACKAGES, Precision
from leanseek.encode.models import (
    DEFAULT_MODEL,
    ResolvedModel,
    model_fingerprint,
    resolve_model,
    settings_in,
)
from leanseek.encode.onnx_encoder import EXPORT, OnnxEncoder
from leanseek.encode.torch_encoder import TorchEncoder
from leanseek.errors import ModelError, StorageError


def load_encoder(name: str, device: str | None = None) -> Encoder:
    """The encoder that `name` stands for.

    - `MODEL`: sentence-transformers on torch;
    - `onnx:MODEL`: ONNX Runtime in float32, the same vectors within 1e-5 and the same fingerprint;
    - `onnx-int8:MODEL`: ONNX Runtime with 8-bit products;
    - `static:MODEL`: token vectors distilled from the model, or a saved model2vec model;
    - `decoder:MODEL[pool=last|mean|weighted, attention=causal|bidirectional]`: the pooled states of a decoder, such as
      the packaged `SmolLM2-135M-Instruct`, or the path of a GGUF file (see `DecoderEncoder`).

    MODEL is a folder or a name, as `resolve_model` takes it. `device` is "cpu", "cuda" or another of torch's;
    None takes the best for torch and the CPU for the others. What has to be made (an export, a distilled
    model) is made on the first call and kept in the cache folder.

    Raises:
        ModelError: the model cannot be found, loaded, exported or distilled.
        MissingPackageError: the back end's packages are not installed.
        StorageError: the cache folder cannot be written.
    """
    backend, model = split_backend(name)
    return ENCODERS[backend](model, device)


def load_query_encoder(name: str, device: str | None = None) -> Encoder:
    """The encoder with the fingerprint of `load_encoder(name)` that starts fastest.

    For a torch model on the CPU that is its float32 export, where that has been made: it starts in a
    fraction of a second, since torch is not imported. Its vectors are the same within 1e-5.

    Raises as `load_encoder` does.
    """
    backend, model = split_backend(name)
    if backend == "" and device in (None, "cpu") and importlib.util.find_spec("onnxruntime") is not None:
        resolved = resolve_model(model)
        if BACKENDS.is_exported(resolved):
            return BACKENDS.by_onnx(resolved, device)
        return torch_encoder(resolved, device)
    return load_encoder(name, device)


def load_document_encoder(name: str, device: str | None = None) -> Encoder:
    """The encoder with the fingerprint of `load_encoder(name)` for adding documents to an index.

    Without an accelerator that is the one for queries: it encodes as fast as torch and starts at once. Where there may
    be an accelerator it is torch.

    Raises as `load_encoder` does.
    """
    return (load_encoder if may_have_accelerator() else load_query_encoder)(name, device)


def fastest_default(device: str | None = None) -> str:
    """The name of the default model on the back end that encodes and starts fastest on `device`.

    On the CPU that is 8-bit products, where the packages for them are installed: nDCG@10 changes by less than its noise
    (docs/benchmarks.md, Encoders). Else it is torch.
    """
    on_cpu = device == "cpu" or (device is None and not may_have_accelerator())
    installed = all(map(importlib.util.find_spec, PACKAGES))
    return f"onnx-int8:{DEFAULT_MODEL}" if on_cpu and installed else DEFAULT_MODEL


def prepare_queries(name: str) -> bool:
    """Export a torch model, so that `load_query_encoder` starts fast from now on; whether there is an export.

    Nothing happens where the packages for it are missing or the model cannot be exported.
    """
    backend, model = split_backend(name)
    if backend != "" or not all(map(importlib.util.find_spec, PACKAGES)):
        return False
    try:
        BACKENDS.by_onnx(resolve_model(model), None)
    except (ModelError, StorageError):
        return False
    return True


def split_backend(name: str) -> tuple[str, str]:
    """The back end that is named before a model, a row of `ENCODERS`, and the model; "" where none is named."""
    backend, colon, model = name.partition(":")
    return (backend, model) if colon and backend in ENCODERS else ("", name)


def torch_encoder(model: ResolvedModel, device: str | None) -> TorchEncoder:
    """The model on torch. Raises as `load_encoder`."""
    return TorchEncoder(model.name, model.path, model_fingerprint(model.path), device)


def _torch(name: str, device: str | None) -> Encoder:
    return torch_encoder(resolve_model(name), device)


def _onnx(name: str, device: str | None, precision: Precision = "float32") -> Encoder:
    return BACKENDS.by_onnx(resolve_model(name), device, precision)


def _static(name: str, device: str | None) -> Encoder:
    from leanseek.encode.static_encoder import StaticEncoder, distilled

    model = resolve_model(name)
    ready = settings_in(model.path / "config.json").get("model_type") == "model2vec"
    folder = model.path if ready else distilled(model.path, model_fingerprint(model.path))
    return StaticEncoder(f"static:{model.name}", folder, model_fingerprint(folder), device)


BACKENDS: Backends[Encoder] = Backends(TorchEncoder, OnnxEncoder, EXPORT)


def _decoder(name: str, device: str | None) -> Encoder:
    from leanseek.encode.decoder_model import DecoderEncoder

    return DecoderEncoder(name, device)


ENCODERS: dict[str, Callable[[str, str | None], Encoder]] = {
    "": _torch,
    "onnx": _onnx,
    "onnx-int8": partial(_onnx, precision="int8"),
    "static": _static,
    "decoder": _decoder,
}
