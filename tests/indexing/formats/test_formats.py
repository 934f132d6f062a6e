"""Indexes that were written in each format stay readable and writable.

A file here is an index as it was made in that format, of three documents in two segments, and one that was deleted. It
is never written anew: a new format gets a file of its own.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from leanseek import Document, Index, Searcher, verify
from leanseek.indexing.catalog import FORMAT

FILES = sorted(Path(__file__).parent.glob("format-*.tar.gz"))


@pytest.fixture(params=FILES, ids=[path.name.removesuffix(".tar.gz") for path in FILES])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / request.param.name.removesuffix(".tar.gz")


def test_each_format_has_a_file() -> None:
    assert [path.name for path in FILES] == [f"format-{number}.tar.gz" for number in range(2, FORMAT + 1)]


def test_it_is_searched(index: Path) -> None:
    verify(index)
    with Searcher.open(index) as searcher:
        assert searcher.ids() == ["aspirin", "statin", "wing"]
        modes = ["sparse", "dense", "hybrid"] + (["learned"] if searcher.settings.learned else [])
        for mode in modes:
            hits = searcher.search("loads on wings", k=3, mode=mode)
            assert hits[0].id == "wing" and hits[0].metadata == {"year": 1958}, mode
        [recent] = searcher.search("statins", k=1, filter="year > 2000")
        assert recent.id == "statin" and recent.title == "Statins"


def test_it_is_changed(index: Path) -> None:
    with Index.open(index) as opened:
        opened.add([Document("oven", "Bread is baked at 230 degrees.")])
        opened.delete(["aspirin"])
        opened.compact()
    verify(index)
    with Searcher.open(index) as searcher:
        assert searcher.ids() == ["oven", "statin", "wing"]
        assert searcher.search("how hot must an oven be for bread?", k=1)[0].id == "oven"
