"""A passages' file that was damaged after it was opened for the first time, met by a search."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support import make_documents

from leanseek import Index, Searcher
from leanseek.errors import IndexDamagedError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "index"
    Index.create(folder, encoder=None, chunk_words=3).add(make_documents(120, 3))
    return folder


@pytest.fixture
def file(path: Path):  # type: ignore[no-untyped-def]
    """The passages' file, whole again afterwards."""
    (found,) = path.glob("segments/*/passages.sqlite")
    whole = found.read_bytes()
    yield found
    found.write_bytes(whole)


ASK = (
    lambda searcher: searcher.search("statin wing", 20, explain=True),
    lambda searcher: searcher.search("statin", 5, filter='year > 2000 and tags = "a"'),
    lambda searcher: searcher.search("statin", 5, filter='title contains "r"'),
    lambda searcher: searcher.rank_batch(["statin", "wing"], 100),
    lambda searcher: searcher.rank_batch(["statin"], candidates=[["d1", "d5", "d9"]]),
    lambda searcher: searcher.context("statin wing"),
    lambda searcher: searcher.fields,
)


def test_any_damage_gives_answers_or_the_error_for_damage(path: Path, file: Path) -> None:
    whole = file.read_bytes()
    refused = 0
    for seed in range(40):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, 30])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if seed % 5 == 0:
            page = chance.randrange(0, len(damaged), 4096)
            damaged[page : page + 4096] = bytes(4096)
        file.write_bytes(damaged)
        for ask in ASK:
            try:
                with Searcher.open(path) as searcher:
                    ask(searcher)
            except IndexDamagedError as error:
                assert "passages.sqlite" in str(error) or file.parent.name in str(error)
                refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("written", "instead"),
    [(b'{"year": ', b'{"year"; '), (b'{"year": ', b'["year", '), (b"Trial report", b"Trial \xff\xfeport")],
    ids=["json", "no object", "utf-8"],
)
def test_texts_that_cannot_be_read_name_the_file(
    path: Path, file: Path, written: bytes, instead: bytes
) -> None:
    content = file.read_bytes()
    assert len(written) == len(instead) and written in content
    file.write_bytes(content.replace(written, instead))
    with Searcher.open(path) as searcher, pytest.raises(IndexDamagedError, match=r"passages\.sqlite"):
        searcher.search("statin wing report", 100)
