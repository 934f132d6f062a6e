"""What an index has learned of fusing lives in its catalog: kept by changes, dropped where it no longer holds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support import HashEncoder, make_documents

from leanseek.errors import IndexLockedError
from leanseek.indexing.catalog import CATALOG, read_state
from leanseek.indexing.creation import make_plan
from leanseek.indexing.folder import writer_lock
from leanseek.indexing.index import Index
from leanseek.indexing.info import describe_index
from leanseek.indexing.settings import FusionSettings, IndexSettings, SparseSettings
from leanseek.indexing.verification import verify

LEARNED = FusionSettings("convex", 0.9, 40, 0.5, 0.02, 0.01)


class OtherEncoder(HashEncoder):
    name = "another-hash-encoder"
    fingerprint = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index.create(tmp_path / "index", encoder=HashEncoder())
    made.add(make_documents(30), cache=False)
    made.choose_fusion(lambda: LEARNED)
    return made


def stored(index: Index) -> FusionSettings | None:
    return read_state(index.path).settings.fusion


def test_it_is_committed_like_any_change(index: Index) -> None:
    assert stored(index) == LEARNED == describe_index(index.path).settings.fusion
    assert index.generation == 2
    assert verify(index.path).sound
    index.choose_fusion(lambda: LEARNED)
    assert index.generation == 2, "the same again is no change"
    assert index.choose_fusion(lambda: None) is None
    assert stored(index) is None and index.generation == 3


def test_adding_deleting_and_compacting_keep_it(index: Index) -> None:
    index.add(make_documents(5, prefix="more"), cache=False)
    index.delete(["d3"])
    index.compact()
    assert stored(index) == LEARNED
    reopened = Index.open(index.path, encoder=HashEncoder())
    assert reopened.settings.fusion == LEARNED


def test_a_rebuild_that_scores_alike_keeps_it(index: Index) -> None:
    report = index.rebuild(make_documents(10), cache=False)
    assert stored(index) == LEARNED and report.unlearned is None
    report = index.rebuild(
        make_documents(10), plan=make_plan(encoder=HashEncoder(), dense="flat"), cache=False
    )
    assert stored(index) == LEARNED and report.unlearned is None


@pytest.mark.parametrize(
    "plan",
    [
        {"encoder": OtherEncoder()},
        {"encoder": None},
        {"encoder": HashEncoder(), "sparse": None},
        {"encoder": HashEncoder(), "sparse": SparseSettings(k1=1.2)},
        {"encoder": HashEncoder(), "chunk_words": 4},
    ],
)
def test_a_rebuild_with_other_scores_drops_it_and_says_so(index: Index, plan: dict[str, object]) -> None:
    report = Index.make(index.path, make_documents(10), make_plan(**plan), cache=False)  # type: ignore[arg-type]
    assert stored(index) is None
    assert report.unlearned is not None and "learned from 40 judged queries" in report.unlearned
    again = Index.make(index.path, make_documents(10), make_plan(**plan), cache=False)  # type: ignore[arg-type]
    assert again.unlearned is None


def test_what_fails_to_learn_leaves_it(index: Index) -> None:
    def failing() -> FusionSettings:
        with pytest.raises(IndexLockedError):  # nobody else can write meanwhile
            Index.open(index.path, encoder=HashEncoder()).delete(["d3"])
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        index.choose_fusion(failing)
    assert stored(index) == LEARNED


def test_an_index_that_is_being_written_to_is_told_at_once(index: Index) -> None:
    with writer_lock(index.path), pytest.raises(IndexLockedError, match="another process is writing"):
        index.choose_fusion(lambda: pytest.fail("nothing may be learned for nothing"))


def test_an_index_of_before_opens(index: Index) -> None:
    with closing(sqlite3.connect(index.path / CATALOG)) as database, database:
        (text,) = database.execute("SELECT settings FROM state").fetchone()
        settings = json.loads(text)
        del settings["fusion"]
        database.execute("UPDATE state SET settings = ?", (json.dumps(settings),))
    assert stored(index) is None
    assert describe_index(index.path).documents == 30


def test_settings_survive_their_json_and_ignore_what_later_versions_add() -> None:
    settings = IndexSettings(fusion=LEARNED)
    assert IndexSettings.from_json(settings.to_json()) == settings
    more = json.loads(settings.to_json())
    more["fusion"]["temperature"] = 0.1
    assert IndexSettings.from_json(json.dumps(more)) == settings
    assert "fusion" not in IndexSettings().to_json(), "an index that learned nothing is written as ever"
