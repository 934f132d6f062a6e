"""Encoders by name, and which back end runs a model: the fastest there is here."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from leanseek.encode.base import Encoder
from leanseek.encode.export import PACKAGES, Export, Precision
from leanseek.encode.models import ResolvedModel, derived_fingerprint, model_fingerprint, resolve_model
from leanseek.errors import ModelError, StorageError

_INT8 = "int8 with a scale a token and outlying columns in float32, version 1"


def load_encoder(name: str, device: str | None = None) -> Encoder:
    """The encoder that `name` stands for.

    - `MODEL`: sentence-transformers on torch;
    - `onnx:MODEL`: ONNX Runtime in float32, the same vectors within 1e-5 and the same fingerprint;
    - `onnx-int8:MODEL`: ONNX Runtime with 8-bit products;
    - `static:MODEL`: token vectors distilled from the model, or a saved model2vec model.

    MODEL is a folder or a name, as `resolve_model` takes it. `device` is "cpu", "cuda" or another of torch's;
    None takes the best for torch and the CPU for the others. What has to be made (an export, a distilled
    model) is made on the first call and kept in the cache folder.

    Raises:
        ModelError: the model cannot be found, loaded, exported or distilled.
        MissingPackageError: the back end's packages are not installed.
        StorageError: the cache folder cannot be written.
    """
    backend, model = _split(name)
    return ENCODERS[backend](resolve_model(model), device)


def load_query_encoder(name: str, device: str | None = None) -> Encoder:
    """The encoder with the fingerprint of `load_encoder(name)` that starts fastest.

    For a torch model on the CPU that is its float32 export, where that has been made: it starts in a
    fraction of a second, since torch is not imported. Its vectors are the same within 1e-5.

    Raises:
        As `load_encoder`.
    """
    backend, model = _split(name)
    if backend == "" and device in (None, "cpu") and importlib.util.find_spec("onnxruntime") is not None:
        from leanseek.encode.onnx_encoder import EXPORT

        resolved = resolve_model(model)
        if EXPORT.folder(model_fingerprint(resolved.path), "float32").is_dir():
            return _onnx(resolved, device)
        return _torch(resolved, device)
    return load_encoder(name, device)


def prepare_queries(name: str) -> bool:
    """Export a torch model, so that `load_query_encoder` starts fast from now on; whether there is an export.

    Nothing happens where the packages for it are missing or the model cannot be exported.
    """
    from leanseek.encode.export import PACKAGES

    backend, model = _split(name)
    if backend != "" or not all(map(importlib.util.find_spec, PACKAGES)):
        return False
    try:
        _onnx(resolve_model(model), None)
    except (ModelError, StorageError):
        return False
    return True


def _split(name: str) -> tuple[str, str]:
    backend, colon, model = name.partition(":")
    return (backend, model) if colon and backend in ENCODERS else ("", name)


def _torch(model: ResolvedModel, device: str | None) -> Encoder:
    from leanseek.encode.torch_encoder import TorchEncoder

    return TorchEncoder(model.name, model.path, model_fingerprint(model.path), device)


def _onnx(model: ResolvedModel, device: str | None) -> Encoder:
    from leanseek.encode.onnx_encoder import EXPORT, OnnxEncoder

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "float32")
    return OnnxEncoder(f"onnx:{model.name}", folder, fingerprint, device)


def _onnx_int8(model: ResolvedModel, device: str | None) -> Encoder:
    from leanseek.encode.onnx_encoder import EXPORT, OnnxEncoder

    fingerprint = model_fingerprint(model.path)
    folder = EXPORT.made(model.path, fingerprint, "int8")
    return OnnxEncoder(f"onnx-int8:{model.name}", folder, int8_fingerprint(fingerprint), device)


def int8_fingerprint(fingerprint: str) -> str:
    """The fingerprint of `onnx-int8:MODEL`, given that of MODEL."""
    return derived_fingerprint(fingerprint, _INT8)


def _static(model: ResolvedModel, device: str | None) -> Encoder:
    from leanseek.encode.static_encoder import StaticEncoder, distilled

    ready = _is_static(model.path)
    folder = model.path if ready else distilled(model.path, model_fingerprint(model.path))
    return StaticEncoder(f"static:{model.name}", folder, model_fingerprint(folder), device)


def _is_static(folder: Path) -> bool:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and settings.get("model_type") == "model2vec"


ENCODERS: dict[str, Callable[[ResolvedModel, str | None], Encoder]] = {
    "": _torch,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "static": _static,
}


Kind: TypeAlias = Literal["cross-encoder", "decoder", "encoder", "unknown"]
"""`cross-encoder`: scores pairs of texts; `decoder`: writes texts; `encoder`: gives single texts vectors."""


def kind_of(folder: Path) -> Kind:
    """The kind of the model in the folder; `unknown` where its settings do not tell."""
    if (folder / "modules.json").is_file():
        wrapped = settings_in(folder / "config_sentence_transformers.json").get("model_type")
        return "cross-encoder" if wrapped == "CrossEncoder" else "encoder"
    architecture = str((settings_in(folder / "config.json").get("architectures") or [""])[0])
    if architecture.endswith("ForSequenceClassification"):
        return "cross-encoder"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "decoder"
    return "encoder" if architecture else "unknown"


def settings_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the loader tells more
    return found if isinstance(found, dict) else {}


_Model = TypeVar("_Model")
_Loaded = TypeVar("_Loaded", covariant=True)

_PREFIXES = ("torch", "onnx", "onnx-int8")


class Loader(Protocol[_Loaded]):
    """Loads a model from a folder, under a name and a fingerprint, on a device."""

    def __call__(self, name: str, folder: Path, fingerprint: str, device: str | None) -> _Loaded: ...


@dataclass(frozen=True, slots=True)
class Backends(Generic[_Model]):
    """How models of one kind are run: by torch from their own folder, by ONNX Runtime from their export."""

    torch: Loader[_Model]
    onnx: Loader[_Model]
    export: Export

    def load(self, prefix: str, model: ResolvedModel, device: str | None) -> _Model:
        """The model on the back end that the prefix names, or on the fastest where it is empty.

        That is ONNX Runtime in float32 where the CPU is to be used and the model can be exported, else torch.

        Raises ModelError, MissingPackageError, StorageError or UsageError.
        """
        if prefix == "torch":
            return self._by_torch(model, device)
        if prefix == "onnx-int8":
            return self._by_onnx(model, "int8", device)
        if prefix == "onnx":
            return self._by_onnx(model, "float32", device)
        if self._may_export(model, device):
            try:
                return self._by_onnx(model, "float32", device)
            except ModelError:
                pass  # torch gives the same, or tells what is wrong with the model
        return self._by_torch(model, device)

    def _by_torch(self, model: ResolvedModel, device: str | None) -> _Model:
        return self.torch(f"torch:{model.name}", model.path, model_fingerprint(model.path), device)

    def _by_onnx(self, model: ResolvedModel, precision: Precision, device: str | None) -> _Model:
        fingerprint = model_fingerprint(model.path)
        folder = self.export.made(model.path, fingerprint, precision)
        if precision == "int8":
            return self.onnx(f"onnx-int8:{model.name}", folder, int8_fingerprint(fingerprint), device)
        return self.onnx(f"onnx:{model.name}", folder, fingerprint, device)

    def _may_export(self, model: ResolvedModel, device: str | None) -> bool:
        on_cpu = device == "cpu" or (device is None and not _may_have_accelerator())
        there = self.export.folder(model_fingerprint(model.path), "float32").is_dir()
        needed = ("onnxruntime",) if there else PACKAGES
        return on_cpu and all(importlib.util.find_spec(package) for package in needed)


def split_prefix(name: str) -> tuple[str, str]:
    """The back end named before a model, as in `onnx:MODEL`, and the model; "" where none is named."""
    prefix, colon, model = name.partition(":")
    return (prefix, model) if colon and prefix in _PREFIXES else ("", name)


def _may_have_accelerator() -> bool:
    """Whether torch could find one; asking torch itself costs seconds."""
    return shutil.which("nvidia-smi") is not None or sys.platform == "darwin"
