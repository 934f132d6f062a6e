"""The static back end: a vector a token, averaged. About a hundred times faster than a transformer on a CPU."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.errors import MissingPackageError, ModelError
from leanseek.files import cache_folder, new_folder
from leanseek.types import Float32Array, Int32Array

_DIMENSIONS = 256
_VERSION = 1
_SLICE_TEXTS = 1024
_SLICE_TOKENS = 16384


def distilled(source: Path, fingerprint: str) -> Path:
    """The folder of a static model distilled from the one in `source` by model2vec.

    Made now where it is missing (some seconds to minutes, imports torch, needs no data; the method is
    Tulkens and van Dongen, Model2Vec, 2024): each token of the
    vocabulary is encoded alone, the vectors are reduced to 256 dimensions by PCA and weighted by the
    token's rank (an estimate of its frequency).

    Raises:
        MissingPackageError: model2vec or what it distills with is not installed.
        ModelError: the model cannot be distilled.
        StorageError: the cache folder cannot be written.
    """
    target = cache_folder() / "static" / f"{fingerprint}-{_DIMENSIONS}-v{_VERSION}"
    if target.is_dir():
        return target
    for package in ("model2vec", "skeletoken", "sklearn", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("Distilling a static encoder", package, "static")
    from model2vec.distill import distill

    from leanseek.encode.torch_encoder import quiet_loading

    with new_folder(target) as folder:
        try:
            with quiet_loading(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
                model = distill(str(source), pca_dims=_DIMENSIONS, device="cpu", quantize_to="float32")
                model.save_pretrained(str(folder))
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"The model in {source} cannot be distilled into a static one: {error}. "
                "Choose a model with a transformer and a tokenizer.json."
            ) from error
    return target


class StaticEncoder:
    """A model2vec model: the mean of the text's token vectors, L2-normalised.

    Texts of any length are read whole. A text without a known token has the zero vector, which is equally
    far from everything.
    """

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model2vec model in `folder`, without importing torch; `device` is "cpu" or None.

        Raises:
            MissingPackageError: model2vec is not installed.
            ModelError: the folder holds no model2vec model, or another device is given.
        """
        if device not in (None, "cpu"):
            raise ModelError(
                f"A static encoder runs on the device cpu, not on {device!r}: leave the device out."
            )
        model = _load(folder)
        self.name = name
        self.folder = folder
        self.fingerprint = fingerprint
        self._embedding: Float32Array = np.ascontiguousarray(model.embedding, dtype=np.float32)
        self.dimensions = int(self._embedding.shape[1])
        self.max_tokens: int | None = None
        vocabulary = model.tokenizer.get_vocab_size()
        mapping = model.token_mapping
        self._row = np.arange(vocabulary) if mapping is None else np.asarray(mapping)
        weights = model.weights
        self._weight = None if weights is None else np.asarray(weights, dtype=np.float32)
        self._unknown = model.unk_token_id
        self._tokenizer = TextTokenizer(model.tokenizer.to_str(), None, special=False)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries."""
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages."""
        vectors: Float32Array = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        lengths: Int32Array = np.zeros(len(texts), dtype=np.int32)
        for start in range(0, len(texts), _SLICE_TEXTS):
            ids, counts = self._tokenizer(texts[start : start + _SLICE_TEXTS])
            lengths[start : start + len(ids)] = counts
            for row, text in enumerate(ids, start):
                vectors[row] = self._mean(text)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(norms, np.finfo(np.float32).tiny)
        return Encoded(vectors, lengths)

    def _mean(self, ids: Int32Array) -> Float32Array:
        if self._unknown is not None:
            ids = ids[ids != self._unknown]
        total: Float32Array = np.zeros(self.dimensions, dtype=np.float32)
        for start in range(0, len(ids), _SLICE_TOKENS):
            part = ids[start : start + _SLICE_TOKENS]
            rows = self._embedding[self._row[part]]
            if self._weight is not None:
                total += self._weight[part] @ rows
            else:
                total += rows.sum(axis=0)
        total /= max(1, len(ids))
        return total


def _load(folder: Path) -> Any:
    if importlib.util.find_spec("model2vec") is None:
        raise MissingPackageError("A static encoder", "model2vec", "static")
    from model2vec import StaticModel

    try:
        return StaticModel.from_pretrained(str(folder))
    except Exception as error:  # Its errors come from several file formats.
        raise ModelError(f"The static model in {folder} cannot be read ({error}).") from error
