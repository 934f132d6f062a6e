"""The collections that the BEIR table is made of, and their names in MTEB.

Thakur, Reimers, Rücklé, Srivastava, Gurevych: BEIR (NeurIPS Datasets and Benchmarks 2021). MS MARCO, on which the
systems compared were trained, is not one of the eighteen.
"""

from __future__ import annotations

from typing import NamedTuple


class BeirSet(NamedTuple):
    """A collection by its BEIR name, the name in print, and MTEB's task (None: MTEB has none)."""

    name: str
    title: str
    mteb_task: str | None


CQADUPSTACK = "cqadupstack"

BEIR_SETS = (
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

FORUMS = (
    BeirSet("android", "Android", "CQADupstackAndroidRetrieval"),
    BeirSet("english", "English", "CQADupstackEnglishRetrieval"),
    BeirSet("gaming", "Gaming", "CQADupstackGamingRetrieval"),
    BeirSet("gis", "Gis", "CQADupstackGisRetrieval"),
    BeirSet("mathematica", "Mathematica", "CQADupstackMathematicaRetrieval"),
    BeirSet("physics", "Physics", "CQADupstackPhysicsRetrieval"),
    BeirSet("programmers", "Programmers", "CQADupstackProgrammersRetrieval"),
    BeirSet("stats", "Stats", "CQADupstackStatsRetrieval"),
    BeirSet("tex", "Tex", "CQADupstackTexRetrieval"),
    BeirSet("unix", "Unix", "CQADupstackUnixRetrieval"),
    BeirSet("webmasters", "Webmasters", "CQADupstackWebmastersRetrieval"),
    BeirSet("wordpress", "Wordpress", "CQADupstackWordpressRetrieval"),
)
"""CQADupStack's sub-forums, each a collection `cqadupstack/NAME`; the set's score is their mean."""


def beir_name(collection: str) -> str:
    """A collection's BEIR name, whether it was opened by that, as `beir:NAME`, or from ir_datasets."""
    name = collection.lower()
    for prefix in ("irds:", "beir:", "beir/", "beir-"):
        name = name.removeprefix(prefix)
    for suffix in ("/test", "-test", "/v2", "-v2"):  # ir_datasets' names of splits, and of BEIR's Touché
        name = name.removesuffix(suffix)
    return name.replace(f"{CQADUPSTACK}-", f"{CQADUPSTACK}/")


def mteb_task(collection: str) -> str | None:
    """MTEB's task of the same collection; None where there is none."""
    name = beir_name(collection)
    for found in (
        *BEIR_SETS,
        *(BeirSet(f"{CQADUPSTACK}/{one.name}", one.title, one.mteb_task) for one in FORUMS),
    ):
        if found.name == name:
            return found.mteb_task
    return None
