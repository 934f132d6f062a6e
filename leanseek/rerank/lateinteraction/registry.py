"""Late interaction by name."""

from __future__ import annotations

from pathlib import Path

from leanseek.encode import DEFAULT_MODEL, resolve_model
from leanseek.encode.backends import Backends, kind_of, split_prefix
from leanseek.encode.colbert import ColbertModel, is_colbert
from leanseek.encode.models import model_fingerprint
from leanseek.encode.token_export import EXPORT
from leanseek.encode.token_model import OnnxTokenModel, TokenModel, TorchTokenModel
from leanseek.errors import ModelError, UsageError
from leanseek.rerank.lateinteraction.late_interaction import LateInteractionReranker
from leanseek.rerank.lateinteraction.similarity import Mix
from leanseek.rerank.lateinteraction.stored_tokens import with_stored

_BACKENDS: Backends[TokenModel] = Backends(TorchTokenModel, OnnxTokenModel, EXPORT)


def load(
    model: str | None, device: str | None = None, *, mix: Mix | None = None, index: Path | None = None
) -> LateInteractionReranker:
    """The re-ranker for `late-interaction:MODEL`, where MODEL is

    - a folder or name of a bi-encoder, by default the default encoder: ONNX Runtime in float32 where the CPU is to
      be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:`, `onnx:` or `onnx-int8:` and such a folder or name: that back end;
    - a folder or name of a checkpoint of ColBERT's kind, which torch runs.

    `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `mix` is what scores are made of;
    None takes the re-ranker's default. `index` is the folder of the index that the hits come from: the token vectors
    that it has stored of this model (see `store_tokens`) are then not made again.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    loaded = load_token_model(model, device)
    # A back end's first run costs several times a later one, which would be taken for its pace.
    loaded.queries(["a query"])
    loaded.passages(["a passage"])
    return LateInteractionReranker(loaded if index is None else with_stored(loaded, index), mix=mix)


def load_token_model(model: str | None, device: str | None = None) -> TokenModel:
    """What reads the texts for `load`, which tells the names; raises as it does."""
    prefix, name = split_prefix(model or DEFAULT_MODEL)
    resolved = resolve_model(name)
    if not is_colbert(resolved.path):
        check_is_encoder(resolved.path)
        return _BACKENDS.load(prefix, resolved, device)
    if prefix not in ("", "torch"):
        raise UsageError(f"'{name}' is of ColBERT's kind, which torch alone runs; leave out {prefix}:")
    return ColbertModel(resolved.name, resolved.path, model_fingerprint(resolved.path), device)


def check_is_encoder(folder: Path) -> None:
    """Raise ModelError for a folder with another kind of model, whose tokens nobody trained to be compared."""
    kind = kind_of(folder)
    if kind in ("cross-encoder", "decoder"):
        other = f"cross-encoder:{folder}" if kind == "cross-encoder" else f"in-context:{folder}"
        raise ModelError(
            f"The model in {folder} is a {kind}; late interaction needs an encoder of single texts, such as "
            f"{DEFAULT_MODEL}. As what it is, it is loaded by: {other}"
        )
