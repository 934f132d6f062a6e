"""Which back end runs a model: the one that is named, or the fastest there is here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from leanseek.encode.device import may_have_accelerator
from leanseek.encode.export import PACKAGES, Export, Precision
from leanseek.encode.models import ResolvedModel, derived_fingerprint, model_fingerprint
from leanseek.errors import ModelError

_PREFIXES = ("torch", "onnx", "onnx-int8")
_INT8 = "int8 with a scale a token and outlying columns in float32, version 2"

_Model = TypeVar("_Model")
_Loaded = TypeVar("_Loaded", covariant=True)


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
        if prefix == "onnx-int8":
            return self.by_onnx(model, device, "int8")
        if prefix == "onnx":
            return self.by_onnx(model, device)
        if prefix == "" and self._may_export(model, device):
            try:
                return self.by_onnx(model, device)
            except ModelError:
                pass  # torch gives the same, or reports what is wrong with the model
        return self.torch(f"torch:{model.name}", model.path, model_fingerprint(model.path), device)

    def by_onnx(self, model: ResolvedModel, device: str | None, precision: Precision = "float32") -> _Model:
        """The model on ONNX Runtime, exported first where it has not been. Raises as `load`."""
        fingerprint = model_fingerprint(model.path)
        folder = self.export.made(model.path, fingerprint, precision)
        if precision == "int8":
            return self.onnx(f"onnx-int8:{model.name}", folder, int8_fingerprint(fingerprint), device)
        return self.onnx(f"onnx:{model.name}", folder, fingerprint, device)

    def is_exported(self, model: ResolvedModel) -> bool:
        """Whether there is a float32 export already."""
        return self.export.folder(model_fingerprint(model.path), "float32").is_dir()

    def _may_export(self, model: ResolvedModel, device: str | None) -> bool:
        on_cpu = device == "cpu" or (device is None and not may_have_accelerator())
        needed = ("onnxruntime",) if self.is_exported(model) else PACKAGES
        return on_cpu and all(importlib.util.find_spec(package) for package in needed)


def split_prefix(name: str) -> tuple[str, str]:
    """The back end named before a model, as in `onnx:MODEL`, and the model; "" where none is named."""
    prefix, colon, model = name.partition(":")
    return (prefix, model) if colon and prefix in _PREFIXES else ("", name)


def int8_fingerprint(fingerprint: str) -> str:
    """The fingerprint of `onnx-int8:MODEL`, given that of MODEL."""
    return derived_fingerprint(fingerprint, _INT8)
