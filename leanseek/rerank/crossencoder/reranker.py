"""Re-ranking by a model that reads query and passage together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.encode.fingerprint import derived_fingerprint
from leanseek.encode.tokens import Int32Array, TextTokenizer
from leanseek.errors import ModelError, UsageError
from leanseek.rerank.base import ByScore, Judged
from leanseek.rerank.batches import Batches
from leanseek.rerank.crossencoder.calibration import Calibration
from leanseek.rerank.crossencoder.extracting import Extractor
from leanseek.rerank.crossencoder.layout import PairIds
from leanseek.rerank.crossencoder.model import PairModel
from leanseek.rerank.crossencoder.windows import LongReport, Span, check_long, combine, spans
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.scores import Pair, ScoreCache, Scored
from leanseek.types import Float32Array, Float64Array, Hit, Progress, content

_QUERIES = 64
"""Queries whose pairs are sorted and scored together."""


class CrossEncoderReranker(ByScore):
    """A hit's score is the raw logit of (query, title and text); probabilities need a `Calibration`.

    >>> reranker = load_reranker("cross-encoder:cross-encoder/ms-marco-MiniLM-L6-v2")
    >>> reranker.rerank("do statins help?", searcher.search("do statins help?", k=100))
    """

    def __init__(
        self,
        model: PairModel,
        *,
        long: str = "maxp",
        calibration: Calibration | None = None,
        cache: bool = True,
        analyzer: str = "english",
    ) -> None:
        """`long` is how passages are read that do not fit (see `windows.Long`); `analyzer` finds the terms that
        `extract` goes by. With `cache` scores are kept in the cache folder, and looked up there.

        Raises UsageError for an unknown `long` or analyzer.
        """
        self._model = model
        self._long = check_long(long)
        self._calibration = calibration
        self._cache = ScoreCache(self.fingerprint) if cache else None
        self._tokenizer = TextTokenizer(model.definition, None, special=False)
        self._room = None if model.max_tokens is None else model.max_tokens - model.layout.special
        if self._room is not None and self._room < 2:
            raise UsageError(
                f"the model '{model.name}' reads {model.max_tokens} tokens, too few for any pair"
            )
        self._extractor = Extractor(self._tokenizer, analyzer) if long == "extract" else None
        self._batches = Batches(model.budget, "pair")
        self._lock = threading.Lock()
        self._report = LongReport()
        self._cut_queries = 0

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load it again: `cross-encoder:MODEL`."""
        return f"cross-encoder:{self._model.name}"

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score: the model, its length, and how long passages are read."""
        return derived_fingerprint(self._model.fingerprint, f"{self._long} {self._model.max_tokens}")

    @property
    def report(self) -> LongReport:
        """What was read of the passages so far."""
        with self._lock:
            return self._report

    @property
    def notes(self) -> tuple[str, ...]:
        """What of passages and queries did not fit so far, and whether memory ran out."""
        with self._lock:
            long, queries = self._report.sentence(self._long), self._cut_queries
        cut = (
            f"{queries:,} {'query was' if queries == 1 else 'queries were'} cut to leave room for passages in the "
            f"model's {self._model.max_tokens} tokens"
        )
        return (*([long] if long else []), *([cut] if queries else []), *self._batches.notes)

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The scores of each query's hits; under a deadline the first of every list are judged first."""
        total = sum(map(len, hits))
        judged: list[Judged] = []
        done = 0
        # All lists advance together where time may not suffice for all.
        step = _QUERIES if deadline is None else max(len(queries), 1)
        for start in range(0, len(queries), step):
            block = hits[start : start + step]

            def tell(share: float, before: int = done, pairs: int = sum(map(len, block))) -> None:
                if progress is not None:
                    progress("re-ranking", before + int(share * pairs), total)

            found = self._judge(queries[start : start + step], block, tell, deadline)
            judged += map(self._judged, found)
            done += sum(map(len, block))
            tell(1.0)
        return judged

    def _judged(self, scores: Float64Array) -> Judged:
        known = self._calibration
        return Judged(scores, known.probabilities(scores) if known is not None else None)

    def _judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        tell: Callable[[float], None],
        deadline: Deadline | None,
    ) -> list[Float64Array]:
        read = self._texts(queries, hits)
        # Copies are scored once, so equal texts get equal scores.
        places: dict[Pair, list[tuple[int, int]]] = {}
        for row, (query, passages) in enumerate(zip(queries, read, strict=True)):
            for column, passage in enumerate(passages):
                places.setdefault(Pair(query, passage, self._long), []).append((row, column))
        pairs = list(places)
        known = self._cache.get(pairs) if self._cache is not None else [None] * len(pairs)
        missing = [pair for pair, scored in zip(pairs, known, strict=True) if scored is None]
        ranks = [min(column for _, column in places[pair]) for pair in missing]
        fresh = self._score(missing, ranks, tell, deadline)
        found = {pair: scored for pair, scored in zip(pairs, known, strict=True) if scored is not None}
        found |= {pair: scored for pair, scored in zip(missing, fresh, strict=True) if scored is not None}
        if self._cache is not None:
            kept = [pair for pair, scored in zip(missing, fresh, strict=True) if scored is not None]
            self._cache.put(kept, [found[pair] for pair in kept])
        self._count(found, places)
        scores = [np.full(len(given), np.nan) for given in hits]
        for pair, scored in found.items():
            for row, column in places[pair]:
                scores[row][column] = scored.score
        return scores

    def _texts(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[list[str]]:
        """What is to be read of each hit."""
        if self._extractor is None:
            return [[content(hit.title, hit.text) for hit in given] for given in hits]
        extracts = self._extractor.extract(queries, hits, self._room)
        every = [extract for given in extracts for extract in given]
        tokens, kept = [one.tokens for one in every], [one.kept for one in every]
        with self._lock:
            self._report += LongReport.of(tokens, kept, sum(one.kept < one.tokens for one in every))
        return [[extract.text for extract in given] for given in extracts]

    def _count(self, found: dict[Pair, Scored], places: dict[Pair, list[tuple[int, int]]]) -> None:
        """Keep count of what was read of the passages and queries that have a score."""
        every = [scored for pair, scored in found.items() for _ in places[pair]]
        tokens, windows = [one.tokens for one in every], [one.window for one in every]
        report = LongReport()
        if self._extractor is None:
            long = sum(one.window < one.tokens for one in every)
            report = LongReport.of(tokens, windows if self._long == "firstp" else tokens, long)
        asked = self._tokens(pair.query for pair in found)
        cut = {
            pair.query
            for pair, scored in found.items()
            if self._room is not None and len(asked[pair.query]) + scored.window > self._room
        }
        with self._lock:
            self._report += report
            self._cut_queries += len(cut)

    def _tokens(self, texts: Iterable[str]) -> dict[str, Int32Array]:
        """The tokens of the distinct texts."""
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self._tokenizer(distinct).ids, strict=True))

    def _score(
        self,
        pairs: Sequence[Pair],
        ranks: Sequence[int],
        tell: Callable[[float], None],
        deadline: Deadline | None,
    ) -> list[Scored | None]:
        """The scores of distinct pairs; None for those that the deadline left out. `ranks` (n,) order the rounds."""
        queries = self._tokens(pair.query for pair in pairs)
        passages = self._tokens(pair.passage for pair in pairs)
        windows = []
        for place, (query, passage, _) in enumerate(pairs):
            for span in spans(
                len(queries[query]),
                len(passages[passage]),
                self._room,
                first=self._long in ("firstp", "extract"),
            ):
                windows.append(_Window(place, span))

        def run(places: list[int]) -> Float32Array:
            parts = []
            for number in places:
                place, span = windows[number]
                query, passage, _ = pairs[place]
                tokens = queries[query][: span.query], passages[passage][span.start : span.end]
                parts.append(self._model.layout.join(*tokens))
            return self._logits(parts)

        lengths = [self._model.layout.special + span.query + span.end - span.start for _, span in windows]
        logits = np.full(len(windows), np.nan)
        done = 0
        for batch, scores in self._batches.run(
            lengths, [ranks[place] for place, _ in windows], run, deadline
        ):
            logits[batch] = scores
            done += len(batch)
            tell(done / len(windows))
        found: list[Scored | None] = []
        start = 0
        for place, pair in enumerate(pairs):
            end = start
            while end < len(windows) and windows[end].pair == place:
                end += 1
            part = logits[start:end]
            span = windows[start].span
            found.append(
                None
                if np.isnan(part).any()
                else Scored(combine(part, self._long), len(passages[pair.passage]), span.end - span.start)
            )
            start = end
        return found

    def _logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        logits = self._model.logits(pairs)
        if not np.isfinite(logits).all():
            raise ModelError(
                f"the model '{self._model.name}' gave NaN or infinite scores; they order nothing. Check its weights"
            )
        return logits


class _Window(NamedTuple):
    """A part of a pair that the model reads at once."""

    pair: int
    span: Span
