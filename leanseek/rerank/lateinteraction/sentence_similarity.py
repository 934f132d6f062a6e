"""How near the sentences of passages are to a query, by the vectors of their tokens, read in their passage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.encode.batches import Batches, Piece
from leanseek.encode.models import derived_fingerprint
from leanseek.encode.token_model import BiEncoderTokens, TokenModel, finite_tokens
from leanseek.encode.token_registry import load_token_model
from leanseek.errors import LeanseekError, ModelError
from leanseek.indexing.tokens.store import stored_form
from leanseek.rerank.lateinteraction.similarity import LEAST, maxsim
from leanseek.rerank.lateinteraction.stored_tokens import TokenStoreWarning, with_stored
from leanseek.types import Float32Array, Float64Array, Hit, Int32Array, content

_CHARACTERS = 16
"""Characters of a window for each token that the model reads; the rest would only be cut."""

COSINE = 1.5
"""The weight of the cosine beside MaxSim."""


class _Window(NamedTuple):
    """What is read at once of the hit at `row`: `text`, from the sentence of number `first` on.

    Character n of the hit's text is character n + `shift` of the window's.
    """

    row: int
    first: int
    text: str
    shift: int


class SentenceSimilarity:
    """MaxSim of a query with each sentence of passages, and `COSINE` times the cosine of their tokens' means.

    A token's vector depends on what surrounds it, so a sentence that says "it was built in 1889" is near the query
    about the tower that its title names. Passages are read as late interaction reads them, so vectors that an index
    has stored of them are taken. What a passage has beyond the model's limit is read in windows that begin with its
    title.
    """

    def __init__(self, model: TokenModel, reader: BiEncoderTokens) -> None:
        """`model` gives the vectors; `reader`, the same one without stored vectors, gives their places."""
        self._model = model
        self._reader = reader
        self._batches = Batches(model.budget, "passage")

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a similarity."""
        return derived_fingerprint(self._model.fingerprint, f"sentences {COSINE}")

    def __call__(
        self, query: str, hits: Sequence[Hit], sentences: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Float64Array]:
        """(m,) of each hit: the similarities of its m sentences, the characters [start, end) of its text.

        A sentence without a token has the least there can be; so have all where the query has none. Raises ModelError
        where vectors are not finite.
        """
        found = [np.full(len(some), LEAST * (1.0 + COSINE)) for some in sentences]
        [asked] = finite_tokens(self._model.queries([query]))
        if not query.strip() or not len(asked.tokens):
            return found
        windows = [_window(row, hit, 0, sentences[row]) for row, hit in enumerate(hits) if sentences[row]]
        while windows:
            rest: list[_Window] = []
            for window, whole, tokens in self._read(windows):
                some = sentences[window.row]
                places = self._reader.places(window.text)[: len(tokens)]
                end = len(window.text) if whole or not len(places) else int(places[-1, 1])
                last = window.first
                # A sentence longer than a window counts by what was read of it.
                while last < len(some) and (last == window.first or some[last][1] + window.shift <= end):
                    start, stop = some[last]
                    inside = _between(tokens, places, start + window.shift, stop + window.shift)
                    found[window.row][last] = similarity(asked.tokens, inside)
                    last += 1
                if last < len(some):
                    rest.append(_window(window.row, hits[window.row], last, some, self._model.passage_tokens))
            windows = rest
        return found

    def _read(self, windows: Sequence[_Window]) -> Iterator[tuple[_Window, bool, Float32Array]]:
        """Each window, whether all of it was read, and the vectors of its tokens."""
        limit = self._model.passage_tokens
        lengths = self._model.lengths([window.text for window in windows]).tolist()
        pieces = [Piece(number, length) for number, length in enumerate(lengths)]

        def run(numbers: list[int]) -> list[Float32Array]:
            read = self._model.passages([windows[number].text for number in numbers])
            return [one.tokens for one in finite_tokens(read)]

        for batch, read in self._batches.run_rounds([pieces], run):
            for number, tokens in zip(batch, read, strict=True):
                yield windows[number], limit is None or lengths[number] <= limit, tokens


def similarity(query: Float32Array, sentence: Float32Array) -> float:
    """MaxSim and `COSINE` times the cosine of the means, of a query's (q, d) token vectors and a sentence's (t, d)."""
    if not len(sentence):
        return LEAST * (1.0 + COSINE)
    one, other = query.mean(axis=0, dtype=np.float64), sentence.mean(axis=0, dtype=np.float64)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / size if size else LEAST
    return float(maxsim([query], sentence)[0]) + COSINE * cosine


def load_similarity(encoder: str, device: str | None = None, index: Path | None = None) -> SentenceSimilarity:
    """The similarity by the tokens of an encoder of that name, and by those stored in the index in that folder.

    Raises ModelError or UsageError for an encoder that gives tokens no vectors in context, MissingPackageError or
    StorageError.
    """
    reader = load_token_model(encoder, device)
    if not isinstance(reader, BiEncoderTokens):
        raise ModelError(f"the tokens of '{encoder}' have no places in the text")
    return SentenceSimilarity(with_stored(reader, index) if index is not None else reader, reader)


def stored_similarity(index: Path, device: str | None = None) -> SentenceSimilarity | None:
    """The similarity by the vectors of tokens that the index in that folder has stored, of whatever model these are.

    None where it has none, or of a model that gives tokens no vectors in context. What cannot be read or loaded gives
    a TokenStoreWarning, and None.
    """
    try:
        form = stored_form(index)
        if form is None:
            return None
        reader = load_token_model(form.settings.model, device)
    except (LeanseekError, OSError) as error:
        warnings.warn(
            f"the token vectors stored in '{index}' cannot be used: {error}. Sentences are chosen without them",
            TokenStoreWarning,
            stacklevel=2,
        )
        return None
    model = with_stored(reader, index)
    if model is reader or not isinstance(reader, BiEncoderTokens):
        return None
    return SentenceSimilarity(model, reader)


def _window(
    row: int, hit: Hit, first: int, sentences: Sequence[tuple[int, int]], limit: int | None = None
) -> _Window:
    """The window that begins with the sentence of that number, and has about as much as `limit` tokens may hold."""
    start = sentences[first][0] if first else 0
    rest = hit.text[start : None if limit is None else start + _CHARACTERS * limit]
    text = content(hit.title, rest)
    title = len(f"{hit.title} ".lstrip()) if hit.title.strip() else 0
    if hit.title and not title:
        title = len(rest.lstrip()) - len(rest)
    return _Window(row, first, text, title - start)


def _between(tokens: Float32Array, places: Int32Array, start: int, end: int) -> Float32Array:
    """Those of the tokens (t, d) that lie in the characters [start, end); places (t, 2)."""
    inside: Float32Array = tokens[
        (places[:, 0] >= start) & (places[:, 1] <= end) & (places[:, 1] > places[:, 0])
    ]
    return inside
