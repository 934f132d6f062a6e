"""BEIR's collections: their official names, their archives, and the table they make up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from leanseek.errors import UsageError


class BeirSet(NamedTuple):
    """A collection by its BEIR name, the name in print, and MTEB's task (None: MTEB has none)."""

    name: str
    title: str
    mteb_task: str | None


CQADUPSTACK: Final = "cqadupstack"
BEIR_SETS: Final = (
    BeirSet("trec-covid", "TREC-COVID", "TRECCOVID"),
    BeirSet("bioasq", "BioASQ", None),
    BeirSet("nfcorpus", "NFCorpus", "NFCorpus"),
    BeirSet("nq", "NQ", "NQ"),
    BeirSet("hotpotqa", "HotpotQA", "HotpotQA"),
    BeirSet("fiqa", "FiQA-2018", "FiQA2018"),
    BeirSet("signal1m", "Signal-1M (RT)", None),
    BeirSet("trec-news", "TREC-NEWS", None),
    BeirSet("robust04", "Robust04", None),
    BeirSet("arguana", "ArguAna", "ArguAna"),
    BeirSet("webis-touche2020", "Touché 2020", "Touche2020"),
    BeirSet(CQADUPSTACK, "CQADupStack", "CQADupstackRetrieval"),
    BeirSet("quora", "Quora", "QuoraRetrieval"),
    BeirSet("dbpedia-entity", "DBPedia", "DBPedia"),
    BeirSet("scidocs", "SCIDOCS", "SCIDOCS"),
    BeirSet("fever", "FEVER", "FEVER"),
    BeirSet("climate-fever", "Climate-FEVER", "ClimateFEVER"),
    BeirSet("scifact", "SciFact", "SciFact"),
)

FORUM_NAMES: Final = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)
FORUMS: Final = tuple(
    BeirSet(name, name.capitalize(), f"CQADupstack{name.capitalize()}Retrieval") for name in FORUM_NAMES
)
"""CQADupStack's sub-forums, each a collection `cqadupstack/NAME`; the set's score is their mean."""

MTEB_TASKS: Final = {one.name: one.mteb_task for one in BEIR_SETS} | {
    f"{CQADUPSTACK}/{one.name}": one.mteb_task for one in FORUMS
}
"""BEIR name, of a set or a sub-forum → MTEB's task (None: MTEB has none)."""

OFFICIAL_URL: Final = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"

ARCHIVES: Final = {
    "arguana": "8ad3e3c2a5867cdced806d6503f29b99",
    "climate-fever": "8b66f0a9126c521bae2bde127b4dc99d",
    "cqadupstack": "4e41456d7df8ee7760a7f866133bda78",
    "dbpedia-entity": "c2a39eb420a3164af735795df012ac2c",
    "fever": "5a818580227bfb4b35bb6fa46d9b6c03",
    "fiqa": "17918ed23cd04fb15047f73e6c3bd9d9",
    "hotpotqa": "f412724f78b0d91183a0e86805e16114",
    "msmarco": "444067daf65d982533ea17ebd59501e4",
    "nfcorpus": "a89dba18a62ef92f7d323ec890a0d38d",
    "nq": "d4d3d2e48787a744b6f6e691ff534307",
    "quora": "18fb154900ba42a600f84b839c173167",
    "scidocs": "38121350fc3a4d2f48850f6aff52e4a9",
    "scifact": "5f7d1de60b170fc8027bb7898e2efca1",
    "trec-covid": "ce62140cb23feb9becf6270d0d1fe6d1",
    "webis-touche2020": "46f650ba5a527fc69e0a6521c5a23563",
}
"""Archive → MD5."""

UNPUBLISHED: Final = tuple(one.name for one in BEIR_SETS if one.name not in ARCHIVES)
"""BEIR names these too, but their licences do not allow it to distribute them: only a mirror can have them."""


@dataclass(frozen=True, slots=True)
class Official:
    """A collection of BEIR: the archive it comes in, the archive's MD5 (None: not published), its folder there."""

    name: str
    archive: str
    md5: str | None
    folder: str


def official_names() -> list[str]:
    """The names that `official` takes, sorted."""
    plain = [name for name in (*ARCHIVES, *UNPUBLISHED) if name != CQADUPSTACK]
    return sorted([*plain, *(f"{CQADUPSTACK}/{forum}" for forum in FORUM_NAMES)])


def official(name: str) -> Official | None:
    """The collection of that name (`cqadupstack-android` is `cqadupstack/android`), or None.

    Raises UsageError for "cqadupstack" alone, which is twelve collections.
    """
    archive, _, forum = _with_forum(name).partition("/")
    if archive == CQADUPSTACK:
        if forum not in FORUM_NAMES:
            listed = ", ".join(f"{CQADUPSTACK}/{forum}" for forum in FORUM_NAMES)
            raise UsageError(f"'{name}' names no collection; CQADupStack is twelve of them: {listed}")
        return Official(f"{archive}-{forum}", archive, ARCHIVES[archive], forum)
    if forum or archive not in (*ARCHIVES, *UNPUBLISHED):
        return None
    return Official(archive, archive, ARCHIVES.get(archive), "")


def beir_name(collection: str) -> str:
    """A collection's BEIR name, whether it was opened by that, as `beir:NAME`, or from ir_datasets."""
    name = collection.lower()
    for prefix in ("irds:", "beir:", "beir/", "beir-"):
        name = name.removeprefix(prefix)
    for suffix in ("/test", "-test", "/v2", "-v2"):  # ir_datasets' names of splits, and of BEIR's Touché
        name = name.removesuffix(suffix)
    return _with_forum(name)


def _with_forum(name: str) -> str:
    """`cqadupstack/android` for `CQADupStack-android`."""
    return name.lower().replace(f"{CQADUPSTACK}-", f"{CQADUPSTACK}/")
