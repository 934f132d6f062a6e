"""Expected numbers: the data is sound, and each kind of answer is the right one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode, UsageError
from leanseek.eval.reproduction import (
    Check,
    Ran,
    Verdict,
    data_folder,
    expectations,
    expected,
    reproduce,
    run_command,
    verdict_on,
)

CHECK = Check("nDCG@10", 0.6451, 0.0005)


def test_the_data_is_whole() -> None:
    known = expectations()
    assert len({one.name for one in known}) == len(known)
    for one in known:
        assert one.command[0] == "eval"
        assert "--json" in one.command
        assert any(f"{{data}}/{one.collection}" in part for part in one.command)
        assert one.source
        assert one.url is None or one.url.startswith("https://")
        for check in one.checks:
            assert 0 < check.value < 1
            assert 0 < check.tolerance <= 0.005


@pytest.mark.parametrize(
    ("measured", "status"),
    [
        (0.6451, "OK"),
        (0.6456, "OK"),  # just inside, whatever binary rounding makes of it
        (0.6446, "OK"),
        (0.64561, "off"),
        (0.6476, "off"),
        (0.6426, "off"),
        (0.64761, "FAIL"),
        (0.1, "FAIL"),
    ],
)
def test_within_the_tolerance_off_or_failed(measured: float, status: str) -> None:
    verdict = verdict_on("x", CHECK, Ran(0, {"nDCG@10": measured}, ""))
    assert verdict.status == status
    assert verdict.difference == pytest.approx(measured - 0.6451)


@pytest.mark.parametrize(
    ("ran", "status", "reason"),
    [
        (Ran(0, {"R@100": 0.9}, ""), "FAIL", "printed no nDCG@10"),
        (Ran(int(ExitCode.INPUT), {}, "line 3 is bad"), "FAIL", "exit code 3: line 3 is bad"),
        (Ran(int(ExitCode.MISSING), {}, "needs pyserini"), "skipped", "needs pyserini"),
        (Ran(int(ExitCode.MODEL), {}, "no such model"), "skipped", "no such model"),
    ],
)
def test_without_a_number_the_reason_is_told(ran: Ran, status: str, reason: str) -> None:
    verdict = verdict_on("x", CHECK, ran)
    assert (verdict.status, verdict.measured, verdict.difference) == (status, None, None)
    assert verdict.reason is not None
    assert reason in verdict.reason


def test_commands_run_with_their_folders_and_absent_collections_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "scifact").mkdir()
    commands: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> Ran:
        commands.append(arguments)
        return Ran(0, {"nDCG@10": 0.6451, "R@100": 0.925}, "")

    wanted = expected(["scifact-dense", "dl19-bm25"])
    verdicts = list(reproduce(wanted, data=tmp_path, out=Path("o"), run=run))
    assert [verdict.status for verdict in verdicts] == ["OK", "OK", "skipped"]
    assert "trec-dl-2019" in (verdicts[2].reason or "")
    [command] = commands
    assert f"{tmp_path}/scifact" in command
    assert command[command.index("--out") + 1] == "o"


def test_names() -> None:
    assert [one.name for one in expected(["scifact-den"])] == ["scifact-dense"]
    assert [one.name for one in expected(["dl19-bm25"])] == ["dl19-bm25"]  # and not dl19-bm25-rm3
    assert len(expected(["dl19"])) == 4
    assert expected(["trec-dl-2019"]) == expected(["dl19"])
    assert expected() == expectations()
    with pytest.raises(UsageError, match="scifact-dense"):
        expected(["nothing"])


def test_the_folder_of_collections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEANSEEK_DATA", raising=False)
    with pytest.raises(UsageError, match="--data"):
        data_folder(None)
    with pytest.raises(UsageError, match="absent"):
        data_folder(tmp_path / "absent")
    monkeypatch.setenv("LEANSEEK_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path


def test_a_command_that_fails_tells_its_code_and_complaint() -> None:
    ran = run_command(["eval", "score", "no-such-run.trec", "--qrels", "no-such-qrels.tsv", "--json"])
    assert ran.code == ExitCode.INPUT
    assert "no-such-run.trec" in ran.complaint


def test_list_shows_commands_and_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEANSEEK_DATA", raising=False)
    shown = CliRunner().invoke(app, ["eval", "reproduce", "--list", "scifact-dense"])
    assert shown.exit_code == 0
    assert "nDCG@10 0.6451 ± 0.0005" in shown.output
    assert "--mode dense" in shown.output


@pytest.mark.parametrize(("value", "code"), [(0.6451, 0), (0.9, 1)])
def test_the_exit_code_tells_a_failure(
    value: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = verdict_on("scifact-dense", CHECK, Ran(0, {"nDCG@10": value}, ""))

    def one_verdict(*_: object, **__: object) -> list[Verdict]:
        return [verdict]

    monkeypatch.setattr("leanseek.eval.reproduction.reproduce", one_verdict)
    shown = CliRunner().invoke(app, ["eval", "reproduce", "--data", str(tmp_path), "--json"])
    assert shown.exit_code == code
    assert json.loads(shown.output)["status"] == verdict.status


def test_stored_runs_give_the_published_figures(collection: object, tmp_path: Path) -> None:
    assert callable(collection)
    data = collection("trec-dl-2019").parent
    verdicts = list(reproduce(expected(["dl19-bm25-rm3", "dl19-splade"]), data=data, out=tmp_path))
    assert [verdict.status for verdict in verdicts] == ["OK", "OK"]
