"""Planners, who take a question apart: rules, a decoder on this machine, or a model behind an address."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from leanseek.errors import MissingPackageError, ServerError, UsageError
from leanseek.rag.research.graph import Graph
from leanseek.rag.research.rules import plan
from leanseek.types import Progress

if TYPE_CHECKING:
    from leanseek.decode import Decoder

Planner: TypeAlias = "Callable[[str, int], Graph | str]"
"""From a question and the number of nodes at most to a graph, or to its JSON as `read_graph` takes it."""

KEY_VARIABLE: Final = "LEANSEEK_PLANNER_KEY"
"""The environment variable with the key of the address, if it needs one."""
SECONDS: Final = 60.0
"""How long an address may take for its reply."""
LARGEST: Final = 4 << 20
"""Bytes of a reply at most."""
TOKENS: Final = 512
"""Tokens of a graph at most."""

INSTRUCTION: Final = """\
Split the question into the fewest simpler questions that can each be looked up alone, at most {max_nodes}. A question \
that needs the result of another lists its name in "parents" and has it in braces. Reply with JSON only.

Question: Who founded Fiat and when was it founded?
{{"nodes": [{{"name": "a", "question": "Who founded Fiat?", "parents": []}}, \
{{"name": "b", "question": "When was Fiat founded?", "parents": []}}]}}

Question: What is the capital of the country that won the 1998 World Cup?
{{"nodes": [{{"name": "a", "question": "Which country won the 1998 World Cup?", "parents": []}}, \
{{"name": "b", "question": "What is the capital of {{a}}?", "parents": ["a"]}}]}}

Question: {question}"""


def load_planner(name: str, *, device: str | None = None, progress: Progress | None = None) -> Planner:
    """The planner of that name.

    `rules` needs no model. An address such as `http://127.0.0.1:8000/v1#MODEL` is that of an OpenAI-compatible server;
    MODEL may be left out where it has only one, and its key is read from LEANSEEK_PLANNER_KEY. Anything else is a
    decoder as `load_decoder` takes it, on the `device`.

    Raises UsageError, MissingPackageError or ModelError.
    """
    if not name.strip():
        raise UsageError("the planner has no name; give rules, a model, or an address such as http://host/v1")
    if name == "rules":
        return plan
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return Endpoint(url, model or None, key=os.environ.get(KEY_VARIABLE) or None)
    from leanseek.decode import load_decoder

    return LocalPlanner(load_decoder(name, device, progress=progress))


@dataclass(frozen=True, slots=True)
class LocalPlanner:
    """A decoder that writes graphs, of at most `most` tokens."""

    decoder: Decoder
    most: int = TOKENS

    def __call__(self, question: str, max_nodes: int) -> str:
        """What the decoder writes; always the same for the same question."""
        prompt = self.decoder.chat(INSTRUCTION.format(question=question, max_nodes=max_nodes))
        return self.decoder.generate([prompt], most=self.most)[0].text


class Endpoint:
    """A chat model behind an OpenAI-compatible address.

    >>> Endpoint("http://127.0.0.1:8000/v1", "qwen3")("who founded Fiat and when?", 8)
    """

    def __init__(
        self, url: str, model: str | None = None, *, key: str | None = None, timeout: float = SECONDS
    ) -> None:
        """`url` ends before /chat/completions; `timeout` in seconds is for a whole reply.

        Raises MissingPackageError, or UsageError for what is no address.
        """
        if importlib.util.find_spec("httpx2") is None:
            raise MissingPackageError("A planner behind an address", "httpx2", "client")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"'{url}' is no address; give one such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise UsageError(
                f"the address of {parts.hostname} holds a password; put the key into {KEY_VARIABLE} instead"
            )
        self._url = url.rstrip("/").removesuffix("/chat/completions")
        self._model = model
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout

    def __call__(self, question: str, max_nodes: int) -> str:
        """What the model writes. Raises ServerError where it cannot be asked or answers otherwise."""
        if self._model is None:
            listed = self._ask("GET", "/models")
            names = [one.get("id") for one in _list(listed, "data") if isinstance(one, dict)]
            if len(names) != 1 or not isinstance(names[0], str):
                shown = ", ".join(map(str, names[:10])) or "none"
                raise UsageError(
                    f"'{self._url}' has {len(names)} models ({shown}); name one: {self._url}#MODEL"
                )
            self._model = names[0]
        message = INSTRUCTION.format(question=question, max_nodes=max_nodes)
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": message}],
            "temperature": 0,
            "max_tokens": 4 * TOKENS,
        }
        for choice in _list(self._ask("POST", "/chat/completions", body), "choices"):
            written = choice.get("message") if isinstance(choice, dict) else None
            text = written.get("content") if isinstance(written, dict) else None
            if isinstance(text, str):
                return text
        raise ServerError(f"'{self._url}' answers without a message, and not as the OpenAI API does")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a response, which may take `timeout` seconds in all."""
        import httpx2

        end = time.monotonic() + self._timeout
        content = bytearray()
        try:
            with (
                httpx2.Client(headers=self._headers, timeout=self._timeout) as http,
                http.stream(method, f"{self._url}{path}", json=body) as response,
            ):
                for block in response.iter_bytes():
                    content += block
                    if len(content) > LARGEST:
                        raise ServerError(f"'{self._url}' answers with more than {LARGEST >> 20} MB")
                    if time.monotonic() > end:
                        raise ServerError(f"'{self._url}' takes more than {self._timeout:g} s to answer")
                status = response.status_code
        except httpx2.TimeoutException as error:
            raise ServerError(f"'{self._url}' takes more than {self._timeout:g} s to answer") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerError(f"'{self._url}' cannot be asked: {error or type(error).__name__}") from error
        shown = " ".join(content[:300].decode("utf-8", "replace").split())
        if status in (401, 403):
            raise ServerError(f"'{self._url}' refuses the key; put the right one into {KEY_VARIABLE}", status)
        if status != 200:
            raise ServerError(f"'{self._url}' answers with status {status}: {shown}", status)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ServerError(f"'{self._url}' answers with no JSON: {shown}", status) from error


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
