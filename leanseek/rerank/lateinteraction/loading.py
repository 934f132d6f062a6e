"""Late interaction by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from leanseek.encode import DEFAULT_MODEL, ResolvedModel, resolve_model
from leanseek.encode.fingerprint import model_fingerprint
from leanseek.encode.registry import int8_fingerprint
from leanseek.errors import ModelError, UsageError
from leanseek.rerank.crossencoder.loading import _may_have_accelerator
from leanseek.rerank.lateinteraction.colbert import ColbertModel, is_colbert
from leanseek.rerank.lateinteraction.mixing import Mix
from leanseek.rerank.lateinteraction.model import TokenModel
from leanseek.rerank.lateinteraction.reranker import LateInteractionReranker


def load(model: str | None, device: str | None = None, *, mix: Mix | None = None) -> LateInteractionReranker:
    """The re-ranker for `late-interaction:MODEL`, where MODEL is

    - a folder or name of a bi-encoder, by default the default encoder: ONNX Runtime in float32 where the CPU is to
      be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:`, `onnx:` or `onnx-int8:` and such a folder or name: that back end;
    - a folder or name of a checkpoint of ColBERT's kind, which torch runs.

    `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `mix` is what scores are made of;
    None takes the re-ranker's default.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    backend, colon, name = (model or DEFAULT_MODEL).partition(":")
    if not colon or backend not in _BACKENDS:
        backend, name = "", model or DEFAULT_MODEL
    resolved = resolve_model(name)
    if is_colbert(resolved.path):
        if backend not in ("", "torch"):
            raise UsageError(f"'{name}' is of ColBERT's kind, which torch alone runs; leave out {backend}:")
        return LateInteractionReranker(_colbert(resolved, device), mix=mix)
    return LateInteractionReranker(_BACKENDS[backend](resolved, device), mix=mix)


def _colbert(model: ResolvedModel, device: str | None) -> TokenModel:
    return ColbertModel(model.name, model.path, model_fingerprint(model.path), device)


def _torch(model: ResolvedModel, device: str | None) -> TokenModel:
    from leanseek.rerank.lateinteraction.torch_model import TorchTokenModel

    return TorchTokenModel(f"torch:{model.name}", model.path, model_fingerprint(model.path), device)


def _onnx(model: ResolvedModel, device: str | None) -> TokenModel:
    from leanseek.rerank.lateinteraction.export import EXPORT
    from leanseek.rerank.lateinteraction.onnx_model import OnnxTokenModel

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "float32")
    return OnnxTokenModel(f"onnx:{model.name}", folder, fingerprint, device)


def _onnx_int8(model: ResolvedModel, device: str | None) -> TokenModel:
    from leanseek.rerank.lateinteraction.export import EXPORT
    from leanseek.rerank.lateinteraction.onnx_model import OnnxTokenModel

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "int8")
    return OnnxTokenModel(f"onnx-int8:{model.name}", folder, int8_fingerprint(fingerprint), device)


def _fastest(model: ResolvedModel, device: str | None) -> TokenModel:
    from leanseek.encode.exporting import PACKAGES
    from leanseek.rerank.lateinteraction.export import EXPORT

    on_cpu = device == "cpu" or (device is None and not _may_have_accelerator())
    there = EXPORT.folder(model_fingerprint(model.path), "float32").is_dir()
    needed = ("onnxruntime",) if there else PACKAGES
    if on_cpu and all(importlib.util.find_spec(package) for package in needed):
        try:
            return _onnx(model, device)
        except ModelError:
            pass  # torch gives the same vectors, or tells what is wrong with the model
    return _torch(model, device)


_BACKENDS: dict[str, Callable[[ResolvedModel, str | None], TokenModel]] = {
    "": _fastest,
    "torch": _torch,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
}
