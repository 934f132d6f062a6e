"""What every interface asks: search, context, documents and changes, each within what the caller's key may see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from leanseek.encode.onnx_encoder import OnnxEncoder
from leanseek.errors import FilterError, InputError, UsageError
from leanseek.filters import Filter
from leanseek.indexing import Index
from leanseek.indexing.creation import recorded_encoder, recorded_learned
from leanseek.indexing.settings import EncoderSettings, IndexSettings, LearnedSettings
from leanseek.records import answer_record
from leanseek.rerank import load_reranker
from leanseek.searcher import Context, SecondStage
from leanseek.searcher.second_stage import choose_second_stage
from leanseek.serve.batcher import SharedEncoder, SharedLearned, SharedModel, SharedReranker
from leanseek.serve.keys import Keys, read_keys
from leanseek.serve.refusals import RefusedError, no_index
from leanseek.serve.serve_settings import ServeSettings, check_indexes, cluster_of
from leanseek.serve.served_index import FolderSource, Models, Served, ServedIndex, Source
from leanseek.serve.telemetry import Telemetry
from leanseek.serve.workers import Ticket, Workers
from leanseek.types import Answer, Document, Hit, Nothing, Question
from leanseek.understanding import Suggestions

Result = TypeVar("Result")

SIDES: Final = ("sparse", "dense", "learned")
TELLING: Final = frozenset({"empty_query", "threshold"})
"""Why nothing was found, as far as it tells nothing of documents that a key does not see."""


class Service:
    """The indexes of a server with their models, threads and keys."""

    def __init__(self, indexes: Mapping[str, str | Path], settings: ServeSettings) -> None:
        """Nothing is opened yet. Raises UsageError, or InputError for the keys file."""
        check_indexes(indexes)
        self.settings = settings
        self.keys: Keys | None = read_keys(settings.keys) if settings.keys is not None else None
        self.workers = Workers(settings.max_waiting)
        self.telemetry = Telemetry()
        self.encoders: dict[str, SharedEncoder] = {}
        self.learned: dict[str, SharedLearned] = {}
        self.rerankers: dict[str, SharedReranker] = {}
        self.indexes = {
            name: self._served(name, cluster_of(given), Path(given)) for name, given in indexes.items()
        }
        self.opened = False
        self.ready = False
        self.stopping = False

    def open(self, models: bool = True) -> None:
        """Open the indexes and, with `models`, load their encoders; else each is loaded by the first who needs it.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, ModelError or MissingPackageError.
        """
        if self.opened:
            return
        for index in self.indexes.values():
            index.open()
        self.opened = True
        if models:
            shared: list[SharedModel[Any]] = [*self.encoders.values(), *self.learned.values()]
            for model in shared:
                model.open()
        self.ready = models

    def close(self) -> None:
        """End the threads, and the writers. What is under way is finished."""
        self.stopping = True
        self.workers.close()
        for index in self.indexes.values():
            index.close()

    async def keep_fresh(self) -> None:
        """Look for new generations from now on."""
        while True:
            await asyncio.sleep(self.settings.refresh)
            for index in self.indexes.values():
                broken = index.problem
                if await asyncio.to_thread(index.refresh):
                    self.telemetry.refreshed(index.name, "renewed")
                elif index.problem is not None and type(index.problem) is not type(broken):
                    self.telemetry.refreshed(index.name, "failed", index.problem)

    def visible(self, ticket: Ticket) -> list[ServedIndex]:
        """The indexes that the caller's key sees."""
        return [index for index in self.indexes.values() if ticket.key.sees(index.name)]

    def index(self, ticket: Ticket, name: str) -> ServedIndex:
        """The index of that name. Raises RefusedError (404) for none, or one that the key does not see."""
        if name not in self.indexes or not ticket.key.sees(name):
            raise no_index(name)
        ticket.index = name
        return self.indexes[name]

    def pin(self, ticket: Ticket, name: str) -> Served:
        """The generation of an index that answers the request. Raises RefusedError."""
        served = self.index(ticket, name).now()
        ticket.generation = served.generation
        return served

    async def search(
        self,
        ticket: Ticket,
        served: Served,
        query: str,
        k: int,
        offset: int = 0,
        *,
        rerank: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """The answer to a query as JSON: hits from `offset` on, at most k, and its seconds by stage.

        Raises RefusedError, UsageError or FilterError.
        """
        answer, seconds = await self.answer(ticket, served, query, offset + k, rerank=rerank, **options)
        record = self.record(ticket, served, replace(answer, hits=answer.hits[offset:]))
        return {**record, "took_ms": milliseconds(seconds)}

    def record(self, ticket: Ticket, served: Served, answer: Answer) -> dict[str, Any]:
        """An answer as JSON, with the index and the generation that gave it."""
        return {"index": ticket.index, "generation": served.generation, **answer_record(answer)}

    async def answer(
        self, ticket: Ticket, served: Served, query: str, k: int, *, rerank: bool = True, **options: Any
    ) -> tuple[Answer, dict[str, float]]:
        """The answer to a query within what the key sees, and its seconds by stage. Raises as `search`."""
        self.check_most(k, options)
        searcher = served.searcher if rerank else served.plain
        given, fields = narrowed(ticket, options)
        self.log_queries(ticket, query, *options.get("queries", ()))

        def work() -> Answer:
            check_visible(ticket, served, fields)
            return discreet(ticket, given, lambda: searcher.answer(query, k, **options))

        answer, seconds = await self.workers.run(ticket, work)
        restricted = ticket.key.condition is not None
        if restricted and answer.nothing is not None and answer.nothing.reason not in TELLING:
            answer = replace(answer, nothing=Nothing("no_match", "no document matches the query"))
        self.telemetry.answered(answer, seconds)
        for stage, taken in seconds.items():
            ticket.seconds[stage] = ticket.seconds.get(stage, 0.0) + taken
        return answer, seconds

    async def context(
        self,
        ticket: Ticket,
        served: Served,
        query: str,
        max_tokens: int,
        k: int,
        *,
        rerank: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """Passages packed for a prompt as JSON. Raises as `search`."""
        self.check_most(k, options)
        searcher = served.searcher if rerank else served.plain
        given, fields = narrowed(ticket, options)
        self.log_queries(ticket, query, *options.get("queries", ()))

        def work() -> Context:
            check_visible(ticket, served, fields)
            return discreet(ticket, given, lambda: searcher.context(query, max_tokens, k=k, **options))

        packed, seconds = await self.workers.run(ticket, work)
        if ticket.key.condition is not None and not packed.passages and not packed.left_out:
            packed = replace(packed, notes=("nothing was found",))  # why might tell of other documents
        return {
            "index": ticket.index,
            "generation": served.generation,
            **asdict(packed),
            "took_ms": milliseconds(seconds),
        }

    async def clarify(self, ticket: Ticket, served: Served, query: str, **options: Any) -> Question | None:
        """A question back about a query, of what the key sees. Raises as `search`."""
        self.check_most(1, options)
        given, fields = narrowed(ticket, options)
        self.log_queries(ticket, query)

        def work() -> Question | None:
            check_visible(ticket, served, fields)
            return discreet(ticket, given, lambda: served.plain.clarify(query, **options))

        found, _ = await self.workers.run(ticket, work)
        return found

    async def suggest(self, ticket: Ticket, served: Served, text: str, k: int) -> Suggestions | None:
        """Queries for what has been typed; None while those of the generation are collected.

        Raises RefusedError (404) where the server has none, InputError for a key that sees some documents only.
        """
        if not self.settings.suggest:
            raise RefusedError(
                404, "this server has no suggestions; start it with --suggest", "no_suggestions"
            )
        if ticket.key.condition is not None:
            raise InputError("suggestions are made of all documents, of which this key sees some")
        if not self.index(ticket, ticket.index or "").collected(served):
            return None
        found: Suggestions
        found, _ = await self.workers.run(ticket, lambda: served.plain.suggest(text, k))
        return found

    async def similar(
        self, ticket: Ticket, served: Served, id: str | None, k: int, filter: str | None, **options: Any
    ) -> list[Hit]:
        """The documents most alike to one that the key sees, or to a text.

        Raises RefusedError (404) for an id of none, UsageError or FilterError.
        """
        self.check_most(k, {})
        if served.searcher.settings.dense is None:
            raise UsageError("documents are compared by their vectors, and this index has none")
        if id is not None:
            await self.document(ticket, served, id)
        condition = ticket.key.narrowed(filter)
        found, _ = await self.workers.run(
            ticket,
            lambda: discreet(
                ticket, filter, lambda: served.plain.similar(id, k, filter=condition, **options)
            ),
        )
        return found

    async def documents(
        self, ticket: Ticket, served: Served, ids: Sequence[str], filter: str | None = None
    ) -> list[Document]:
        """Those of the documents that are there, meet the filter and may be seen by the key, whole."""
        condition = ticket.key.narrowed(filter)
        found, _ = await self.workers.run(
            ticket,
            lambda: discreet(ticket, filter, lambda: served.plain.documents(ids, filter=condition)),
        )
        return found

    async def document(self, ticket: Ticket, served: Served, id: str) -> Document:
        """A document that the key may see, whole. Raises RefusedError (404) for none."""
        for found in await self.documents(ticket, served, [id]):
            return found
        raise RefusedError(
            404, f"there is no document {id!r} in {ticket.index!r}", "document_not_found", "id"
        )

    async def describe(self, ticket: Ticket, name: str) -> dict[str, Any]:
        """What an index holds, as far as the key sees it, as JSON."""
        served = self.pin(ticket, name)
        condition = ticket.key.condition

        def work() -> dict[str, Any]:
            documents, passages = served.plain.count(filter=condition)
            settings = served.searcher.settings
            return {
                "name": name,
                "generation": served.generation,
                "documents": documents,
                "passages": passages,
                "mode": served.searcher.mode,
                "sides": [side for side in SIDES if getattr(settings, side) is not None],
                "encoder": settings.encoder.name if settings.encoder is not None else None,
                "reranker": served.searcher is not served.plain,
                "relevance": served.searcher.relevance is not None,
                "suggestions": self.settings.suggest and condition is None,
                "fields": served.plain.examples(filter=condition),
            }

        found, _ = await self.workers.run(ticket, work)
        return found

    async def change(self, ticket: Ticket, name: str, work: Callable[[Index, Served], Result]) -> Result:
        """What `work` does to the index opened for writing, as the newest generation has it.

        Raises RefusedError (403) where nothing is writable.
        """
        index = self.index(ticket, name)
        if not self.settings.writable:
            raise RefusedError(403, "this server is read-only; start it with --writable", "read_only")
        found: Result = await asyncio.to_thread(index.change, work)
        ticket.generation = index.now().generation
        return found

    def encoder(self, ticket: Ticket, name: str | None) -> SharedEncoder:
        """The encoder of that name, or of the index of that name; None: the first. Raises RefusedError (404)."""
        known: dict[str, SharedEncoder] = {}
        for index in self.visible(ticket):
            recorded = index.now().searcher.settings.encoder if index.problem is None else None
            if recorded is not None:
                known[index.name] = self._encoder(recorded)
        encoders = {encoder.name: encoder for encoder in known.values()}
        if name is None and encoders:
            return next(iter(encoders.values()))
        if name is not None and (found := encoders.get(name) or known.get(name)) is not None:
            return found
        raise no_model(name, list(encoders), "encodes")

    def reranker(self, name: str | None) -> SharedReranker:
        """The re-ranker of that name; None: the last. Raises RefusedError (404)."""
        for reranker in reversed(self.rerankers.values()):
            if name in (None, reranker.name, reranker.called):
                return reranker
        raise no_model(name, [one.name for one in self.rerankers.values()], "re-ranks")

    def check_most(self, k: int, options: Mapping[str, Any]) -> None:
        """Raise RefusedError for more hits, or more candidates of a side, than the server gives."""
        for name, wanted in (("k", k), ("depth", options.get("depth") or 0)):
            if wanted > self.settings.max_k:
                raise RefusedError(
                    400,
                    f"{name} is {wanted:,}; this server gives at most {self.settings.max_k:,} hits, an offset included",
                    "too_many",
                    name,
                )

    def log_queries(self, ticket: Ticket, *queries: str) -> None:
        """Remember queries for the log, where their text may be there."""
        if self.settings.log_queries:
            ticket.queries += queries

    def _served(self, name: str, url: str | None, folder: Path) -> ServedIndex:
        """The cluster at a URL, or the index in a folder, not opened yet."""
        settings = self.settings
        source: Source = FolderSource(folder, settings.device)
        index: Path | None = folder
        if url is not None:
            from leanseek.serve.served_cluster import ClusterSource

            source, index = ClusterSource(url, settings.address, settings.partial, settings.timeout), None
        return ServedIndex(
            name,
            source,
            self._models,
            lambda: self._second_stage(index),
            settings.relevance,
            suggests=settings.suggest,
        )

    def _models(self, settings: IndexSettings) -> Models:
        """The encoders of an index."""
        learned = settings.learned
        if learned is not None and learned.fingerprint not in self.learned:
            self.learned[learned.fingerprint] = SharedLearned(
                learned,
                lambda: load_shared(learned, self.settings),
                self.settings.together,
                self.telemetry.batched,
            )
        return Models(
            self._encoder(settings.encoder) if settings.encoder is not None else None,
            self.learned[learned.fingerprint] if learned is not None else None,
        )

    def _encoder(self, recorded: EncoderSettings) -> SharedEncoder:
        """The encoder of an index, shared with all that have the same."""
        if recorded.fingerprint not in self.encoders:
            self.encoders[recorded.fingerprint] = SharedEncoder(
                recorded,
                lambda: load_shared(recorded, self.settings),
                self.settings.together,
                self.telemetry.batched,
            )
        return self.encoders[recorded.fingerprint]

    def _second_stage(self, folder: Path | None) -> SecondStage | None:
        """The re-rankers for an index. Raises UsageError, ModelError or MissingPackageError."""
        settings = self.settings
        if not settings.rerank or settings.rerank == ("none",):
            return choose_second_stage(None, list(settings.rerank_depth) or None, settings.rerank_budget)
        shared = []
        for name in settings.rerank:
            loaded = load_reranker(name, settings.device, long=settings.rerank_long, index=folder)
            shared.append(self.rerankers.setdefault(loaded.fingerprint, SharedReranker(loaded, name)))
        return choose_second_stage(shared, list(settings.rerank_depth) or None, settings.rerank_budget)


def milliseconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """Times by stage as responses and the log give them."""
    return {stage: round(taken * 1000, 3) for stage, taken in seconds.items()}


def load_shared(recorded: EncoderSettings | LearnedSettings, settings: ServeSettings) -> Any:
    """The encoder of an index, such that searches go on while it works. Raises ModelError, MissingPackageError."""
    for given in settings.encoders:
        if given.fingerprint == recorded.fingerprint:
            return given
    if isinstance(recorded, LearnedSettings):
        return recorded_learned(recorded, settings.device, for_queries=True)
    encoder = recorded_encoder(recorded, settings.device, for_queries=True)
    if isinstance(encoder, OnnxEncoder):
        encoder.share_processors()
    return encoder


def discreet(ticket: Ticket, given: str | Filter | None, work: Callable[[], Result]) -> Result:
    """What the work gives; a filter's error shows a key with a condition no fields and values of other documents."""
    try:
        return work()
    except FilterError:
        if ticket.key.condition is None:
            raise
        raise FilterError(
            "The filter names a field that no document has, or compares one with a value that it never holds; GET "
            "/indexes/NAME lists the fields"
            if given is not None
            else "The documents that this key sees do not have the field of its condition"
        ) from None


def narrowed(ticket: Ticket, options: dict[str, Any]) -> tuple[str | Filter | None, list[str]]:
    """The filter given, and the fields named beside it; the options become those of a searcher.

    The filter is narrowed to what the key sees, and `rewrites` are what a searcher calls `queries`.
    """
    given = options.pop("filter", None)
    options["filter"] = ticket.key.narrowed(given)
    if options.get("understand") and ticket.key.condition is not None:
        raise InputError(
            "understand reads queries by the fields and values of all documents, of which this key sees some; leave it "
            "out"
        )
    if options.get("history") and ticket.key.condition is not None:
        raise InputError(
            "history may name any document of the index, of which this key sees some; leave it out"
        )
    if (rewrites := options.pop("rewrites", None)) is not None:
        options["queries"] = rewrites
    fields = list(options.get("facets") or ())
    if (recency := options.get("recency")) is not None:
        fields.append(recency.rpartition(":")[0].strip())
    return given, fields


def check_visible(ticket: Ticket, served: Served, fields: Sequence[str]) -> None:
    """Raise InputError for a field that a key with a condition does not see: no document it sees has a value there."""
    condition = ticket.key.condition
    if condition is None or not fields:
        return
    seen = {"id", "title", *served.plain.examples(filter=condition)}
    for field in fields:
        if field not in seen:
            raise InputError(
                f"the field {field!r} is in no document that this key sees; GET /indexes/NAME lists the fields"
            )


def no_model(name: str | None, known: Sequence[str], does: str) -> RefusedError:
    """The error for a model that is not here: `does` is what it would do."""
    what = f"no model {name!r} {does} here" if name is not None else f"no model {does} here"
    there = f"; there is {', '.join(map(repr, known))}" if known else ""
    if not known and does == "re-ranks":
        there = "; start the server with --rerank NAME"
    return RefusedError(404, what + there, "model_not_found", "model")


def check_batch(texts: Sequence[str], most: int, what: str) -> None:
    """Raise RefusedError for more texts than a request may have, UsageError for none."""
    if not texts:
        raise UsageError(f"{what} is empty; give at least one")
    if len(texts) > most:
        raise RefusedError(
            400, f"{what} has {len(texts):,} entries; a request may have {most:,} at most", "too_many", what
        )
