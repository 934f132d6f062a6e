"""Keys: who may ask for what, and which documents they can see."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from leanseek.errors import FilterError, InputError
from leanseek.filters import And, Filter, parse_filter
from leanseek.serve.refusals import RefusedError
from leanseek.serve.serve_settings import NAME
from leanseek.types import Document, Metadata

ROLES: Final = ("read", "write", "admin")
"""Each may do what those before it may: search; add and delete; compact, and read the metrics."""
FIELDS: Final = {"name", "sha256", "role", "indexes", "filter", "rate"}
_RATE = re.compile(r"([1-9][0-9]{0,6})/([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Rate:
    """At most `count` queries in `seconds`, in one burst or spread. Thread-safe."""

    def __init__(self, count: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(count)
        self._last = clock()

    def take(self, queries: int) -> float:
        """Take so many queries: 0, or where there are not as many left, the seconds until there are."""
        with self._lock:
            now = self._clock()
            self._left = min(self.count, self._left + (now - self._last) * self.count / self.seconds)
            self._last = now
            # A batch of more than the whole allowance passes when all of it is there, and leaves a debt.
            lacking = min(queries, self.count) - self._left
            if lacking > 0:
                return lacking * self.seconds / self.count
            self._left -= queries
            return 0.0


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks: `indexes` are those it may see (None: all), `condition` what every document it sees has to meet."""

    name: str
    digest: bytes = b""
    role: str = "read"
    indexes: frozenset[str] | None = None
    condition: Filter | None = None
    rate: Rate | None = field(default=None, compare=False)

    def may(self, role: str) -> bool:
        """Whether the key has a role, or one that includes it."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, index: str) -> bool:
        """Whether the index is one of the key's."""
        return self.indexes is None or index in self.indexes

    def narrowed(self, given: str | Filter | None) -> Filter | None:
        """The condition of a request and of the key, both of which hold. Raises FilterError.

        A request's expression is parsed by itself, so that no bracket in it can end the key's condition.
        """
        asked = parse_filter(given) if isinstance(given, str) else given
        if self.condition is None or asked is None:
            return asked or self.condition
        return And((self.condition, asked))

    def admits(self, document: Document) -> bool:
        """Whether the key may see a document."""
        fields: Metadata = {**document.metadata, "id": document.id, "title": document.title}
        return self.condition is None or self.condition.matches(fields)


ANYONE = Key("", role="admin")
"""Who asks a server without keys."""
NOBODY = Key("", indexes=frozenset())
"""Who asks a server with keys and gives none: it sees no index."""


class Keys:
    """The keys of a server."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, secret: str) -> Key:
        """The key with this secret. Raises RefusedError (401) for none.

        Every key is compared, each in constant time, so that the time taken tells nothing of the secrets.
        """
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            raise RefusedError(401, "this key is not known to the server", "unknown_key")
        return found[0]


def secret_in(headers: Mapping[str, str]) -> str | None:
    """The secret of a request's headers, `Authorization: Bearer SECRET` or `X-API-Key: SECRET`; None where absent."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return headers.get("x-api-key") or None


def read_keys(path: Path) -> Keys:
    """The keys in a file of JSON lines `{"name", "sha256", "role", "indexes", "filter", "rate"}`.

    `sha256` is the hex digest of the secret. `role` is read (default), write or admin; `indexes` a list of names, by
    default all; `filter` a condition that every document has to meet that the key sees; `rate` such as 20/s, 100/m.
    Blank lines, and those that begin with #, are passed over.

    Raises InputError with file and line for what is none of this.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the keys file '{path}' cannot be read: {error}") from error
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                keys.append(_key(line))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}:{number}: {error}") from error
            if any(key.name == keys[-1].name or key.digest == keys[-1].digest for key in keys[:-1]):
                raise InputError(f"{path}:{number}: an earlier line has the name or the secret of this key")
    if not keys:
        raise InputError(f"the keys file '{path}' holds no key, so that nobody could ask anything")
    return Keys(keys)


def _key(line: str) -> Key:
    """The key of a line. Raises ValueError that says what is wrong."""
    values: Any = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("a key is a JSON object")
    if unknown := values.keys() - FIELDS:
        raise ValueError(f"a key has no {min(unknown)!r}; it has {', '.join(sorted(FIELDS))}")
    name, digest, role = values.get("name"), values.get("sha256"), values.get("role", "read")
    if not isinstance(name, str) or not name:
        raise ValueError("the key needs a name, which the log shows")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise ValueError("sha256 is not the hex digest of a secret: printf %s SECRET | sha256sum")
    if role not in ROLES:
        raise ValueError(f"the role is {role!r}; it must be one of {', '.join(ROLES)}")
    indexes, condition, rate = values.get("indexes"), values.get("filter"), values.get("rate")
    if indexes is not None and not (
        isinstance(indexes, list)
        and indexes
        and all(isinstance(one, str) and NAME.fullmatch(one) for one in indexes)
    ):
        raise ValueError('indexes must be a list of names of indexes, such as ["papers"]')
    if condition is not None and not isinstance(condition, str):
        raise ValueError("filter must be a string with a condition")
    try:
        parsed = parse_filter(condition) if condition is not None else None
    except FilterError as error:
        raise ValueError(f"the filter of the key: {error}") from error
    match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if rate is not None and match is None:
        raise ValueError(f"the rate is {rate!r}; write one such as 20/s, 100/m or 1000/h")
    return Key(
        name,
        bytes.fromhex(digest),
        role,
        frozenset(indexes) if indexes is not None else None,
        parsed,
        Rate(int(match[1]), _SECONDS[match[2]]) if match is not None else None,
    )


def readable_by_others(path: Path) -> bool:
    """Whether everyone on the machine can read a file."""
    return bool(path.stat().st_mode & 0o004)
