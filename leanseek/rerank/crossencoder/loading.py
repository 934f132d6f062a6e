"""Cross-encoders by name."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable

import numpy as np

from leanseek.encode import ResolvedModel, resolve_model
from leanseek.encode.fingerprint import derived_fingerprint, model_fingerprint
from leanseek.errors import ModelError
from leanseek.rerank.crossencoder.calibration import Calibration
from leanseek.rerank.crossencoder.model import PairModel
from leanseek.rerank.crossencoder.reranker import CrossEncoderReranker

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"

_INT8 = "int8 with a scale a token and outlying columns in float32, version 1"


def load(
    model: str | None, device: str | None = None, *, long: str = "maxp", cache: bool = True
) -> CrossEncoderReranker:
    """The re-ranker for `cross-encoder:MODEL`, where MODEL is

    - a folder or name of a sentence-transformers CrossEncoder with one label: ONNX Runtime in float32 where the
      CPU is to be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:` and such a folder or name: torch in any case;
    - `onnx:` or `onnx-int8:` and such a folder or name: ONNX Runtime in float32, or with 8-bit products.

    `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `long` is how passages are read
    that do not fit: maxp, firstp, top2 or extract. `cache=False` neither uses nor fills the score cache. Hits get
    a probability where the model's folder holds a calibration.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    backend, colon, name = (model or DEFAULT_CROSS_ENCODER).partition(":")
    if not colon or backend not in _BACKENDS:
        backend, name = "", model or DEFAULT_CROSS_ENCODER
    resolved = _resolve(name)
    loaded = _BACKENDS[backend](resolved, device)
    # A back end's first run costs several times a later one, which would be taken for its pace.
    loaded.logits([loaded.layout.join(np.zeros(2, np.int32), np.zeros(2, np.int32))])
    calibration = Calibration.of(resolved.path)
    return CrossEncoderReranker(loaded, long=long, calibration=calibration, cache=cache)


def _resolve(name: str) -> ResolvedModel:
    try:
        return resolve_model(name)
    except ModelError as error:
        raise ModelError(
            f"There is no cross-encoder {name!r} here, and it could not be downloaded. Give the folder of one, as "
            f"cross-encoder:FOLDER, or make one: leanseek train cross-encoder\n{error}"
        ) from error


def _torch(model: ResolvedModel, device: str | None) -> PairModel:
    from leanseek.rerank.crossencoder.torch_model import TorchPairModel

    return TorchPairModel(f"torch:{model.name}", model.path, model_fingerprint(model.path), device)


def _onnx(model: ResolvedModel, device: str | None) -> PairModel:
    from leanseek.rerank.crossencoder.export import EXPORT
    from leanseek.rerank.crossencoder.onnx_model import OnnxPairModel

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "float32")
    return OnnxPairModel(f"onnx:{model.name}", folder, fingerprint, device)


def _onnx_int8(model: ResolvedModel, device: str | None) -> PairModel:
    from leanseek.rerank.crossencoder.export import EXPORT
    from leanseek.rerank.crossencoder.onnx_model import OnnxPairModel

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "int8")
    derived = derived_fingerprint(fingerprint, _INT8)
    return OnnxPairModel(f"onnx-int8:{model.name}", folder, derived, device)


def _fastest(model: ResolvedModel, device: str | None) -> PairModel:
    from leanseek.encode.exporting import PACKAGES
    from leanseek.rerank.crossencoder.export import EXPORT

    on_cpu = device == "cpu" or (device is None and not _may_have_accelerator())
    there = EXPORT.folder(model_fingerprint(model.path), "float32").is_dir()
    needed = ("onnxruntime",) if there else PACKAGES
    if on_cpu and all(importlib.util.find_spec(package) for package in needed):
        try:
            return _onnx(model, device)
        except ModelError:
            pass  # torch gives the same scores, or tells what is wrong with the model
    return _torch(model, device)


def _may_have_accelerator() -> bool:
    """Whether torch could find one; asking torch itself costs seconds."""
    return shutil.which("nvidia-smi") is not None or sys.platform == "darwin"


_BACKENDS: dict[str, Callable[[ResolvedModel, str | None], PairModel]] = {
    "": _fastest,
    "torch": _torch,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
}
