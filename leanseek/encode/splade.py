"""SPLADE: sparse vectors over the vocabulary of a masked-language model.

Weight of term j: the greatest, over the text's tokens i, of log(1 + max(0, logit_ij)); models differ in whether they
take the greatest or the sum, and the logarithm once or twice. The logits of a batch, (texts, length, vocabulary), would
take gigabytes: they are computed a block of tokens and of terms at a time and reduced at once.

Thibault Formal, Carlos Lassance, Benjamin Piwowarski, Stéphane Clinchant: From Distillation to Hard Negative Sampling:
Making Sparse Neural IR Models More Effective. SIGIR 2022.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from leanseek.encode.batches import Batches
from leanseek.encode.export import ExportSettings
from leanseek.encode.learned_vectors import LearnedVector, LearnedVectors
from leanseek.encode.tokenizer import TextTokenizer, model_inputs
from leanseek.errors import ModelError
from leanseek.types import BoolArray, Float32Array, Int32Array

BUDGET: Final = 2048
BUDGET_ACCELERATOR: Final = 16384
TOKENS: Final = 512
TERMS: Final = 512
"""The logits of so many tokens and terms together stay in the processor's cache."""
TERMS_ACCELERATOR: Final = 4096


@dataclass(frozen=True, slots=True)
class Pooling:
    """How logits become weights: `strategy` is max or sum over the tokens, `logarithms` (1 or 2) how often
    log(1 + x) is taken."""

    strategy: str
    logarithms: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model is besides its network.

    `settings`: how it reads documents, with `dimensions` (d) of the states that the logits are made of. `documents` and
    `queries` are tokenizer.json's contents, `query_tokens` the longest query. `table` (V,) are the weights of queries'
    tokens where no network reads those.
    """

    settings: ExportSettings
    pooling: Pooling
    documents: str
    queries: str
    query_tokens: int | None
    table: Float32Array | None
    vocabulary: int


class SpladeEncoder(ABC):
    """A `LearnedEncoder`: all of it but the network itself.

    Queries of an inference-free model are the set of their tokens, each with a weight from a table (Geng, Ru, Yang:
    Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024).
    """

    def __init__(self, name: str, fingerprint: str, reading: Reading, budget: int) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.vocabulary = reading.vocabulary
        self.max_tokens = reading.settings.max_tokens
        self._settings = reading.settings
        self._pooling = reading.pooling
        self._table = reading.table
        self._documents = TextTokenizer(reading.documents, self.max_tokens)
        # A table has the weights of words alone.
        self._queries = TextTokenizer(reading.queries, reading.query_tokens, special=self._table is None)
        self._batches = Batches(budget, "text")

    def encode_queries(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n queries, with the model's own query prompt."""
        ids, lengths = self._queries([self._settings.query_prompt + text for text in texts])
        if self._table is None:
            return self._encode(ids, lengths)
        rows = []
        for tokens, length in zip(ids, lengths.tolist(), strict=True):
            terms = np.unique(tokens)
            terms = terms[self._table[terms] > 0]
            rows.append(LearnedVector(terms, self._table[terms], length))
        return LearnedVectors.of(rows)

    def encode_documents(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n passages, with the model's own document prompt."""
        return self._encode(*self._documents([self._settings.document_prompt + text for text in texts]))

    def words(self, terms: Int32Array) -> list[str]:
        """(t,) terms as the tokenizer writes them: ##s is the end of a word."""
        return [self._documents.token(term) for term in terms.tolist()]

    def own_terms(self, text: str) -> Int32Array:
        """(t,) the terms that a text has itself, ascending, special tokens included."""
        [ids] = self._documents([text]).ids
        return np.unique(ids)

    def _encode(self, ids: list[Int32Array], lengths: Int32Array) -> LearnedVectors:
        rows: list[LearnedVector] = [LearnedVector(np.empty(0, np.int32), np.empty(0, np.float32), 0)] * len(
            ids
        )

        def run(batch: list[int]) -> Float32Array:
            given = model_inputs(
                [ids[place] for place in batch], self._settings.pad_id, self._settings.pad_left
            )
            inputs = {name: given[name] for name in self._settings.inputs}
            return self._pooled(inputs, given["attention_mask"] == 1)

        for batch, pooled in self._batches.run([len(text) for text in ids], range(len(ids)), run):
            for place, weights in zip(batch, pooled, strict=True):
                terms = np.flatnonzero(weights)
                rows[place] = LearnedVector(terms.astype(np.int32), weights[terms], int(lengths[place]))
        return LearnedVectors.of(rows)

    @abstractmethod
    def _pooled(self, inputs: dict[str, Any], mask: BoolArray) -> Float32Array:
        """The weights (n, V) of texts, from the arrays (n, longest) that the network reads; `mask` is where they have
        tokens."""


def pool(
    hidden: Float32Array, lengths: Sequence[int], weight: Float32Array, bias: Float32Array, pooling: Pooling
) -> Float32Array:
    """(n, V) weights of n texts; `hidden` (t, d) are the states of all their tokens one after another, `lengths` (n,)
    how many each has; the logits are hidden @ weight.T + bias, with `weight` (V, d) and `bias` (V,)."""
    pooled = np.zeros((len(lengths), len(weight)), np.float32)
    for first in range(0, len(weight), TERMS):
        here = slice(first, first + TERMS)
        part = weight[here].T
        start = 0
        for row, length in enumerate(lengths):
            for begin in range(start, start + length, TOKENS):
                logits = hidden[begin : min(begin + TOKENS, start + length)] @ part
                if pooling.strategy == "sum":
                    pooled[row, here] += activated(logits + bias[here], pooling).sum(axis=0)
                else:
                    # The greatest before the bias and the logarithms, which change no order.
                    best = logits.max(axis=0) + bias[here]
                    np.maximum(pooled[row, here], best, out=pooled[row, here])
            start += length
    return pooled if pooling.strategy == "sum" else activated(pooled, pooling)


def activated(logits: Float32Array, pooling: Pooling) -> Float32Array:
    """log(1 + max(0, x)), once or twice."""
    found = np.maximum(logits, 0.0, dtype=np.float32)
    for _ in range(pooling.logarithms):
        np.log1p(found, out=found)
    return found


def check_finite(pooled: Float32Array, name: str) -> Float32Array:
    """The weights, as they are. Raises ModelError where the network gave none."""
    if not np.isfinite(pooled).all():
        raise ModelError(
            f"the model '{name}' gave weights that are not finite; they order nothing. Check its files"
        )
    return pooled
