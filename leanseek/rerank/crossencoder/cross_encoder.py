"""Re-ranking by a model that reads query and passage together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.encode.backends import Backends, split_prefix
from leanseek.encode.batches import Batches, Deadline, Piece, in_time, tiers
from leanseek.encode.models import ResolvedModel, derived_fingerprint, resolve_model
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.errors import ModelError, UsageError
from leanseek.rerank.base import ByScore, Judged, QueryBlock, in_blocks
from leanseek.rerank.crossencoder.calibration import Calibration
from leanseek.rerank.crossencoder.extracts import Extractor
from leanseek.rerank.crossencoder.layout import PairIds, PairModel
from leanseek.rerank.crossencoder.onnx_pairs import EXPORT, OnnxPairModel
from leanseek.rerank.crossencoder.packed import PACKAGED, packaged
from leanseek.rerank.crossencoder.torch_pairs import TorchPairModel
from leanseek.rerank.crossencoder.windows import LongReport, PairWindows, check_long
from leanseek.rerank.lateinteraction.sentence_similarity import SentenceSimilarity, stored_similarity
from leanseek.rerank.registry import RerankOptions
from leanseek.rerank.score_cache import Pair, ScoreCache, Scored
from leanseek.types import Float32Array, Float64Array, Hit, Progress, content

ADVICE = (
    "Give the folder of a cross-encoder, as cross-encoder:FOLDER, take the one that comes with the package, as "
    "cross-encoder alone, or make one: leanseek train cross-encoder"
)

_BACKENDS: Backends[PairModel] = Backends(TorchPairModel, OnnxPairModel, EXPORT)


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
        similarity: SentenceSimilarity | None = None,
    ) -> None:
        """`long` is how passages are read that do not fit (see `windows.Long`). The sentences of an extract are those
        with the query's terms, which `analyzer` finds, and, where it is given, with `similarity` to the query. With
        `cache` scores are looked up in the score cache and stored there.

        Raises UsageError for an unknown `long` or analyzer.
        """
        self._model = model
        self._long = check_long(long)
        self._calibration = calibration
        self._similarity = similarity if long == "extract" else None
        # An extract's score depends on its text, and not on how its sentences were chosen.
        self._cache = ScoreCache(self._reading) if cache else None
        self._tokenizer = TextTokenizer(model.definition, None, special=False)
        self._room = None if model.max_tokens is None else model.max_tokens - model.layout.special
        if self._room is not None and self._room < 2:
            raise UsageError(
                f"the model '{model.name}' reads {model.max_tokens} tokens, too few for any pair"
            )
        self._extractor = Extractor(self._tokenizer, analyzer, similarity) if long == "extract" else None
        self._batches = Batches(model.budget, "pair")
        self._lock = threading.Lock()
        self._report = LongReport()
        self._cut_queries = 0

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load it again: `cross-encoder:MODEL`."""
        return f"cross-encoder:{self._model.name}"

    @property
    def alone(self) -> bool:
        """Whether a hit's score is independent of the other hits: extracts weigh terms by how many hits have them."""
        return self._long != "extract"

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score: the model, its length, and how long passages are read."""
        if self._similarity is None:
            return self._reading
        return derived_fingerprint(self._reading, f"by {self._similarity.fingerprint}")

    @property
    def _reading(self) -> str:
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
        """The scores of each query's hits; under a deadline the first of every list are scored first."""
        known = self._calibration
        return [
            Judged(scores, known.probabilities(scores) if known is not None else None)
            for block in in_blocks(queries, hits, progress, deadline)
            for scores in self._scores(block, deadline)
        ]

    def _scores(self, block: QueryBlock, deadline: Deadline | None) -> list[Float64Array]:
        queries, hits, report = block
        windows = PairWindows(self._tokenizer, self._model.layout, self._room, self._long)
        # Equal texts are scored once, and so get equal scores.
        places: dict[Pair, list[tuple[int, int]]] = {}
        found: dict[Pair, Scored] = {}
        total, reached = sum(map(len, hits)), 0

        def rounds() -> Iterator[list[Piece]]:
            """Windows of the hits, made while there is time: tokenising long texts takes some of it, too."""
            nonlocal reached
            for texts in self._texts(queries, hits, deadline):
                before = len(places)
                for row, column, text in texts:
                    places.setdefault(Pair(queries[row], text, self._long), []).append((row, column))
                new = list(places)[before:]
                known = self._cache.get(new) if self._cache is not None else [None] * len(new)
                found.update((pair, one) for pair, one in zip(new, known, strict=True) if one is not None)
                missing = [pair for pair, one in zip(new, known, strict=True) if one is None]
                ranks = [min(column for _, column in places[pair]) for pair in missing]
                for numbers in tiers(ranks, deadline):
                    pieces: list[Piece] = []
                    for some in in_time([missing[number] for number in numbers], deadline):
                        pieces += windows.add(some)
                    yield pieces
                    reached += sum(len(places[missing[number]]) for number in numbers)
                    if deadline is not None:
                        report(reached)

        def run(numbers: list[int]) -> Float32Array:
            return self._logits(windows.ids(numbers))

        done = 0
        for batch, logits in self._batches.run_rounds(rounds(), run, deadline):
            windows.take(batch, logits)
            done += len(batch)
            if deadline is None:
                report(total * done // len(windows))
        fresh = windows.scored()
        found |= fresh
        if self._cache is not None:
            patience = max(deadline.remaining(), 0.0) if deadline is not None else None
            self._cache.put(list(fresh), list(fresh.values()), patience)
        self._count(found, places)
        scores = [np.full(len(given), np.nan) for given in hits]
        for pair, scored in found.items():
            for row, column in places[pair]:
                scores[row][column] = scored.score
        return scores

    def _texts(
        self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], deadline: Deadline | None
    ) -> Iterator[list[_Text]]:
        """The text to read of each hit, as far as there is time for extracting it."""
        if self._extractor is None:
            yield [
                _Text(row, column, content(hit.title, hit.text))
                for row, given in enumerate(hits)
                for column, hit in enumerate(given)
            ]
            return
        for extracts in self._extractor.rounds(queries, hits, self._room, deadline):
            every = [extract for _, _, extract in extracts]
            cut = sum(one.kept < one.tokens for one in every)
            with self._lock:
                self._report += LongReport.of([one.tokens for one in every], [one.kept for one in every], cut)
            yield [_Text(row, column, extract.text) for row, column, extract in extracts]

    def _count(self, found: dict[Pair, Scored], places: dict[Pair, list[tuple[int, int]]]) -> None:
        """Count what was read of the passages and queries that have a score."""
        every = [scored for pair, scored in found.items() for _ in places[pair]]
        tokens, windows = [one.tokens for one in every], [one.window for one in every]
        report = LongReport()
        if self._extractor is None:
            long = sum(one.window < one.tokens for one in every)
            report = LongReport.of(tokens, windows if self._long == "firstp" else tokens, long)
        distinct = list(dict.fromkeys(pair.query for pair in found))
        lengths = dict(zip(distinct, self._tokenizer(distinct).lengths.tolist(), strict=True))
        cut = {
            pair.query
            for pair, scored in found.items()
            if self._room is not None and lengths[pair.query] + scored.window > self._room
        }
        with self._lock:
            self._report += report
            self._cut_queries += len(cut)

    def _logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        logits = self._model.logits(pairs)
        if not np.isfinite(logits).all():
            raise ModelError(
                f"the model '{self._model.name}' gave NaN or infinite scores; they order nothing. Check its weights"
            )
        return logits


class _Text(NamedTuple):
    """The text to read of the hit at `column` of the query at `row`."""

    row: int
    column: int
    text: str


def resolve_cross_encoder(name: str) -> ResolvedModel:
    """The folder of a cross-encoder: the packaged one, a folder, or a name. Raises as `resolve_model`."""
    return packaged() if name == PACKAGED else resolve_model(name, ADVICE)


def load(options: RerankOptions) -> CrossEncoderReranker:
    """The re-ranker for `cross-encoder:MODEL`, where MODEL is, by default the packaged cross-encoder,

    - a folder or name of a sentence-transformers CrossEncoder with one label: ONNX Runtime in float32 where the
      CPU is to be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:` and such a folder or name: torch in any case;
    - `onnx:` or `onnx-int8:` and such a folder or name: ONNX Runtime in float32, or with 8-bit products.

    Hits get a probability where the model's folder holds a calibration. Extracts are made by the token vectors that the
    options' `index` has stored, of whatever model these are (see `store_tokens`), too.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    options.check("cross-encoder")
    prefix, name = split_prefix(options.model or PACKAGED)
    resolved = resolve_cross_encoder(name)
    model = _BACKENDS.load(prefix, resolved, options.device)
    # A back end's first run costs several times a later one, and would be taken for its pace.
    model.logits([model.layout.join(np.zeros(2, np.int32), np.zeros(2, np.int32))])
    long = check_long(options.long or "maxp")
    similarity = None
    if long == "extract" and options.index is not None:
        similarity = stored_similarity(options.index, options.device)
    return CrossEncoderReranker(
        model,
        long=long,
        calibration=Calibration.of(resolved.path),
        cache=options.cache,
        similarity=similarity,
    )
