"""Which back end runs a model: what its settings say it is for, and the fastest way to run it here."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from leanseek.encode.export import PACKAGES, Export, Precision
from leanseek.encode.models import ResolvedModel, model_fingerprint
from leanseek.encode.registry import int8_fingerprint
from leanseek.errors import ModelError

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
