"""Late interaction over token vectors that an index has stored."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import numpy as np

from leanseek.encode import TruncationReport
from leanseek.encode.models import derived_fingerprint
from leanseek.encode.token_model import TokenModel, TokenVectors
from leanseek.errors import LeanseekError
from leanseek.indexing.tokens.block import keys_of
from leanseek.indexing.tokens.store import TokenStore
from leanseek.types import Float32Array, Int32Array


class TokenStoreWarning(UserWarning):
    """Stored token vectors cannot be used; passages are read as they come instead."""


class StoredTokens:
    """A `TokenModel` that takes stored vectors, and has the model read the queries and the other passages.

    Where stored vectors are reduced all others are, too: they have fewer dimensions and are not of length 1 any more.
    Stored vectors are quantised and the others are not; that difference is below the error of quantising.
    """

    def __init__(self, model: TokenModel, store: TokenStore) -> None:
        """`store` is of vectors that `model` has made."""
        self.name = model.name
        self.fingerprint = derived_fingerprint(model.fingerprint, f"stored tokens {store.form.digest}")
        self.whole = model.whole
        self.passage_tokens = model.passage_tokens
        self.budget = model.budget
        self._model = model
        self._store = store

    def lengths(self, passages: Sequence[str]) -> Int32Array:
        """See TokenModel."""
        lengths = np.zeros(len(passages), dtype=np.int32)
        found = self._store.find(keys_of(passages))
        for places, known in self._store.lengths(found):
            lengths[places] = known
        if len(rest := np.flatnonzero(found.blocks < 0)):
            lengths[rest] = self._model.lengths([passages[place] for place in rest.tolist()])
        return lengths

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        """See TokenModel."""
        return self._model.cut_queries(texts)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        read = self._model.queries(texts)
        matrices = self._store.form.matrices
        return read if matrices is None else TokenVectors(reduced(read.tokens, matrices.queries), read.texts)

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        found = self._store.find(keys_of(texts))
        tokens = [np.zeros((0, self._store.settings.dims), dtype=np.float32)] * len(texts)
        whole = np.zeros((len(texts), self._store.settings.whole), dtype=np.float32)
        for places, stored in self._store.read(found):
            for place, one in zip(places.tolist(), stored.tokens, strict=True):
                tokens[place] = one
            if stored.texts is not None:
                whole[places] = stored.texts
        if len(rest := np.flatnonzero(found.blocks < 0)):
            read = self._model.passages([texts[place] for place in rest.tolist()])
            matrices = self._store.form.matrices
            others = read.tokens if matrices is None else reduced(read.tokens, matrices.passages)
            for place, one in zip(rest.tolist(), others, strict=True):
                tokens[place] = one
            if read.texts is not None:
                whole[rest] = read.texts
        return TokenVectors(tokens, whole if self.whole else None)


def with_stored(model: TokenModel, index: Path) -> TokenModel:
    """The model with what the index in that folder has stored of it; the model alone where that is nothing.

    Vectors of another model are not used, nor are those that cannot be read; these give a TokenStoreWarning.
    """
    try:
        store = TokenStore.open(index)
    except (LeanseekError, OSError) as error:
        warnings.warn(
            f"the token vectors stored in '{index}' cannot be used: {error}. Passages are read as they come; store "
            f"them again with: leanseek tokens {quote(str(index))}",
            TokenStoreWarning,
            stacklevel=2,
        )
        return model
    if store is None or store.settings.fingerprint != model.fingerprint:
        return model
    return StoredTokens(model, store)


def reduced(tokens: Sequence[Float32Array], matrix: Float32Array) -> list[Float32Array]:
    """Arrays (t, d) of tokens (t, D), by a matrix (d, D)."""
    if not tokens:
        return []
    ends = np.cumsum([len(one) for one in tokens])
    return np.split(np.concatenate(tokens) @ matrix.T, ends[:-1])
