"""A review on the command line: the run, what is printed, its JSON, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import ExitCode
from leanseek.reading import read_run

RELEVANT = {f"d{number:02}" for number in range(0, 60, 5)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("screen") / "i", encoder=None)
    index.add(
        Document(
            f"d{number:02}",
            f"{'statin heart' if number % 5 == 0 else 'placebo kidney'} trial {number % 7} of {number % 3}",
            f"Study {number}\x1b[31m",
            {"year": 2000 + number % 10},
        )
        for number in range(60)
    )
    return index.path


def call(*arguments: object, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["screen", *map(str, arguments)], input=stdin)


def labelled(count: int) -> str:
    return "".join(f"d{number:02}\t{int(f'd{number:02}' in RELEVANT)}\n" for number in range(count))


def test_by_the_title_alone(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.trec"
    result = call(path, "statin", "trial", "--out", out, "--next", 3)
    assert result.exit_code == 0 and "\x1b" not in result.stdout
    first, second, *shown = result.stdout.splitlines()
    assert first == "0 of 60 documents read, 0 relevant."
    assert second.startswith("Nothing relevant has been read yet")
    assert len(shown) == 3 and shown[0].startswith("  1. d") and "Study " in shown[0]
    run = read_run(out)
    assert list(run.rankings) == ["1"] and len(run.rankings["1"]) == 60
    assert set(list(run.rankings["1"])[:12]) == RELEVANT


def test_labels_and_json(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.trec"
    result = call(
        path, "trial of hearts", "--out", out, "--labels", "-", "--review", "r7", "--json", stdin=labelled(11)
    )
    assert result.exit_code == 0, result.output
    [record] = map(json.loads, result.stdout.splitlines())
    assert (record["candidates"], record["read"], record["found"], record["target"]) == (60, 11, 3, 0.95)
    assert set(record["next"][:9]) == RELEVANT - {"d00", "d05", "d10"}
    assert 3 < record["unread"] + 3 < 30 and record["reached"] == (record["confidence"] >= 0.9)
    ranking = list(read_run(out).rankings["r7"])
    assert ranking[:11] == [f"d{number:02}" for number in range(11)] and ranking[11:21] == record["next"]
    again = tmp_path / "again.trec"
    call(path, "trial of hearts", "--out", again, "--labels", "-", "--review", "r7", stdin=labelled(11))
    assert again.read_bytes() == out.read_bytes()


def test_reading_can_end(path: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "r.trec", tmp_path / "labels.csv"
    labels.write_text(labelled(60).replace("\t", ","))
    result = call(path, "statin", "--out", out, "--labels", labels)
    assert result.stdout.splitlines() == ["60 of 60 documents read, 12 relevant.", "All have been read."]
    labels.write_text(labelled(56))
    result = call(path, "statin", "--out", out, "--labels", labels, "--confidence", 0.5)
    assert "reading can end." in result.stdout and len(result.stdout.splitlines()) == 2


def test_a_run_on_standard_output(path: Path) -> None:
    result = call(path, "statin", "--out", "-", "--filter", "year = 2005", "--next", 0)
    lines = result.stdout.splitlines()
    assert len(lines) == 6 and all(line.split()[1] == "Q0" for line in lines)
    assert "0 of 6 documents read" in result.stderr


def test_mistakes(path: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "r.trec", tmp_path / "labels"
    labels.write_text("d01\t1\nx9\t0\n")
    for arguments, code, message in (
        (["statin", "--labels", labels], ExitCode.INPUT, "none of the 60 candidates: 'x9'"),
        (["statin", "--labels", tmp_path / "none"], ExitCode.INPUT, "no such file"),
        ([" "], ExitCode.USAGE, "title of the review is empty"),
        (["statin", "--recall", 0], ExitCode.USAGE, "recall to reach is 0.0"),
        (["statin", "--confidence", 1.5], ExitCode.USAGE, "confidence is 1.5"),
        (["statin", "--next", -1], ExitCode.USAGE, "at least"),
        (["statin", "--mode", "dense"], ExitCode.USAGE, "without a dense side"),
        (["statin", "--filter", "year = 1900"], ExitCode.USAGE, "no candidate"),
    ):
        result = call(path, *arguments, "--out", out)
        assert result.exit_code == code, result.output
        assert message in " ".join(result.stderr.split())
        assert not out.exists()
    labels.write_bytes(b"d01\t1\nd02\tmaybe\n")
    result = call(path, "statin", "--labels", labels, "--out", out)
    assert result.exit_code == ExitCode.INPUT and "labels:2:" in result.stderr and not out.exists()
    missing = call(tmp_path / "none", "statin", "--out", out)
    assert missing.exit_code == ExitCode.INDEX
