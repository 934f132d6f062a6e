"""Folders and sync as a user types them: mixed folders, ids, hints, and following changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ids(index: Path, query: str) -> list[str]:
    result = call("search", index, query, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "my docs"
    write(folder / "one" / "gate.txt", "The gate code is alpha.")
    write(folder / "heating.md", "# Heating\n\nBleed the radiators.")
    write(folder / "members.csv", "name,city\nZoe,Berlin\nMax,Rome\n")
    write(folder / "config.json", '{"debug": true}')
    write(folder / "photo.jpg", b"\xff\xd8\xff")
    return folder


@pytest.fixture
def index(tmp_path: Path, docs: Path) -> Path:
    path = tmp_path / "my index"
    result = call("index", docs, "--into", path, "--dense", "none")
    assert result.exit_code == 0, result.output
    assert "4 documents read; 1 skipped" in result.stdout
    assert "photo.jpg" in result.stdout and "config.json" in result.stdout
    return path


def test_the_first_command_on_a_folder_works(index: Path) -> None:
    assert ids(index, "berlin") == ["members.csv#1"]
    assert ids(index, "radiators") == ["heating.md"]


def test_what_is_left_out_is_listed_in_json(tmp_path: Path, docs: Path) -> None:
    result = call("index", docs, "--into", tmp_path / "i", "--dense", "none", "--json")
    reading = json.loads(result.stdout)["reading"]
    assert [(one["kind"], [Path(path).name for path in one["paths"]]) for one in reading["left_out"]] == [
        (".jpg file", ["photo.jpg"])
    ]
    assert any("config.json" in message for message in reading["messages"])


def test_a_folder_stops_at_the_first_error_if_told_to(tmp_path: Path, docs: Path) -> None:
    result = call("index", docs, "--into", tmp_path / "i", "--dense", "none", "--on-error", "fail")
    assert result.exit_code == ExitCode.INPUT
    assert "config.json" in result.stderr and not (tmp_path / "i").exists()


def test_a_file_is_the_same_however_it_is_named(
    index: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("one/gate.txt", "gate.txt", str(docs / "one" / "gate.txt"))):
        monkeypatch.chdir(docs / "one" if name == "gate.txt" else docs)
        write(docs / "one" / "gate.txt", f"The gate code is omega{number}.")
        refused = call("add", index, name)
        assert refused.exit_code == ExitCode.INPUT and "leanseek sync" in refused.stderr
        assert "1 earlier one replaced" in call("add", index, name, "--on-duplicate", "replace").stdout
        assert ids(index, "gate code") == ["one/gate.txt"]
        assert ids(index, f"omega{number}") == ["one/gate.txt"]


def test_sync_reports_what_changed(index: Path, docs: Path) -> None:
    write(docs / "one" / "gate.txt", "The gate code is omega.")
    write(docs / "new.txt", "new words")
    (docs / "heating.md").unlink()
    result = call("sync", docs, index, "--dry-run")
    assert "one/gate.txt: 1 replaced" in result.stdout and "heating.md: 1 deleted" in result.stdout
    assert f"{index} would change: 1 added, 1 replaced, 1 deleted, 2 unchanged." in result.stdout
    assert ids(index, "omega") == []
    result = call("sync", docs, index)
    assert "1 added, 1 replaced, 1 deleted, 2 unchanged." in result.stdout
    assert "config.json" in result.stdout and "photo.jpg" in result.stdout
    assert ids(index, "omega") == ["one/gate.txt"] and ids(index, "radiators") == []
    (report,) = map(json.loads, call("sync", docs, index, "--json").stdout.splitlines())
    assert (report["added"], report["replaced"], report["deleted"], report["unchanged"]) == (0, 0, 0, 4)
    assert report["files"] == [] and report["reading"]["left_out"]
    assert "nothing changed, 4 unchanged." in call("sync", docs, index).stdout
    assert call("index", docs, "--into", index, "--dense", "none").exit_code == 0


def test_what_sync_cannot_do(index: Path, docs: Path, tmp_path: Path) -> None:
    for arguments, code, part in (
        ((docs, tmp_path / "none"), ExitCode.INDEX, "leanseek index SOURCE --into"),
        ((tmp_path / "none", index), ExitCode.INPUT, "no such file or folder"),
        ((index, docs), ExitCode.USAGE, f"leanseek sync SOURCE... '{index}'"),
        (("-", index), ExitCode.USAGE, "standard input"),
        ((docs, index, "--watch", "--dry-run"), ExitCode.USAGE, "--watch"),
        ((index,), ExitCode.USAGE, ""),
    ):
        result = call("sync", *arguments)
        assert result.exit_code == code, result.output
        assert part in result.stderr and "Traceback" not in result.output


def test_hints_quote_paths(tmp_path: Path, docs: Path, index: Path) -> None:
    missing = tmp_path / "no such index"
    assert f"--into '{missing}'" in call("search", missing, "q").stderr
    assert f"leanseek add '{index}' '{docs / 'one'}'" in call("index", docs / "one", "--into", index).stderr
    assert f"leanseek compact '{index}'" in call("delete", index, "heating.md").stdout


@pytest.fixture
def watching(index: Path, docs: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", "leanseek", "sync", str(docs), str(index), "--watch", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_watching_follows_changes_until_it_is_interrupted(
    watching: subprocess.Popen[str], index: Path, docs: Path
) -> None:
    def report() -> dict[str, Any]:
        assert watching.stdout is not None
        return dict(json.loads(watching.stdout.readline()))

    assert report()["unchanged"] == 4
    for number in range(5):
        write(docs / f"new{number}.txt", f"number{number}")
    added = 0
    while added < 5:
        added += report()["added"]
    assert ids(index, "number3") == ["new3.txt"]
    (docs / "new3.txt").unlink()
    assert report()["deleted"] == 1
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=30)
    assert watching.returncode == ExitCode.INTERRUPTED
    assert "Stopped" in errors and "Traceback" not in errors


def test_watching_ignores_what_it_writes_and_outlives_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from leanseek.cli import sync_command
    from leanseek.errors import IndexLockedError, InputError

    folder = tmp_path / "d"
    write(folder / "a.txt", "text")
    index = folder / "i"
    assert call("index", folder, "--into", index, "--dense", "none").exit_code == 0
    before, _ = sync_command.look([str(folder)])
    assert call("add", index, write(tmp_path / "b.txt", "b")).exit_code == 0
    assert sync_command.look([str(folder)])[0] == before

    calls: list[int] = []
    outcomes = [None, InputError("bad file"), IndexLockedError("busy"), None, KeyboardInterrupt()]

    def once() -> None:
        calls.append(len(calls))
        write(folder / f"{len(calls)}.txt", "more")
        outcome = outcomes[len(calls) - 1]
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(sync_command, "PAUSE", 0.001)
    with pytest.raises(sync_command.typer.Exit) as ended:
        sync_command.follow([str(folder)], once, quiet=True)
    assert ended.value.exit_code == ExitCode.INTERRUPTED
    assert len(calls) == 5
    told = capsys.readouterr().err
    assert "error: bad file" in told and "busy" not in told


@pytest.mark.slow
def test_ten_thousand_unchanged_files(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for number in range(10_000):
        write(folder / f"{number % 100:02}" / f"{number}.txt", f"pump {number}")
    assert call("index", folder, "--into", tmp_path / "i", "--dense", "none").exit_code == 0
    started = time.process_time()
    assert "nothing changed, 10,000 unchanged." in call("sync", folder, tmp_path / "i").stdout
    assert time.process_time() - started < 5
