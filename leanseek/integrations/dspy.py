"""leanseek in DSPy: the retriever of `dspy.configure(rm=…)` and a tool of agents. It is any callable there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from leanseek.errors import UsageError
from leanseek.integrations.connection import Connection, Source, metadata_of, opened, standing_of
from leanseek.searcher.request import SearchOptions
from leanseek.types import Answer, content


@dataclass(frozen=True, slots=True)
class Found:
    """A passage as DSPy has it: `long_text` is the title and text.

    `standing` has the `rank`, `score`, `probability`, the `start` and `end` of the text in its document, and with
    `explain` its `stages`.
    """

    long_text: str
    id: str
    metadata: Mapping[str, Any]
    standing: Mapping[str, Any]


class LeanseekRM:
    """The best passages of an index for a query.

    >>> dspy.configure(rm=LeanseekRM("papers.index", min_probability=0.2))
    >>> dspy.Retrieve(k=5)("do statins help?").passages
    """

    def __init__(
        self,
        index: Source | Connection,
        k: int = 3,
        *,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> None:
        """`index` is a path, a `Searcher`, a server's address, or a `Client`; the rest are the parameters of
        `Searcher.search`. Queries are questions: signs in them are text unless `literal=False`.

        Raises what `Searcher.open` raises, UsageError for a `k` below 1.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be a whole number, at least 1")
        self._connection = opened(index)
        self._asked: dict[str, Any] = {"k": k, "explain": explain, "literal": True, **options}

    def __call__(self, query: str, k: int | None = None, **options: Any) -> list[Found]:
        """The k best passages, best first; `options` are those of `Searcher.search`. Raises what it raises."""
        return found(self._connection.answer(query, **self._given(k, options)))

    async def acall(self, query: str, k: int | None = None, **options: Any) -> list[Found]:
        """The same for callers that must not block."""
        return found(await self._connection.aanswer(query, **self._given(k, options)))

    def _given(self, k: int | None, options: Mapping[str, Any]) -> dict[str, Any]:
        return self._asked | ({} if k is None else {"k": k}) | {**options}


def found(answer: Answer) -> list[Found]:
    """The hits of an answer for DSPy."""
    return [
        Found(content(hit.title, hit.text), hit.id, metadata_of(hit.title, hit.metadata), standing_of(hit))
        for hit in answer.hits
    ]
