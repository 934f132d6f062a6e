"""Fixtures that every part's tests share. A test that reaches for the network fails; loopback is allowed."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# For what the guard below does not see: processes that tests start, and libraries with sockets of their own.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# ranx compiles for a minute what takes it milliseconds to interpret on the tests' runs.
os.environ["NUMBA_DISABLE_JIT"] = "1"
# Where each of several processes has as many threads as there are processors, they mostly wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(
    os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir")
).resolve()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and long texts are not written out in a test's name, which all processes have to agree on.

    A file made for a test may hold the time of day.
    """
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 60) else None


class NetworkForbidden(Exception):  # noqa: N818 - no OSError, which code under test may take for a broken network
    """A test has reached for another machine."""


def is_local(host: object) -> bool:
    """Whether a host is this machine, by name or by number; None and "" are any of its own addresses."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def forbidden_hosts() -> Iterator[list[object]]:
    """The hosts that were reached for so far: connecting to one, sending to it, or resolving its name."""
    hosts: list[object] = []

    def check(host: object) -> None:
        if not is_local(host):
            hosts.append(host)
            raise NetworkForbidden(f"{host} is not this machine; tests use loopback addresses only")

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(arguments[-1][0])
            return call(self, *arguments)

        return method

    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        check(host)
        return resolve(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield hosts


@pytest.fixture(autouse=True)
def no_network(forbidden_hosts: list[object]) -> Iterator[None]:
    """Fail a test that reached for the network, even where the code under test went on without it."""
    yield
    reached, forbidden_hosts[:] = list(forbidden_hosts), []
    assert not reached, f"reached for {', '.join(map(str, reached))}"


@pytest.fixture(scope="session")
def collection() -> Callable[[str], Path]:
    """`collection("scifact")` is that collection's folder; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f"the collection {name} is not in {DATA} (set LEANSEEK_DATA to its folder)")
        return folder

    return find


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the whole run away from the user's own cache; what one test exports or encodes serves the next.

    The run's processes share it, as those of a user do. LEANSEEK_TEST_CACHE names a folder for several runs.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = Path(os.environ.get("LEANSEEK_TEST_CACHE", shared / "cache")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEANSEEK_CACHE", str(folder))
        yield folder
