"""`verify` must find any byte that differs from what was committed."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from support import HashEncoder, make_documents

from leanseek.errors import IndexDamagedError, IndexFormatError
from leanseek.indexing.catalog import CATALOG, SEAL, Change, commit, read_state
from leanseek.indexing.index import Index
from leanseek.indexing.verification import verify
from leanseek.searcher.searcher import Searcher


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(40, 1), cache=False)
    index.add(make_documents(10, 2, prefix="m"), cache=False)
    index.delete(["d1", "m2"])
    assert verify(tmp_path / "index").sound
    return tmp_path / "index"


def committed_files(path: Path) -> list[Path]:
    return [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "LOCK"]


def test_any_flipped_bit_is_found(path: Path) -> None:
    chance = random.Random(3)
    files = committed_files(path)
    assert {file.name for file in files} >= {CATALOG, SEAL, "passages.sqlite", "rows.npy", "flat.faiss"}
    for file in files:
        whole = file.read_bytes()
        places = {0, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(4))}
        if file.name in (CATALOG, SEAL):
            places |= set(range(0, min(len(whole), 100))) | {chance.randrange(len(whole)) for _ in range(30)}
        for place in sorted(places):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << chance.randrange(8)
            file.write_bytes(damaged)
            try:
                sound = verify(path).sound
            except Exception as error:  # a newer format number, or no catalog at all, is told as such
                assert "format" in str(error), (file, place)
                sound = False
            assert not sound, f"bit flipped at byte {place} of {file.name}"
        file.write_bytes(whole)
    assert verify(path).sound


def test_missing_shortened_and_strange_files_are_told(path: Path) -> None:
    (path / "notes.txt").write_text("mine")
    report = verify(path)
    assert report.sound and report.strangers == ("notes.txt",)
    first, second = (file for file in committed_files(path) if file.name == "rows.npy")
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    problems = verify(path).problems
    assert len(problems) == 2
    assert any("missing" in problem for problem in problems)
    assert any("bytes instead of" in problem for problem in problems)


def test_a_crash_between_commit_and_seal_is_no_damage(path: Path) -> None:
    seal = (path / SEAL).read_text()
    commit(path, Change())
    (path / SEAL).write_text(seal)
    assert verify(path).sound
    (path / SEAL).unlink()
    assert verify(path).problems == (f"{SEAL} is missing",)


def test_a_damaged_catalog_is_always_told_as_damage(path: Path) -> None:
    catalog = path / CATALOG
    whole = catalog.read_bytes()
    chance = random.Random(5)
    for place in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        catalog.write_bytes(damaged)
        try:
            state = read_state(path)
        except (IndexDamagedError, IndexFormatError):
            continue
        for segment in state.segments:
            assert all(
                0 <= ordinal < segment.passages for ordinal in state.tombstones.get(segment.number, ())
            )


@pytest.mark.parametrize("ordinal", [-1, 40, 1 << 40])
def test_a_deletion_of_what_is_not_there_is_damage(path: Path, ordinal: int) -> None:
    database = sqlite3.connect(path / CATALOG)
    with database:
        database.execute("UPDATE tombstones SET ordinal = ? WHERE segment = 1", (ordinal,))
    database.close()
    with pytest.raises(IndexDamagedError, match=f"segment 1 has no passage {ordinal}"):
        read_state(path)
    assert not verify(path).sound


def test_verifying_beside_a_writer(path: Path) -> None:
    index = Index.open(path, encoder=HashEncoder())
    calls: list[str] = []

    def compacting(stage: str, done: int, total: int | None) -> None:
        if not calls:
            index.compact()
        calls.append(stage)

    assert verify(path, compacting).sound
    assert calls


def test_compacting_does_not_launder_damage(path: Path) -> None:
    before = [file for file in committed_files(path) if file.name == "passages.sqlite"]
    damaged = before[0].read_bytes().replace(b"statin", b"~tatin")
    before[0].write_bytes(damaged)
    with pytest.raises(IndexDamagedError, match=r"passages\.sqlite differs from its checksum"):
        Index.open(path, encoder=HashEncoder()).compact()
    assert not verify(path).sound


@pytest.mark.parametrize("place", [8, 76, 131, 140])
def test_damaged_ordinals_are_one_clear_error(path: Path, place: int) -> None:
    for file in committed_files(path):
        if file.name == "rows.npy":
            damaged = bytearray(file.read_bytes())
            damaged[place] ^= 0x10
            file.write_bytes(damaged)
    with pytest.raises(IndexDamagedError):
        Searcher.open(path, encoder=HashEncoder()).search("statin trial wing", 50)
    with pytest.raises(IndexDamagedError):
        Index.open(path, encoder=HashEncoder()).add(make_documents(3), on_duplicate="replace", cache=False)


def test_a_missing_file_is_damage_to_the_writer_too(path: Path) -> None:
    next(file for file in committed_files(path) if file.name == "rows.npy").unlink()
    index = Index.open(path, encoder=HashEncoder())
    for change in (
        lambda: index.add(make_documents(3), cache=False),
        lambda: index.delete(["d2"]),
        index.compact,
    ):
        with pytest.raises(IndexDamagedError, match=r"rows\.npy"):
            change()
