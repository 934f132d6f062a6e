"""A searcher over HTTP: the methods of `Searcher`, answered by a server that `leanseek serve` has started."""

from __future__ import annotations

import asyncio
import importlib.util
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, Unpack
from urllib.parse import quote

from leanseek.errors import (
    DuplicateIdError,
    FilterError,
    IndexDamagedError,
    IndexLockedError,
    IndexNotFoundError,
    InputError,
    LeanseekError,
    MissingPackageError,
    ModelError,
    ServerError,
    StorageError,
    UsageError,
)
from leanseek.filters import Filter
from leanseek.records import answer_of, hit_of, question_of
from leanseek.searcher.context import Cited, Context, Span
from leanseek.searcher.facets import checked_fields
from leanseek.searcher.request import SearchOptions
from leanseek.searcher.wordings import wordings_of
from leanseek.types import Answer, Document, Hit, Question, Ranked
from leanseek.understanding.suggestion import Suggestion, Suggestions

if TYPE_CHECKING:
    import httpx2

    from leanseek.indexing.intake import OnDuplicate
    from leanseek.searcher.context import GuardChoice

Result = TypeVar("Result")

ERRORS: Final[Mapping[str, type[LeanseekError]]] = {
    "usage": UsageError,
    "field": UsageError,
    "too_many": UsageError,
    "input": InputError,
    "index": IndexDamagedError,
    "index_not_found": IndexNotFoundError,
    "model": ModelError,
    "locked": IndexLockedError,
    "storage": StorageError,
}
"""The error that a searcher would raise, by the code of the server's; others are `ServerError`."""
BATCH: Final = 64
"""Queries, or ids, of one request."""


class Ask(NamedTuple):
    """A request: the path below the index, the body, or parameters. A `patient` one waits however long it takes."""

    method: str
    path: str
    body: Any = None
    parameters: Sequence[tuple[str, str]] = ()
    patient: bool = False


class Added(NamedTuple):
    """What an add did: how many documents, how many of them in place of others, and the generation that has them."""

    documents: int
    replaced: int
    generation: int


class Compacted(NamedTuple):
    """What a compact did: how many deleted passages it dropped, the segments there are, and their generation."""

    removed: int
    segments: int
    generation: int


Steps: TypeAlias = Generator[Ask, Any, Result]
"""Requests one after another, each of which is answered by the JSON of its response, and what comes of them."""


class Client:
    """A `Searcher` on another machine: the same methods with the same results.

    Safe to share between threads. Each method has an asynchronous twin with an `a` before its name.

    >>> client = Client("http://127.0.0.1:8080/indexes/papers", key="…")
    >>> [hit.id for hit in client.search("do statins help?", k=3)]
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 60.0) -> None:
        """`url` is that of an index, or of a server that serves a single one; `timeout` in seconds.

        Nothing is asked before the first method is called. Raises MissingPackageError or UsageError.
        """
        if importlib.util.find_spec("httpx2") is None:
            raise MissingPackageError("leanseek.client", "httpx2", "client")
        import httpx2

        if not url.startswith(("http://", "https://")):
            raise UsageError(f"'{url}' is no address; give one such as http://127.0.0.1:8080/indexes/papers")
        self.url = url.rstrip("/")
        self._index: str | None = self.url if "/indexes/" in self.url else None
        self._generation: int | None = None
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        self._options: dict[str, Any] = {"headers": headers, "timeout": timeout}
        self._http = httpx2.Client(**self._options)
        # Connections belong to the event loop that has opened them.
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def generation(self) -> int:
        """The generation of the index that is being searched."""
        return int(self.info()["generation"])

    @property
    def mode(self) -> str:
        """How queries are answered that do not name a mode."""
        return str(self.info()["mode"])

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a filter can name: id, title and those of the metadata."""
        return ("id", "title", *(name for name in self.info()["fields"] if name not in ("id", "title")))

    def info(self) -> dict[str, Any]:
        """What the index holds, as the server describes it."""
        return self._run(self._info())

    def search(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """The k best documents for a query, see `Searcher.search`."""
        return self.answer(query, k, queries=queries, explain=explain, **options).hits

    def answer(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        facets: Sequence[str] = (),
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> Answer:
        """The answer to a query, see `Searcher.answer`."""
        [found] = self._run(self._answer(query, k, queries, facets, explain, options))
        return found

    def search_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """`search` for many queries: one list of hits for each."""
        return [answer.hits for answer in self._run(self._answers(queries, k, explain, options))]

    def rank_batch(
        self, queries: Iterable[str], k: int = 1000, **options: Unpack[SearchOptions]
    ) -> list[list[Ranked]]:
        """The documents that `search_batch` finds, with their scores; queries are text, without operators."""
        options.setdefault("literal", True)
        found = self._run(self._answers(queries, k, False, options))
        return [[Ranked(hit.id, hit.score) for hit in answer.hits] for answer in found]

    def context(
        self,
        query: str | None = None,
        max_tokens: int = 1500,
        *,
        queries: Sequence[str] | None = None,
        k: int = 20,
        compress: float | None = None,
        guard: GuardChoice = "off",
        **options: Unpack[SearchOptions],
    ) -> Context:
        """The best passages packed for a prompt, see `Searcher.context`."""
        return self._run(self._context(query, max_tokens, queries, k, compress, guard, options))

    def clarify(self, query: str, **options: Unpack[SearchOptions]) -> Question | None:
        """A question back about a query, see `Searcher.clarify`."""
        return self._run(self._clarify(query, options))

    def suggest(self, text: str, k: int = 8) -> Suggestions:
        """Queries for what has been typed, where the server was started with `--suggest`, see `Searcher.suggest`.

        There are none while the server collects those of a new generation.
        """
        return self._run(self._suggest(text, k))

    def similar(
        self,
        id: str | None = None,
        k: int = 10,
        *,
        text: str | None = None,
        title: str = "",
        filter: str | Filter | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """The k documents most alike to a document of the index, or to a text, see `Searcher.similar`."""
        return self._run(self._similar(id, k, text, title, filter, explain))

    def documents(self, ids: Iterable[str], *, filter: str | Filter | None = None) -> list[Document]:
        """Those of the documents that the index has, whole and in the order given."""
        return self._run(self._documents(ids, filter))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the document ids that the index does not have, each once, in the order given."""
        wanted = list(dict.fromkeys(ids))
        here = {document.id for document in self.documents(wanted)}
        return [identifier for identifier in wanted if identifier not in here]

    def add(self, documents: Iterable[Document], *, on_duplicate: OnDuplicate = "reject") -> Added:
        """Add documents in one commit, where the server was started with `--writable`, see `Index.add`."""
        return self._run(self._add(documents, on_duplicate))

    def delete(
        self, ids: Iterable[str] = (), *, filter: str | Filter | None = None, ignore_missing: bool = False
    ) -> int:
        """Delete documents by id, by a filter, or both; returns how many were deleted, see `Index.delete`."""
        return self._run(self._delete(ids, filter, ignore_missing))

    def compact(self, *, relearn: bool = False) -> Compacted:
        """Merge the segments and drop what was deleted, see `Index.compact`."""
        return self._run(self._compact(relearn))

    async def asearch(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """`search` for callers that must not block."""
        return (await self.aanswer(query, k, queries=queries, explain=explain, **options)).hits

    async def aanswer(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        facets: Sequence[str] = (),
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> Answer:
        """`answer` for callers that must not block."""
        [found] = await self._arun(self._answer(query, k, queries, facets, explain, options))
        return found

    async def asearch_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """`search_batch` for callers that must not block."""
        return [answer.hits for answer in await self._arun(self._answers(queries, k, explain, options))]

    async def acontext(
        self,
        query: str | None = None,
        max_tokens: int = 1500,
        *,
        queries: Sequence[str] | None = None,
        k: int = 20,
        compress: float | None = None,
        guard: GuardChoice = "off",
        **options: Unpack[SearchOptions],
    ) -> Context:
        """`context` for callers that must not block."""
        return await self._arun(self._context(query, max_tokens, queries, k, compress, guard, options))

    async def aclarify(self, query: str, **options: Unpack[SearchOptions]) -> Question | None:
        """`clarify` for callers that must not block."""
        return await self._arun(self._clarify(query, options))

    async def asuggest(self, text: str, k: int = 8) -> Suggestions:
        """`suggest` for callers that must not block."""
        return await self._arun(self._suggest(text, k))

    async def asimilar(
        self,
        id: str | None = None,
        k: int = 10,
        *,
        text: str | None = None,
        title: str = "",
        filter: str | Filter | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """`similar` for callers that must not block."""
        return await self._arun(self._similar(id, k, text, title, filter, explain))

    async def adocuments(self, ids: Iterable[str], *, filter: str | Filter | None = None) -> list[Document]:
        """`documents` for callers that must not block."""
        return await self._arun(self._documents(ids, filter))

    async def aadd(self, documents: Iterable[Document], *, on_duplicate: OnDuplicate = "reject") -> Added:
        """`add` for callers that must not block."""
        return await self._arun(self._add(documents, on_duplicate))

    async def adelete(
        self, ids: Iterable[str] = (), *, filter: str | Filter | None = None, ignore_missing: bool = False
    ) -> int:
        """`delete` for callers that must not block."""
        return await self._arun(self._delete(ids, filter, ignore_missing))

    async def acompact(self, *, relearn: bool = False) -> Compacted:
        """`compact` for callers that must not block."""
        return await self._arun(self._compact(relearn))

    def refresh(self) -> bool:
        """Whether the server has moved on to another generation since the last answer; it does so by itself."""
        former = self._generation
        return self.generation != former

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections, those of this event loop among them."""
        self.close()
        client = self._loops.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _info(self) -> Steps[dict[str, Any]]:
        found: dict[str, Any] = yield Ask("GET", "")
        self._generation = found["generation"]
        return found

    def _answer(
        self,
        query: str | None,
        k: int,
        queries: Sequence[str] | None,
        facets: Sequence[str],
        explain: bool,
        options: SearchOptions,
    ) -> Steps[list[Answer]]:
        named = {"facets": checked_fields(facets)} if facets else {}
        body = {**worded(query, queries), "k": k, "explain": explain, **named, **given(options)}
        found = yield Ask("POST", "/search", body)
        self._generation = found["generation"]
        return [answer_of(found)]

    def _answers(
        self, queries: Iterable[str], k: int, explain: bool, options: SearchOptions
    ) -> Steps[list[Answer]]:
        if isinstance(queries, str):
            raise UsageError("queries must be a list of strings; `search` takes a single one")
        wanted = list(queries)
        asked = {"k": k, "explain": explain, **given(options)}
        answers: list[Answer] = []
        for start in range(0, len(wanted), BATCH):
            block = wanted[start : start + BATCH]
            body = {"query": block[0]} if len(block) == 1 else {"queries": block}
            found = yield Ask("POST", "/search", {**body, **asked})
            records = found.get("results", [found])
            self._generation = records[-1]["generation"]
            answers += map(answer_of, records)
        return answers

    def _context(
        self,
        query: str | None,
        max_tokens: int,
        queries: Sequence[str] | None,
        k: int,
        compress: float | None,
        guard: GuardChoice,
        options: SearchOptions,
    ) -> Steps[Context]:
        body = {
            **worded(query, queries),
            "max_tokens": max_tokens,
            "k": k,
            "guard": guard,
            **given(options),
        }
        if compress is not None:
            body["compress"] = compress
        found = yield Ask("POST", "/context", body)
        self._generation = found["generation"]
        cited = tuple(
            Cited(**{**passage, "spans": tuple(Span(**span) for span in passage["spans"])})
            for passage in found["passages"]
        )
        return Context(found["text"], cited, found["tokens"], found["left_out"], tuple(found["notes"]))

    def _clarify(self, query: str, options: SearchOptions) -> Steps[Question | None]:
        found = yield Ask("POST", "/clarify", {"query": query, **given(options)})
        self._generation = found["generation"]
        return question_of(found["question"]) if found["question"] is not None else None

    def _suggest(self, text: str, k: int) -> Steps[Suggestions]:
        found = yield Ask("GET", "/suggest", parameters=[("text", text), ("k", str(k))])
        self._generation = found["generation"]
        return Suggestions([Suggestion(**one) for one in found["suggestions"]], found["corrected"])

    def _similar(
        self,
        id: str | None,
        k: int,
        text: str | None,
        title: str,
        filter: str | Filter | None,
        explain: bool,
    ) -> Steps[list[Hit]]:
        condition = None if filter is None else str(filter)
        body = {"id": id, "text": text, "title": title, "k": k, "filter": condition, "explain": explain}
        found = yield Ask("POST", "/similar", body)
        self._generation = found["generation"]
        return list(map(hit_of, found["hits"]))

    def _documents(self, ids: Iterable[str], filter: str | Filter | None) -> Steps[list[Document]]:
        if isinstance(ids, str):
            raise UsageError(f"ids is the string {ids!r}; give a list of ids, such as [{ids!r}]")
        wanted = list(dict.fromkeys(ids))
        condition = [("filter", str(filter))] if filter is not None else []
        documents: list[Document] = []
        for start in range(0, len(wanted), BATCH):
            block = [("id", one) for one in wanted[start : start + BATCH]]
            found = yield Ask("GET", "/documents", parameters=[*block, *condition])
            self._generation = found["generation"]
            documents += [Document(**one) for one in found["documents"]]
        return documents

    def _add(self, documents: Iterable[Document], on_duplicate: OnDuplicate) -> Steps[Added]:
        body = [
            {"_id": one.id, "title": one.title, "text": one.text, "metadata": dict(one.metadata)}
            for one in documents
        ]
        if not body:
            return Added(0, 0, self._generation or (yield from self._info())["generation"])
        found = yield Ask("POST", "/documents", body, [("on_duplicate", on_duplicate)], patient=True)
        return Added(found["documents"], found["replaced"], found["generation"])

    def _delete(self, ids: Iterable[str], filter: str | Filter | None, ignore_missing: bool) -> Steps[int]:
        if isinstance(ids, str):
            raise UsageError(f"ids is the string {ids!r}; give a list of ids, such as [{ids!r}]")
        wanted = list(ids)
        if not wanted and filter is None:
            return 0
        body = {"ids": wanted, "ignore_missing": ignore_missing}
        if filter is not None:
            body["filter"] = str(filter)
        found = yield Ask("DELETE", "/documents", body, patient=True)
        return int(found["deleted"])

    def _compact(self, relearn: bool) -> Steps[Compacted]:
        found = yield Ask("POST", "/compact", {"relearn": relearn}, patient=True)
        return Compacted(found["removed"], found["segments"], found["generation"])

    def _only(self) -> Steps[str]:
        """The address of the only index of the server."""
        listed = yield Ask("GET", f"{self.url}/indexes")
        names = [index["name"] for index in listed["indexes"]]
        if len(names) != 1:
            named = ", ".join(names) or "none"
            raise UsageError(
                f"'{self.url}' serves {len(names)} indexes ({named}); name one: {self.url}/indexes/NAME"
            )
        return f"{self.url}/indexes/{quote(names[0])}"

    def _run(self, steps: Steps[Result]) -> Result:
        """What comes of the steps, each request sent in turn. Raises LeanseekError."""
        import httpx2

        def done(steps: Steps[Any], index: str) -> Any:
            answer = None
            while True:
                try:
                    ask = steps.send(answer)
                except StopIteration as end:
                    return end.value
                try:
                    response = self._http.request(**request_of(index, ask))
                except httpx2.HTTPError as error:
                    raise unreachable(self.url, error) from error
                answer = json_of(response, self.url)

        self._index = self._index or done(self._only(), "")
        result: Result = done(steps, self._index)
        return result

    async def _arun(self, steps: Steps[Result]) -> Result:
        """What comes of the steps, each request sent in turn. Raises LeanseekError."""
        import httpx2

        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = httpx2.AsyncClient(**self._options)
        http = self._loops[loop]

        async def done(steps: Steps[Any], index: str) -> Any:
            answer = None
            while True:
                try:
                    ask = steps.send(answer)
                except StopIteration as end:
                    return end.value
                try:
                    response = await http.request(**request_of(index, ask))
                except httpx2.HTTPError as error:
                    raise unreachable(self.url, error) from error
                answer = json_of(response, self.url)

        self._index = self._index or await done(self._only(), "")
        result: Result = await done(steps, self._index)
        return result


def unreachable(url: str, error: Exception) -> ServerError:
    """The error for a server that does not answer."""
    return ServerError(f"'{url}' cannot be asked: {error or type(error).__name__}")


def worded(query: str | None, queries: Sequence[str] | None) -> dict[str, Any]:
    """The wordings of a question as a request has them. Raises UsageError as a searcher does."""
    first, *others = wordings_of(query, queries)
    return {"query": first, **({"rewrites": others} if others else {})}


def given(options: SearchOptions) -> dict[str, Any]:
    """The options that are given, as JSON has them. Raises TypeError for an unknown one."""
    unknown = options.keys() - SearchOptions.__annotations__.keys()
    if unknown:
        allowed = ", ".join(SearchOptions.__annotations__)
        raise TypeError(f"unknown search option {min(unknown)!r}; a search takes {allowed}")
    return {
        name: str(value)
        if isinstance(value, Filter)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in options.items()
        if value is not None
    }


def request_of(index: str, ask: Ask) -> dict[str, Any]:
    """The request that an HTTP client sends for one of the steps."""
    url = ask.path if ask.path.startswith("http") else f"{index}{ask.path}"
    found: dict[str, Any] = {"method": ask.method, "url": url}
    if ask.body is not None:
        found["json"] = ask.body
    if ask.parameters:
        found["params"] = list(ask.parameters)
    if ask.patient:
        found["timeout"] = None
    return found


def json_of(response: httpx2.Response, url: str) -> Any:
    """The JSON of a response. Raises the error that the server tells of."""
    try:
        found = response.json()
        if response.is_success:
            return found
        error: Mapping[str, Any] = found["error"]
        message, code, param = str(error["message"]), str(error["code"]), error["param"]
    except (ValueError, KeyError, TypeError) as problem:
        raise ServerError(
            f"'{url}' answers with status {response.status_code}, and not as leanseek does",
            response.status_code,
        ) from problem
    kind: Callable[[str], LeanseekError] | None = ERRORS.get(code)
    if code == "input":
        kind = {"filter": FilterError, "_id": DuplicateIdError}.get(param, InputError)
    if kind is not None:
        raise kind(message)
    retry = response.headers.get("retry-after")
    raise ServerError(
        message, response.status_code, code, float(retry) if retry and retry.isdecimal() else None
    )
