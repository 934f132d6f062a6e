"""Reading runs: the two formats, what comes back from what was written, and what is said of bad lines."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.reading.runs import read_run, write_run
from leanseek.types import Hit, Query

TREC = "q1 Q0 d2 1 2.5 mine\nq1\tQ0\td1\t2\t1e-3\tmine\r\n\nq2 Q0 d1 9 -4 mine\nq1 Q0 é 3 0 mine\n"
RANKINGS = {"q1": {"d2": 2.5, "d1": 0.001, "é": 0.0}, "q2": {"d1": -4.0}}


def written(folder: Path, text: str, name: str = "a.trec") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_trec_in_any_order_with_any_white_space(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, TREC))
    assert (run.tag, run.rankings) == ("mine", RANKINGS)


def test_packed_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TREC.encode()))
    (tmp_path / "b").write_bytes(bz2.compress(TREC.encode()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TREC.encode())))
    assert [read_run(source).rankings for source in (tmp_path / "a.gz", tmp_path / "b", "-")] == [
        RANKINGS
    ] * 3


def test_ms_marco_ranks_become_descending_scores(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, "7\t30\t1\n7\t10\t2\n9\t10\t1\n7\t20\t3\n", "run dev.small.tsv"))
    assert run.tag == "run-dev"
    assert sorted(run.rankings["7"], key=lambda id: -run.rankings["7"][id]) == ["30", "10", "20"]
    assert list(run.rankings["9"]) == ["10"]


def test_ids_with_spaces_between_tabs(tmp_path: Path) -> None:
    trec = "q 1\tQ0\tdoc 4\t1\t2.5\tmine\nq 1\tQ0\td5\t2\t1.5\tmine\nq2 Q0 d6 1 1 mine\n"
    run = read_run(written(tmp_path, trec))
    assert (run.tag, run.rankings) == ("mine", {"q 1": {"doc 4": 2.5, "d5": 1.5}, "q2": {"d6": 1.0}})
    run = read_run(written(tmp_path, "q 1\tdoc 4\t1\nq 1\tdoc 5\t2\n"))
    assert run.rankings == {"q 1": {"doc 4": -1.0, "doc 5": -2.0}}


def test_only_marked_lines_are_decoded(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, "q Q0 dbpedia:A%20B 1 2 t\nq Q0% dbpedia:A%20B 2 1 t\n"))
    assert run.rankings == {"q": {"dbpedia:A%20B": 2.0, "dbpedia:A B": 1.0}}


words = st.text(
    st.characters(categories=["L", "N", "P", "S", "Z", "Cc"], exclude_characters="\0"), min_size=1, max_size=8
)


@given(
    st.dictionaries(
        words,
        st.dictionaries(words, st.floats(-1e300, 1e300), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rankings: dict) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.trec"
    hits = [
        (
            Query(query, ""),
            [Hit(1, id, score, "", "", {}) for id, score in sorted(docs.items(), key=lambda d: -d[1])],
        )
        for query, docs in rankings.items()
    ]
    write_run(path, hits)
    assert read_run(path).rankings == rankings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 1.0 t\nq Q0 e 2 0.5\n", "a.trec:2: 5 columns; a TREC run has six"),
        ("q Q0 d 1 1.0 t\n\nq Q0 e 2 0.5 t t\n", "a.trec:3: 7 columns"),
        ("q Q0 d 1 high t\n", "a.trec:1: the score is 'high'; it must be a number"),
        ("q Q0 d 1 nan t\n", "a.trec:1: the score is nan; scores must be finite"),
        ("q Q0 d 1 1e999 t\n", "a.trec:1: the score is 1e999; scores must be finite"),
        ("q Q0 d 1 -inf t\n", "a.trec:1: the score is -inf"),
        ("q Q0 d 1 2 t\np Q0 d 1 2 t\nq Q0 d 2 1 t\n", "a.trec:3: document 'd' for query 'q' a second time"),
        ("q d 1\nq d 2\n", "a.trec:2: document 'd' for query 'q' a second time"),
        ("q d 1\nq e x\n", "a.trec:2: the rank is 'x'"),
        ("q d 1\nq e 0\n", "a.trec:2: the rank is 0; ranks begin at 1"),
        ("q d 1\nq e\n", "a.trec:2: 2 columns; an MS MARCO run has three"),
        ("hello world\n", "a.trec:1: 2 columns; a TREC run has six"),
        ("", "a.trec: the run is empty"),
        ("\n \n", "the run is empty"),
        (
            "q 0 d 1\n",
            "a.trec:1: this looks like judgments (qrels), not like a run; are the two arguments swapped?",
        ),
        ("query-id\tcorpus-id\tscore\nq\td\t1\n", "a.trec:1: this looks like judgments"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_run(written(tmp_path, text))
    assert message in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "none")
    with pytest.raises(InputError, match="this is a folder"):
        read_run(tmp_path)
    (tmp_path / "a.gz").write_bytes(gzip.compress(TREC.encode() * 100)[:-20])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_run(tmp_path / "a.gz")
    (tmp_path / "latin").write_bytes("q Q0 d 1 1 t\nq Q0 é 2 0.5 t\n".encode("latin-1"))
    with pytest.raises(InputError, match="latin:2: this is not UTF-8"):
        read_run(tmp_path / "latin")


def test_stored_runs(collection: Callable[[str], Path]) -> None:
    for path in sorted((collection("trec-dl-2019") / "runs").iterdir()):
        run = read_run(path)
        assert run.tag == path.stem
        assert len(run.rankings) == 43
        assert sum(map(len, run.rankings.values())) == path.read_text().count("\n")
