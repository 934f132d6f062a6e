"""Qilin's folder: a small one of the published schema, written here, and what is read back from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from leanseek import Document
from leanseek.cli import app
from leanseek.errors import InputError, UsageError
from leanseek.eval import System, evaluate, open_collection, read_answers
from leanseek.eval.collections import summarize
from leanseek.eval.collections.qilin import QilinCollection, Shown, grade_of

NOTES = [
    (0, "Wing pump", "how a wing pump lifts water", "t1"),
    (1, "", "statins lower cholesterol in most patients", "t2"),
    (2, "Orbit", "a rocket reaches orbit", None),
    (3, "Cheap flights", "", "t1"),
    (4, "Heart", "statins and the heart: a trial", "t2"),
]


def shown(note: int, position: int, time: float, **done: float | None) -> dict[str, Any]:
    names = ("click", "page_time", "like", "collect", "comment", "share")
    return {"note_idx": note, "position": position, "search_timestamp": time} | {
        name: done.get(name, 0.0) for name in names
    }


SEARCHES: list[dict[str, Any]] = [
    {
        "query": "statins heart", "query_from_type": 4.0, "recent_clicked_note_idxs": [0, 2], "search_idx": 90,
        "session_idx": 7, "user_idx": 3,
        "search_result_details_with_idx": [
            shown(1, 0, 51.0, click=1.0, page_time=9.9), shown(3, 1, 51.0), shown(4, 2, 52.0, click=1.0, page_time=10.0)
        ],
    },
    {
        "query": "orbit", "query_from_type": None, "recent_clicked_note_idxs": None, "search_idx": 91,
        "session_idx": 7, "user_idx": 3,
        "search_result_details_with_idx": [
            shown(2, 0, 20.0, click=1.0, page_time=None, like=1.0), shown(0, 1, 20.0, page_time=-1.0),
            shown(0, 5, 30.0, click=1.0, page_time=float("nan")),
        ],
    },
    {
        "query": "nothing", "query_from_type": 1.0, "recent_clicked_note_idxs": [], "search_idx": 92,
        "session_idx": 8, "user_idx": 4, "search_result_details_with_idx": [],
    },
]  # fmt: skip
ANSWERS: list[dict[str, Any]] = [
    {
        "query": "do statins help?",
        "dqa_output": "They lower cholesterol [1].",
        "ref_note_idx_list": [1, 4],
        "session_idx": 7,
        "user_idx": 3,
    },
    {
        "query": "none",
        "dqa_output": None,
        "ref_note_idx_list": None,
        "session_idx": 8,
        "user_idx": 4,
    },
]


def write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow.parquet.write_table(arrow.Table.from_pylist(list(records)), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "Qilin"
    notes = [
        {
            "note_idx": number,
            "note_title": title,
            "note_content": text,
            "taxonomy1_id": topic,
            "like_num": 2.0 * number,
        }
        for number, title, text, topic in NOTES
    ]
    write(folder / "notes" / "train-00000-of-00002.parquet", notes[:2])
    write(folder / "notes" / "train-00001-of-00002.parquet", notes[2:])
    write(folder / "search_test" / "train-00000-of-00001.parquet", SEARCHES)
    write(folder / "dqa" / "train-00000-of-00001.parquet", ANSWERS)
    (folder / "search.test.qrels.csv").write_text("qid,pid\n0,4\n0,1\n1,2\n")
    return folder


def test_the_folder_comes_back(folder: Path) -> None:
    collection = open_collection(f"qilin:{folder}")
    assert isinstance(collection, QilinCollection)
    assert (collection.name, collection.splits) == ("Qilin", ("test", "test-behaviour"))
    documents = {one.id: one for one in collection.documents()}
    assert documents.keys() == {"0", "1", "2", "3", "4"}
    assert documents["4"] == Document(
        "4", "statins and the heart: a trial", "Heart", {"taxonomy1_id": "t2", "like_num": 8.0}
    )
    assert collection.qrels("test") == {"0": {"4": 1, "1": 1}, "1": {"2": 1}}
    assert [(one.id, one.text) for one in collection.queries("test")] == [
        ("0", "statins heart"),
        ("1", "orbit"),
    ]
    assert [one.id for one in collection.queries()] == ["test/0", "test/1", "test/2"]
    found = summarize(collection)
    assert (found.documents, found.splits, found.self_hits) == (5, {"test": 2, "test-behaviour": 2}, False)


def test_what_people_did_is_graded(folder: Path) -> None:
    collection = QilinCollection(folder)
    assert collection.qrels("test-behaviour") == {"0": {"1": 1, "3": 0, "4": 2}, "1": {"2": 2, "0": 1}}
    first, second, third = collection.searches("test")
    assert first.shown == (Shown("1", 0, 1), Shown("3", 1, 0), Shown("4", 2, 2))
    assert second.shown[1] == Shown("0", 1, 1)  # seen twice: the first position, the best grade
    assert (first.history, second.history, third.shown) == (("0", "2"), (), ())
    assert (first.source, second.source, first.time, third.time) == (4, None, 51.0, None)


@pytest.mark.parametrize(
    ("done", "grade"),
    [
        ({}, 0),
        ({"like": 1.0}, 0),
        ({"click": 1.0}, 1),
        ({"click": 1.0, "page_time": 9.99}, 1),
        ({"click": 1.0, "page_time": 10}, 2),
        ({"click": 1, "share": 1.0}, 2),
        ({"click": 1.0, "comment": None, "page_time": None}, 1),
    ],
)
def test_a_grade(done: dict[str, float | None], grade: int) -> None:
    assert grade_of(done) == grade


def test_sessions_are_in_the_order_of_their_time(folder: Path) -> None:
    sessions = QilinCollection(folder).sessions("test")
    assert {name: [one.id for one in found] for name, found in sessions.items()} == {
        "7": ["1", "0"],
        "8": ["2"],
    }


def test_answers_have_the_notes_they_cite(folder: Path) -> None:
    [answer] = QilinCollection(folder).answers()
    assert (answer.id, answer.query, answer.references) == ("0", "do statins help?", ("1", "4"))
    [record] = read_answers(f"qilin:{folder}")
    assert record.answer == "They lower cholesterol [1]."
    assert record.context == (
        "statins lower cholesterol in most patients",
        "Heart statins and the heart: a trial",
    )


def test_the_shown_notes_are_ranked(folder: Path, tmp_path: Path) -> None:
    collection = open_collection(f"qilin:{folder}")
    system = System(mode="sparse", candidates=Path("shown"))
    [outcome] = evaluate(
        collection, system, out=tmp_path / "out", splits=["test-behaviour"], measures=["nDCG@10"]
    )
    assert outcome.stored.result.means["nDCG@10"] > 0.8
    lines = outcome.stored.run_path.read_text().split("\n")
    assert {tuple(line.split()[:3:2]) for line in lines if line} == {
        ("0", "1"), ("0", "3"), ("0", "4"), ("1", "2"), ("1", "0")
    }  # fmt: skip
    # The command line takes the same names.
    done = CliRunner().invoke(app, ["eval", "collections", str(tmp_path / "data")])
    assert done.exit_code in (0, 3)


def test_what_is_no_folder_of_qilin(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no notes"):
        open_collection(f"qilin:{tmp_path}")
    collection = QilinCollection(folder)
    with pytest.raises(UsageError, match="no split 'dev'"):
        collection.qrels("dev")
    with pytest.raises(UsageError, match="no split 'train'"):
        list(collection.searches("train"))
    (folder / "search.test.qrels.csv").write_text("query,doc\n0,4\n")
    with pytest.raises(InputError, match="columns qid and pid"):
        collection.qrels("test")
    (folder / "search.test.qrels.csv").write_text("qid,pid\n0,4\n1\n")
    with pytest.raises(InputError, match=r"qrels\.csv:3: qid and pid"):
        collection.qrels("test")
    write(folder / "search_test" / "train-00000-of-00001.parquet", [{"query": "a", "user_idx": 1}])
    with pytest.raises(InputError, match="no column 'search_result_details_with_idx'"):
        collection.qrels("test-behaviour")
    (folder / "search_test" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a Parquet file"):
        list(collection.searches("test"))
    (folder / "search_test" / "train-00000-of-00001.parquet").unlink()
    (folder / "search_test").rmdir()
    assert QilinCollection(folder).splits == ()


def test_the_checksum_covers_every_file(folder: Path) -> None:
    before = QilinCollection(folder).checksum
    assert QilinCollection(folder).checksum == before
    (folder / "search.test.qrels.csv").write_text("qid,pid\n0,4\n")
    assert QilinCollection(folder).checksum != before
