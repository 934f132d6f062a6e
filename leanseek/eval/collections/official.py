"""BEIR's collections under their official names, with the MD5 sums of the archives.

The names and sums are those of the table "Available Datasets" in the README of github.com/beir-cellar/beir (also
in the metadata of the package beir 2.2.0); ir_datasets 0.6.3 states the same sums (etc/downloads.json).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from leanseek.errors import UsageError

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

UNPUBLISHED: Final = ("bioasq", "robust04", "signal1m", "trec-news")
"""BEIR names these too, but their licences forbid it to hand them out: only a mirror can have them."""

FORUMS: Final = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)
"""CQADupStack's parts, each a collection; BEIR's figure for CQADupStack is the mean over them."""


@dataclass(frozen=True, slots=True)
class Official:
    """A collection of BEIR: the archive it comes in, the archive's MD5 (None: not published), its folder there."""

    name: str
    archive: str
    md5: str | None
    folder: str


def official_names() -> list[str]:
    """The names that `official` takes, sorted."""
    plain = [name for name in (*ARCHIVES, *UNPUBLISHED) if name != "cqadupstack"]
    return sorted([*plain, *(f"cqadupstack/{forum}" for forum in FORUMS)])


def official(name: str) -> Official | None:
    """The collection of that name (`cqadupstack-android` is `cqadupstack/android`), or None.

    Raises UsageError for "cqadupstack" alone, which is twelve collections.
    """
    archive, _, forum = name.lower().replace("cqadupstack-", "cqadupstack/").partition("/")
    if archive == "cqadupstack":
        if forum not in FORUMS:
            listed = ", ".join(f"cqadupstack/{forum}" for forum in FORUMS)
            raise UsageError(f"'{name}' names no collection; CQADupStack is twelve of them: {listed}")
        return Official(f"{archive}-{forum}", archive, ARCHIVES[archive], forum)
    if forum or archive not in (*ARCHIVES, *UNPUBLISHED):
        return None
    return Official(archive, archive, ARCHIVES.get(archive), "")
