"""What a server tells of its work: metrics for Prometheus, and one line of JSON a request."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from leanseek.types import Answer

if TYPE_CHECKING:
    from leanseek.serve.service import Service
    from leanseek.serve.workers import Ticket

LOG: Final = logging.getLogger("leanseek.serve")
SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
OTHER: Final = "other"

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Telemetry:
    """Counts what one server does; its numbers are its own, not the process's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._made(Counter, "requests", "Requests answered.", "route", "index", "status")
        self._seconds = self._made(Histogram, "request_seconds", "Of a request.", "route", buckets=SECONDS)
        self._stages = self._made(Histogram, "stage_seconds", "Of a query's stage.", "stage", buckets=SECONDS)
        self._batches = self._made(Histogram, "batch_queries", "Texts encoded together.", buckets=SIZES)
        self._waiting = self._made(Gauge, "waiting", "Queries that wait or are answered.")
        self._generations = self._made(Gauge, "index_generation", "That is served.", "index")
        self._passages = self._made(Gauge, "index_passages", "Deleted ones included.", "index")
        self._readable = self._made(Gauge, "index_readable", "1 where it can be read.", "index")
        self._empty = self._made(Counter, "empty_answers", "Answers without a hit.")
        self._truncated = self._made(Counter, "truncated_queries", "Longer than the encoder reads.")
        self._refreshes = self._made(Counter, "refresh", "New generations, and failures.", "result")
        self._refused = self._made(Counter, "refused", "Requests refused, by code.", "reason")

    def _made(self, kind: type[Metric], name: str, about: str, *labels: str, **options: Any) -> Metric:
        return kind(f"leanseek_{name}", about, labels, registry=self._registry, **options)

    def answered(self, answer: Answer, seconds: Mapping[str, float]) -> None:
        """Count the answer to a query."""
        for stage, taken in seconds.items():
            self._stages.labels(stage).observe(taken)
        if not answer.hits:
            self._empty.inc()
        if answer.tokens_lost:
            self._truncated.inc()

    def batched(self, size: int) -> None:
        """Count a batch of the encoder."""
        self._batches.observe(size)

    def refreshed(self, index: str, result: str, problem: Exception | None = None) -> None:
        """Count a new generation, or say why there is none."""
        self._refreshes.labels(result).inc()
        if problem is not None:
            LOG.error(encoded({"index": index, "error": str(problem)}))

    def refused(self, code: str) -> None:
        """Count a request that was answered with an error."""
        self._refused.labels(code).inc()

    def finished(
        self,
        ticket: Ticket,
        method: str,
        route: str | None,
        status: int,
        started: float,
        code: str | None,
    ) -> None:
        """Count a request, and log it in one line; `started` is by `time.perf_counter`."""
        seconds = time.perf_counter() - started
        self._requests.labels(route or OTHER, ticket.index or "", str(status)).inc()
        self._seconds.labels(route or OTHER).observe(seconds)
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z",
            "id": ticket.id,
            "key": ticket.key.name or None,
            "method": method,
            "route": route or OTHER,
            "index": ticket.index,
            "generation": ticket.generation,
            "status": status,
            "ms": round(seconds * 1000, 3),
        }
        if ticket.seconds:
            line["stages_ms"] = {stage: round(taken * 1000, 3) for stage, taken in ticket.seconds.items()}
        if code is not None:
            line["error"] = code
        if ticket.queries:
            line["queries"] = ticket.queries
        LOG.info(encoded(line))

    def text(self, service: Service) -> bytes:
        """All numbers in Prometheus' text format."""
        self._waiting.set(service.workers.admitted)
        for index in service.indexes.values():
            readable = index.problem is None
            self._readable.labels(index.name).set(readable)
            if readable:
                served = index.now()
                self._generations.labels(index.name).set(served.generation)
                self._passages.labels(index.name).set(served.plain.size)
        return generate_latest(self._registry)


def encoded(line: dict[str, Any]) -> str:
    """A line of the log: JSON in ASCII, so that no text in it can end the line or move a cursor."""
    return json.dumps(line)


def log_to_stderr() -> None:
    """Write the log's lines as they are to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
