"""What a server is started with, apart from the indexes themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from leanseek.errors import UsageError

if TYPE_CHECKING:
    from leanseek.encode import Encoder, LearnedEncoder
    from leanseek.searcher.second_stage import DepthChoice

CLUSTER: Final = "cluster:"
"""What the place of a cluster begins with, before its folder or URL."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How indexes are served. Times are in seconds, sizes in bytes.

    - `keys`: a file of keys (see `read_keys`); None lets everyone in.
    - `refresh`: how often new generations are looked for.
    - `rerank`, `rerank_depth`, `rerank_budget`, `rerank_long`: re-rankers by name, as `Searcher.open` takes them.
    - `relevance`: the relevance model, as `Searcher.open` takes it. `device`: where models run. `encoders`: those of
      your own that indexes were made with, in place of ones that are loaded by name.
    - `max_body`: of a request; `max_k`: most hits of an answer, `offset` included; `max_batch`: most queries or texts
      of a request; `max_waiting`: most queries that wait or are answered at a time, others are refused.
    - `timeout`: of a query; `receive_timeout`: from a request's first byte to its last.
    - `together`: most queries that are encoded at a time.
    - `cors`: origins whose pages may ask. `hosts`: the names the server is known by, to which pages of no other
      origin may send; empty: any.
    - `address`: the Ray cluster whose hosts serve the clusters; `local` opens their shards in the server itself.
      `partial`: what to do where a shard does not answer (see `ClusterSearcher`).
    - `suggest`: whether queries are suggested, which are collected from each generation in the background.
    - `writable`: whether documents can be added and deleted. `log_queries`: whether the log has the queries' text.
    """

    keys: Path | None = None
    refresh: float = 2.0
    rerank: tuple[str, ...] = ()
    rerank_depth: tuple[DepthChoice, ...] = ()
    rerank_budget: float | None = None
    rerank_long: str | None = None
    relevance: str | None = "auto"
    device: str | None = None
    encoders: tuple[Encoder | LearnedEncoder, ...] = ()
    max_body: int = 2_000_000
    max_k: int = 1000
    max_batch: int = 256
    max_waiting: int = 512
    timeout: float = 30.0
    receive_timeout: float = 10.0
    together: int = 64
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    address: str = "local"
    partial: Literal["never", "allow"] = "never"
    suggest: bool = False
    writable: bool = False
    log_queries: bool = False

    def __post_init__(self) -> None:
        for name in ("refresh", "timeout", "receive_timeout"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be more than 0 seconds")
        for name in ("max_body", "max_k", "max_batch", "max_waiting", "together"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")


def check_indexes(indexes: Mapping[str, str | Path]) -> None:
    """Raise UsageError for no index, a name that no address can have, a cluster without a place, and two names of one
    place."""
    if not indexes:
        raise UsageError("no index is named; give at least one as NAME=FOLDER, such as papers=papers.index")
    places: dict[str | Path, str] = {}
    for name, given in indexes.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' is no name for an index: give letters, digits, '.', '_' and '-', at most 64, and begin "
                "with a letter or digit"
            )
        url = cluster_of(given)
        if url == "":
            raise UsageError(
                f"'{name}' names no cluster; write NAME={CLUSTER}URL, such as {CLUSTER}papers.cluster"
            )
        other = places.setdefault(Path(given).resolve() if url is None else url, name)
        if other != name:
            raise UsageError(f"'{other}' and '{name}' are the same folder, '{given}'; give it one name")


def cluster_of(given: str | Path) -> str | None:
    """The folder or URL of a cluster, with all of its path where it is a folder; None for an index."""
    if not isinstance(given, str) or not given.startswith(CLUSTER):
        return None
    url = given.removeprefix(CLUSTER)
    return url if "://" in url or not url else str(Path(url).absolute())


def parse_indexes(words: list[str]) -> dict[str, str]:
    """The places by name of words such as `papers=papers.index`. Raises UsageError."""
    indexes: dict[str, str] = {}
    for word in words:
        name, equals, place = word.partition("=")
        if not (name and equals and place):
            raise UsageError(
                f"'{word}' names no index; write NAME=FOLDER, such as papers=papers.index, or NAME={CLUSTER}URL"
            )
        if name in indexes:
            raise UsageError(f"the name '{name}' is given twice; each index needs a name of its own")
        indexes[name] = place
    check_indexes(indexes)
    return indexes


def parse_size(text: str) -> int:
    """The bytes of a size such as 2MB, 500kB or 1000. Raises UsageError for anything else."""
    units = {"": 1, "B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", text)
    if match is None or match[2].upper() not in units:
        raise UsageError(f"'{text}' is no size; write one such as 2MB or 500kB")
    return int(float(match[1]) * units[match[2].upper()])
