"""Cross-encoders by name."""

from __future__ import annotations

import numpy as np

from leanseek.encode import ResolvedModel, resolve_model
from leanseek.rerank.backends import Backends, split_prefix
from leanseek.rerank.crossencoder.calibration import Calibration
from leanseek.rerank.crossencoder.export import EXPORT
from leanseek.rerank.crossencoder.model import PairModel
from leanseek.rerank.crossencoder.onnx_model import OnnxPairModel
from leanseek.rerank.crossencoder.packed import PACKAGED, packaged
from leanseek.rerank.crossencoder.reranker import CrossEncoderReranker
from leanseek.rerank.crossencoder.torch_model import TorchPairModel

DEFAULT_CROSS_ENCODER = PACKAGED
ADVICE = (
    "Give the folder of a cross-encoder, as cross-encoder:FOLDER, take the one that comes with the package, as "
    "cross-encoder alone, or make one: leanseek train cross-encoder"
)

_BACKENDS: Backends[PairModel] = Backends(TorchPairModel, OnnxPairModel, EXPORT)


def load(
    model: str | None, device: str | None = None, *, long: str = "maxp", cache: bool = True
) -> CrossEncoderReranker:
    """The re-ranker for `cross-encoder:MODEL`, where MODEL is, by default `DEFAULT_CROSS_ENCODER`,

    - a folder or name of a sentence-transformers CrossEncoder with one label: ONNX Runtime in float32 where the
      CPU is to be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:` and such a folder or name: torch in any case;
    - `onnx:` or `onnx-int8:` and such a folder or name: ONNX Runtime in float32, or with 8-bit products.

    `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `long` is how passages are read
    that do not fit: maxp, firstp, top2 or extract. `cache=False` neither uses nor fills the score cache. Hits get
    a probability where the model's folder holds a calibration.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    prefix, name = split_prefix(model or DEFAULT_CROSS_ENCODER)
    resolved = _resolve(name)
    loaded = _BACKENDS.load(prefix, resolved, device)
    # A back end's first run costs several times a later one, which would be taken for its pace.
    loaded.logits([loaded.layout.join(np.zeros(2, np.int32), np.zeros(2, np.int32))])
    calibration = Calibration.of(resolved.path)
    return CrossEncoderReranker(loaded, long=long, calibration=calibration, cache=cache)


def _resolve(name: str) -> ResolvedModel:
    return packaged() if name == PACKAGED else resolve_model(name, ADVICE)
