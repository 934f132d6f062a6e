"""Token models by name, and their export to ONNX."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np

from leanseek.encode.backends import Backends, split_prefix
from leanseek.encode.colbert import ColbertModel, is_colbert
from leanseek.encode.export import MODEL_FILE, TOKENIZER_FILE, Export, write_graph
from leanseek.encode.models import DEFAULT_MODEL, kind_of, model_fingerprint, resolve_model
from leanseek.encode.onnx_encoder import settings_of
from leanseek.encode.token_model import (
    SPECIAL_FILE,
    OnnxTokenModel,
    TokenModel,
    TorchTokenModel,
    network_of,
    special_of,
)
from leanseek.encode.torch_encoder import load_model, tokenizer_definition
from leanseek.errors import ModelError, UsageError
from leanseek.files import new_folder

_TOLERANCE = 1e-5
_PROBES = (
    "a query",
    "A passage of several words, to be compared with the same one from torch.",
    "word " * 60,
)


def load_token_model(model: str | None, device: str | None = None) -> TokenModel:
    """The token model for `late-interaction:MODEL`; see `late_interaction.load` for the names and errors."""
    prefix, name = split_prefix(model or DEFAULT_MODEL)
    resolved = resolve_model(name)
    if not is_colbert(resolved.path):
        check_is_encoder(resolved.path)
        return _BACKENDS.load(prefix, resolved, device)
    if prefix not in ("", "torch"):
        raise UsageError(f"'{name}' is of ColBERT's kind, which torch alone runs; leave out {prefix}:")
    return ColbertModel(resolved.name, resolved.path, model_fingerprint(resolved.path), device)


def check_is_encoder(folder: Path) -> None:
    """Raise ModelError for a folder with another kind of model, whose tokens are not trained to be compared."""
    kind = kind_of(folder)
    if kind in ("cross-encoder", "decoder"):
        other = f"cross-encoder:{folder}" if kind == "cross-encoder" else f"in-context:{folder}"
        raise ModelError(
            f"The model in {folder} is a {kind}; late interaction needs an encoder of single texts, such as "
            f"{DEFAULT_MODEL}. As what it is, it is loaded by: {other}"
        )


def _write(source: Path, target: Path) -> None:
    # Eager attention: its plain matrix products run faster in ONNX Runtime than the fused form.
    model = load_model(source, "cpu", attn_implementation="eager")
    settings = settings_of(model, int(model.get_embedding_dimension()))
    with new_folder(target) as folder:
        write_graph(
            network_of(model, settings.inputs),
            settings.inputs,
            ["tokens", "text_vectors"],
            folder / MODEL_FILE,
            functools.partial(_unsupported, source),
        )
        (folder / TOKENIZER_FILE).write_text(tokenizer_definition(model), encoding="utf-8")
        (folder / SPECIAL_FILE).write_text(json.dumps(special_of(model)), encoding="utf-8")
        settings.write(folder)
        _check(TorchTokenModel("", source, "", "cpu"), OnnxTokenModel("", folder, ""), source)


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


def _carry(full: Path, folder: Path) -> None:
    (folder / SPECIAL_FILE).write_bytes((full / SPECIAL_FILE).read_bytes())


def _unsupported(source: Path, reason: str) -> ModelError:
    return ModelError(
        f"The model in {source} cannot be exported to ONNX: {reason}. Use it with torch: "
        f"late-interaction:torch:{source}"
    )


EXPORT = Export(form="tokens", version=1, write=_write, carry=_carry)
"""How bi-encoders are exported whose tokens are compared."""

_BACKENDS: Backends[TokenModel] = Backends(TorchTokenModel, OnnxTokenModel, EXPORT)
