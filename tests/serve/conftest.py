"""An index that is served in the test's process, and a server on a socket of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.serve import ServeSettings, create_app
from leanseek.serve.deadlines import timed_protocol
from leanseek.serve.server import address_of, bind

DOCUMENTS = [
    *make_documents(200, seed=3),
    Document("folder/a b?#ü.txt", "A document whose id needs care in an address.", "Odd id", {"year": 2001}),
]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 201 documents with metadata, in short passages."""
    folder = tmp_path_factory.mktemp("made") / "papers.index"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=4)
    index.add(DOCUMENTS)
    index.close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of that index, which a test may change."""
    return Path(shutil.copytree(made, tmp_path / "papers.index"))


@pytest.fixture
def searcher(folder: Path) -> Iterator[Searcher]:
    """A searcher of the same index in the test's own process."""
    with Searcher.open(folder, encoder=HashEncoder()) as found:
        yield found


@pytest.fixture
def settings() -> Callable[..., ServeSettings]:
    """Settings that serve indexes made with the tests' encoder."""
    return lambda **others: ServeSettings(encoders=(HashEncoder(),), **others)


@pytest.fixture
def ask(folder: Path, settings: Callable[..., ServeSettings]) -> Iterator[TestClient]:
    """The application that serves the index as `papers`, writable."""
    with TestClient(create_app({"papers": folder}, settings(writable=True)), "http://localhost") as client:
        yield client


def stacks() -> str:
    """Where each thread of this process is: why a server does not end."""
    return "\n".join("".join(traceback.format_stack(frame)) for frame in sys._current_frames().values())


@contextmanager
def serving(app: Any, receive_timeout: float = 10.0, lifespan: Any = "on") -> Iterator[str]:
    """The address of a server that runs the application in a thread."""
    bound = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        app, http=timed_protocol(receive_timeout), lifespan=lifespan, log_config=None, access_log=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def told(sockets: Any = None) -> None:
        await startup(sockets=sockets)
        started.set()

    server.startup = told  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        assert started.wait(300), "the server does not start"
        yield address_of(bound)
    finally:
        server.should_exit = True
        thread.join(60)
        bound.close()
        assert not thread.is_alive(), f"the server does not end: {stacks()}"


@pytest.fixture
def address(folder: Path, settings: Callable[..., ServeSettings]) -> Iterator[str]:
    """The address of a server of the index."""
    with serving(create_app({"papers": folder}, settings(writable=True))) as found:
        yield found


def write_keys(path: Path, *keys: dict[str, Any]) -> Path:
    """A keys file; the secret of each key is its name."""
    lines = [json.dumps({"sha256": hashlib.sha256(key["name"].encode()).hexdigest(), **key}) for key in keys]
    path.write_text("\n".join(lines))
    return path


def bearer(name: str) -> dict[str, str]:
    """The header of the key of that name."""
    return {"authorization": f"Bearer {name}"}


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail where it does not in far more time than it should take."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never comes")
