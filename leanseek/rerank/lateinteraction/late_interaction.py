"""Re-ranking by comparing the tokens of query and passage one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from leanseek.encode import TruncationReport
from leanseek.encode.batches import Batches, Deadline, Piece, in_time, tiers
from leanseek.encode.models import derived_fingerprint
from leanseek.encode.token_model import TextTokens, TokenModel, TokenVectors, finite_tokens
from leanseek.encode.token_registry import load_token_model
from leanseek.errors import UsageError
from leanseek.rerank.base import ByScore, Judged, QueryBlock, cut_note, in_blocks
from leanseek.rerank.lateinteraction.similarity import Mix, maxsim
from leanseek.rerank.lateinteraction.stored_tokens import with_stored
from leanseek.rerank.registry import RerankOptions
from leanseek.types import Float64Array, Hit, Int32Array, Progress, content

_QUERIES_AT_ONCE = 16

DEFAULT_MIX = Mix(maxsim=0.3, cosine=0.1, search=0.6)
"""Of a grid in steps of 0.1 the best on held-out queries of three collections (see docs/late-interaction.md)."""
WITHOUT_COSINE = Mix(maxsim=0.4, search=0.6)
"""The same for models that have no vector for a text as a whole."""


class Measured(NamedTuple):
    """The measures of a query's n hits, (n,) each, NaN where a hit was not read.

    `maxsim` of the tokens; `cosine` of the texts as a whole, None where the model has no vectors for these.
    """

    maxsim: Float64Array
    cosine: Float64Array | None


class LateInteractionReranker(ByScore):
    """A hit's score is a `Mix` of MaxSim with other measures; a hit's text is its title and text.

    Reads passages as they come: nothing has to be stored, and a query's hundred passages take as long as encoding
    them does. A passage or a query longer than the model's limit is cut there, which `notes` reports. A query without
    a token, such as a blank one, leaves its hits as they are.

    >>> reranker = load_reranker("late-interaction")
    >>> reranker.rerank("do statins help?", searcher.search("do statins help?", k=100))
    """

    def __init__(self, model: TokenModel, *, mix: Mix | None = None) -> None:
        """`mix` is what scores are made of; None: `DEFAULT_MIX`, or `WITHOUT_COSINE` as the model has it.

        Raises UsageError for a mix with a cosine, where the model has no vector for a text as a whole.
        """
        self._model = model
        self._mix = mix if mix is not None else DEFAULT_MIX if model.whole else WITHOUT_COSINE
        if self._mix.cosine and not model.whole:
            raise UsageError(
                f"the model '{model.name}' gives tokens alone a vector; leave the cosine out of the mix"
            )
        self._batches = Batches(model.budget, "passage")
        self._lock = threading.Lock()
        self._truncation = TruncationReport()
        self._cut_queries = TruncationReport()

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load it again: `late-interaction:MODEL`."""
        return f"late-interaction:{self._model.name}"

    @property
    def alone(self) -> bool:
        """Whether a hit's score is independent of the other hits: MaxSim is all of it."""
        return not (self._mix.cosine or self._mix.search)

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score: the model, its length, and the mix."""
        return derived_fingerprint(self._model.fingerprint, f"{self._model.passage_tokens} {self._mix}")

    def without_search(self) -> LateInteractionReranker:
        """The re-ranker without the search's part of its mix; of the default mix MaxSim alone.

        A hybrid search's score has the cosine already: on Vaswani `interpolated:late-interaction` has nDCG@10 .5254 by
        MaxSim, .5194 by MaxSim and cosine, and .5226 where the search counts twice (search alone: .5180).
        """
        if not self._mix.search:
            return self
        mix = Mix() if self._mix == DEFAULT_MIX else replace(self._mix, search=0.0)
        return LateInteractionReranker(self._model, mix=mix)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of passages and queries did not fit so far, and whether memory ran out."""
        with self._lock:
            long, queries = cut_note(self._truncation), self._cut_queries
        longer = (
            f"{queries.truncated:,} {'query was' if queries.truncated == 1 else 'queries were'} longer than the "
            f"model's {queries.max_tokens:,} tokens; what follows these was not read"
            if queries.truncated and queries.max_tokens is not None
            else None
        )
        return (*([long] if long else []), *([longer] if longer else []), *self._batches.notes)

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The scores of each query's hits; under a deadline the first of every list are scored first."""
        measured = self.measure(queries, hits, progress=progress, deadline=deadline)
        return [
            Judged(self._mix.scores(*one, np.array([hit.score for hit in given], dtype=np.float64)))
            for one, given in zip(measured, hits, strict=True)
        ]

    def measure(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Measured]:
        """What scores are made of. Raises ModelError where the model's vectors are not finite."""
        return [
            measured
            for block in in_blocks(queries, hits, progress, deadline)
            for measured in self._measured(block, deadline)
        ]

    def _measured(self, block: QueryBlock, deadline: Deadline | None) -> list[Measured]:
        queries, hits, report = block
        by_tokens = [np.full(len(given), np.nan) for given in hits]
        by_text = [np.full(len(given), np.nan) for given in hits]
        read_queries = self._queries(queries) if deadline is None or deadline.allows() else []
        places: dict[str, list[_Place]] = {}
        for row, query in enumerate(read_queries):
            for column, hit in enumerate(hits[row] if len(query.tokens) else ()):
                places.setdefault(content(hit.title, hit.text), []).append(_Place(row, column))
        passages = list(places)
        lengths = np.zeros(len(passages), dtype=np.int32)
        ranks = [min(place.column for place in places[passage]) for passage in passages]

        def rounds() -> Iterator[list[Piece]]:
            for numbers in tiers(ranks, deadline):
                measured: list[int] = []
                for block in in_time(numbers, deadline):
                    lengths[block] = self._model.lengths([passages[number] for number in block])
                    measured += block
                yield [Piece(number, int(lengths[number])) for number in measured]

        def run(numbers: list[int]) -> TokenVectors:
            return self._model.passages([passages[number] for number in numbers])

        done = 0
        for batch, read in self._batches.run_rounds(rounds(), run, deadline):
            for number, (passage, text) in zip(batch, finite_tokens(read), strict=True):
                wanted = places[passages[number]]
                similar = maxsim([read_queries[row].tokens for row, _ in wanted], passage)
                for (row, column), one in zip(wanted, similar, strict=True):
                    by_tokens[row][column] = one
                    whole = read_queries[row].text
                    if text is not None and whole is not None:
                        by_text[row][column] = float(text @ whole)
                done += len(wanted)
            self._count(lengths[batch])
            report(done)
        return [
            Measured(tokens, texts if self._model.whole else None)
            for tokens, texts in zip(by_tokens, by_text, strict=True)
        ]

    def _queries(self, queries: Sequence[str]) -> list[TextTokens]:
        """The queries' vectors; a blank one has no tokens, whatever the model gives."""
        found: list[TextTokens] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = queries[start : start + _QUERIES_AT_ONCE]
            for query, read in zip(part, finite_tokens(self._model.queries(part)), strict=True):
                found.append(read if query.strip() else read._replace(tokens=read.tokens[:0]))
            with self._lock:
                self._cut_queries += self._model.cut_queries(part)
        return found

    def _count(self, lengths: Int32Array) -> None:
        """Count what was cut off the passages that were read."""
        with self._lock:
            self._truncation += TruncationReport.of(lengths, self._model.passage_tokens)


class _Place(NamedTuple):
    """A hit in the lists of several queries."""

    row: int
    column: int


def load(options: RerankOptions) -> LateInteractionReranker:
    """The re-ranker for `late-interaction:MODEL`, where MODEL is

    - a folder or name of a bi-encoder, by default the default encoder: ONNX Runtime in float32 where the CPU is to
      be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:`, `onnx:` or `onnx-int8:` and such a folder or name: that back end;
    - a folder or name of a checkpoint of ColBERT's kind, which torch runs.

    Token vectors of this model that the options' `index` has stored (see `store_tokens`) are not computed again.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    options.check("late-interaction")
    model = load_token_model(options.model, options.device)
    # A back end's first run costs several times a later one, and would be taken for its pace.
    model.queries(["a query"])
    model.passages(["a passage"])
    if options.index is not None:
        model = with_stored(model, options.index)
    return LateInteractionReranker(model, mix=options.mix)
