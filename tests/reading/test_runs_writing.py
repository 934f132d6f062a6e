"""TREC runs: their lines, their bytes, what is refused, and that no half-written file is left."""

from __future__ import annotations

import gzip
import io
import random
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.reading.runs import write_run
from leanseek.types import Hit, Query, Ranked


def hits(*pairs: tuple[str, float]) -> list[Hit]:
    return [Hit(rank, id, score, "", "", {}) for rank, (id, score) in enumerate(pairs, 1)]


RESULTS = [
    (Query("q1", "one"), hits(("d2", 2.5), ("d1", 1.0 / 3.0))),
    (Query("q2", "two"), []),
    (Query("q3", "three"), hits(("é😀", 1e-07))),
]
LINES = "q1 Q0 d2 1 2.5 leanseek\nq1 Q0 d1 2 0.3333333333333333 leanseek\nq3 Q0 é😀 1 1e-07 leanseek\n"


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    assert write_run(path, RESULTS) == 3
    assert path.read_text(encoding="utf-8") == LINES
    assert list(tmp_path.iterdir()) == [path]


def test_rankings_without_texts_give_the_same_lines() -> None:
    stream = io.StringIO()
    write_run(stream, [(query, [Ranked(hit.id, hit.score) for hit in found]) for query, found in RESULTS])
    assert stream.getvalue() == LINES


def test_ids_with_white_space_are_percent_encoded_and_their_lines_marked() -> None:
    stream = io.StringIO()
    found = hits(("doc 4", 3.0), ("50%", 2.0), ("50% off", 1.5), ("a\u3000b\n", 1.0))
    write_run(stream, [(Query("q", ""), found), (Query("q 2", ""), hits(("50%", 1.0)))], tag="t")
    assert stream.getvalue() == (
        "q Q0% doc%204 1 3.0 t\nq Q0 50% 2 2.0 t\nq Q0% 50%25%20off 3 1.5 t\nq Q0% a%E3%80%80b%0A 4 1.0 t\n"
        "q%202 Q0% 50%25 1 1.0 t\n"
    )


def test_same_results_same_bytes_packed_or_not(tmp_path: Path) -> None:
    for name in ("a.trec.gz", "b.trec.gz"):
        write_run(str(tmp_path / name), iter(RESULTS))
    packed = (tmp_path / "a.trec.gz").read_bytes()
    assert packed == (tmp_path / "b.trec.gz").read_bytes()
    assert gzip.decompress(packed).decode() == LINES


def test_standard_output_and_open_streams(capsys: pytest.CaptureFixture[str]) -> None:
    write_run("-", RESULTS)
    assert capsys.readouterr().out == LINES
    stream = io.StringIO()
    write_run(stream, RESULTS, tag="mine")
    assert stream.getvalue() == LINES.replace("leanseek", "mine")


def test_scores_read_back_exactly() -> None:
    random.seed(3)
    scores = sorted((random.random() * 10 ** random.randint(-9, 9) for _ in range(500)), reverse=True)
    scores += [float(np.float32(-0.1)), -1e300]
    stream = io.StringIO()
    write_run(stream, [(Query("q", ""), hits(*((f"d{n}", score) for n, score in enumerate(scores))))])
    assert [float(line.split()[4]) for line in stream.getvalue().splitlines()] == scores


def test_trec_eval_reads_the_run_and_agrees_with_a_plain_reciprocal_rank(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    write_run(tmp_path / "a.trec", RESULTS)
    with (tmp_path / "a.trec").open(encoding="utf-8") as file:
        run = pytrec_eval.parse_run(file)
    judged = pytrec_eval.RelevanceEvaluator({"q1": {"d1": 1}, "q3": {"é😀": 1}}, {"recip_rank"})
    measured = {query: values["recip_rank"] for query, values in judged.evaluate(run).items()}
    assert measured == {"q1": 0.5, "q3": 1.0}


@pytest.mark.parametrize(
    ("results", "tag", "error", "message"),
    [
        ([(Query("", ""), [])], "t", InputError, "query id '' is empty"),
        ([(Query("q", ""), hits(("", 1.0)))], "t", InputError, "document id '' is empty"),
        ([], "my tag", UsageError, "tag 'my tag' has white space"),
        ([(Query("q", ""), hits(("a", float("nan"))))], "t", UsageError, "finite"),
        ([(Query("q", ""), hits(("a", 1.0), ("b", 2.0)))], "t", UsageError, "descend"),
    ],
)
def test_what_a_run_cannot_hold_is_refused_and_leaves_no_file(
    tmp_path: Path,
    results: list[tuple[Query, Sequence[Hit]]],
    tag: str,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        write_run(tmp_path / "a.trec", results, tag)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_midway_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text("older", encoding="utf-8")

    def failing() -> Iterator[tuple[Query, Sequence[Hit]]]:
        yield RESULTS[0]
        raise OSError("the search broke")

    with pytest.raises(OSError, match="the search broke") as caught:
        write_run(path, failing())
    assert not isinstance(caught.value, StorageError)
    assert path.read_text(encoding="utf-8") == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_run(tmp_path / "absent" / "a.trec", RESULTS)
    with pytest.raises(StorageError, match="folder"):
        write_run(tmp_path, RESULTS)


def test_a_device_is_written_to_not_replaced() -> None:
    device = Path("/dev/null")
    if not device.is_char_device():
        pytest.skip("there is no /dev/null")
    assert write_run(device, RESULTS) == 3
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_full_disk_is_one_clear_error() -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("there is no /dev/full")
    many = hits(*((f"d{n}", -float(n)) for n in range(100_000)))
    with pytest.raises(StorageError, match=r"/dev/full.*cannot be written"):
        write_run(device, [(Query("q", ""), many)])
