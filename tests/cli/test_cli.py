"""The commands as a user types them, wrong inputs included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode

ROWS = [
    {"_id": "a b", "title": "Statins", "text": "Statins lower cholesterol in most trials.", "year": 2016},
    {"_id": "🚀", "title": "", "text": "The wing was tested in a slipstream.", "year": 1958},
    {"_id": "c", "title": "Wing loads", "text": "Loads on a wing at high speed.", "year": 2001, "lang": "en"},
]


def call(*arguments: object, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def index(tmp_path: Path, corpus: Path) -> Path:
    path = tmp_path / "my.index"
    result = call("index", corpus, "--into", path, "--dense", "none")
    assert result.exit_code == 0, result.output
    return path


def refused(result: Any, code: ExitCode, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr


def test_index_search_add_delete_compact(index: Path, tmp_path: Path) -> None:
    hits = lines(call("search", index, "wings", "--json").stdout)
    assert [hit["id"] for hit in hits] == ["c", "🚀"]
    assert list(hits[0]) == ["rank", "id", "score", "title", "text", "metadata"]
    assert hits[0]["metadata"] == {"year": 2001, "lang": "en"}
    more = tmp_path / "more.csv"
    more.write_text("id,text,year\nd,A delta wing,1960\n")
    assert call("add", index, more).exit_code == 0
    assert [
        hit["id"] for hit in lines(call("search", index, "wing", "--json", "--filter", "year < 1990").stdout)
    ] == [
        "d",
        "🚀",
    ]
    assert lines(call("delete", index, "d", "a b", "--json").stdout) == [{"deleted": 2}]
    assert "1 deleted passage dropped" in call("compact", index).stdout
    assert "Nothing to compact" in call("compact", index).stdout
    assert "all as committed" in call("verify", index).stdout
    info = lines(call("info", index, "--json").stdout)[0]
    assert (info["documents"], info["segments"], info["fields"]) == (2, 1, ["lang", "year"])
    assert "filter by  id, title, lang, year" in call("info", index).stdout


def test_people_see_marked_snippets(index: Path) -> None:
    shown = call("search", index, "cholesterol trial", "--explain").stdout
    assert "a b" in shown and "Statins" in shown
    assert "**cholesterol**" in shown and "**trials**" in shown
    assert "sparse #1" in shown and "terms: " in shown


def test_explain_in_json(index: Path) -> None:
    (hit,) = lines(call("search", index, "cholesterol", "--explain", "--json").stdout)
    assert hit["stages"] == {"sparse": {"rank": 1, "score": hit["score"]}, "dense": None}
    assert hit["terms"] == ["cholesterol"]
    start, end = hit["snippet"]["highlights"][0]
    assert hit["snippet"]["text"][start:end] == "cholesterol"


@pytest.mark.parametrize("query", ["", "   ", "zzzzunknown", "the", "?!", "\0", "wing\ud800"])
def test_queries_that_find_little_are_no_error(index: Path, query: str) -> None:
    result = call("search", index, query, "--json")
    assert result.exit_code == 0
    assert len(lines(result.stdout)) == (2 if "wing" in query else 0)


def test_k_larger_than_the_corpus(index: Path) -> None:
    assert len(lines(call("search", index, "wing statins", "-k", 1000, "--json").stdout)) == 3


@pytest.mark.parametrize("k", ["0", "-3"])
def test_k_must_be_positive(index: Path, k: str) -> None:
    refused(call("search", index, "wing", "-k", k), ExitCode.USAGE, "k is", "at least 1")


def test_a_run_file(index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\twing\nq2\tzzz\nq3\tloads at high speed\n")
    out = tmp_path / "run.trec"
    (report,) = lines(call("run", index, queries, "--out", out, "--json").stdout)
    assert (report["queries"], report["answered"]) == (3, 2)
    refused(call("run", index, "nowhere.tsv", "--out", out), ExitCode.INPUT, "nowhere.tsv")


def test_ids_with_spaces_from_the_run_to_its_scores(index: Path, tmp_path: Path) -> None:
    queries, run, qrels = tmp_path / "queries.tsv", tmp_path / "r.trec", tmp_path / "qrels.tsv"
    queries.write_text("q 1\tstatins\nq2\tslipstream\n")
    done = call("run", index, queries, "--out", run)
    assert done.exit_code == 0, done.output
    assert "note: 1 line of the run with white space in an id" in done.stderr
    assert [line.split()[:3] for line in run.read_text(encoding="utf-8").splitlines()] == [
        ["q%201", "Q0%", "a%20b"],
        ["q2", "Q0", "🚀"],
    ]
    qrels.write_text("query-id\tcorpus-id\tscore\nq 1\ta b\t1\nq2\tc\t1\nq2\t🚀\t0\n", encoding="utf-8")
    options = ("--qrels", qrels, "--measures", "RR@10", "--per-query", "--json")
    (report,) = lines(call("eval", "score", run, *options).stdout)
    assert {query: values["RR@10"] for query, values in report["per_query"].items()} == {"q 1": 1, "q2": 0}


def test_filters_with_errors_point_at_the_place(index: Path) -> None:
    refused(call("search", index, "wing", "--filter", "year >> 3"), ExitCode.INPUT, "^")


def test_malformed_line_missing_field_and_skip(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"_id": "1", "text": "one"}\nnot json\n{"_id": "2"}\n{"_id": "3", "text": "three"}\n')
    target = tmp_path / "bad.index"
    refused(call("index", bad, "--into", target, "--dense", "none"), ExitCode.INPUT, f"{bad}:2")
    assert not (target / "catalog.sqlite").exists()
    result = call("index", bad, "--into", target, "--dense", "none", "--on-error", "skip", "--json")
    (report,) = lines(result.stdout)
    assert (report["documents"], report["reading"]["skipped"]) == (2, 2)


def test_duplicates(tmp_path: Path, index: Path, corpus: Path) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps({**ROWS[0], "text": "new text"}) + "\n")
    target = tmp_path / "twice.index"
    refused(
        call("index", twice, "--into", target, "--dense", "none"), ExitCode.INPUT, "'a b'", "--on-duplicate"
    )
    assert (
        call("index", twice, "--into", target, "--dense", "none", "--on-duplicate", "replace").exit_code == 0
    )
    (hit,) = lines(call("search", target, "new", "--json").stdout)
    assert hit["text"] == "new text"
    refused(call("add", index, corpus), ExitCode.INPUT, "already has the id")
    assert call("add", index, corpus, "--on-duplicate", "replace").exit_code == 0


def test_empty_nul_invalid_and_huge_documents(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    with path.open("wb") as file:
        file.write(b'{"_id": "empty", "text": ""}\n')
        file.write(b'{"_id": "nul", "text": "zebra \\u0000 stripes"}\n')
        file.write(b'{"_id": "utf8", "text": "zebra \xff\xfe"}\n')
        file.write(json.dumps({"_id": "huge", "text": "zebra " + "lorem ipsum " * 900_000}).encode() + b"\n")
    target = tmp_path / "odd.index"
    result = call("index", path, "--into", target, "--dense", "none")
    assert result.exit_code == 0, result.output
    assert {hit["id"] for hit in lines(call("search", target, "zebra", "--json").stdout)} == {
        "nul",
        "utf8",
        "huge",
    }
    assert "**zebra**" in call("search", target, "zebra").stdout


def test_repeating_index_refreshes_and_other_sources_are_refused(
    index: Path, corpus: Path, tmp_path: Path
) -> None:
    with corpus.open("a") as file:
        file.write('{"_id": "new", "text": "a new line"}\n')
    assert call("index", corpus, "--into", index, "--dense", "none").exit_code == 0
    assert len(lines(call("search", index, "new line", "--json").stdout)) == 1
    other = tmp_path / "other.jsonl"
    other.write_text('{"_id": "o", "text": "other"}\n')
    refused(
        call("index", other, "--into", index, "--dense", "none"),
        ExitCode.INDEX,
        "already holds",
        "leanseek add",
    )
    assert call("index", other, "--into", index, "--dense", "none", "--overwrite").exit_code == 0
    assert lines(call("info", index, "--json").stdout)[0]["documents"] == 1


def test_unknown_model(tmp_path: Path, corpus: Path) -> None:
    result = call("index", corpus, "--into", tmp_path / "x.index", "--encoder", "no-such/model")
    refused(result, ExitCode.MODEL, "no-such/model", "a folder of that name")
    assert not (tmp_path / "x.index").exists()


def test_paths_that_are_no_index(tmp_path: Path, corpus: Path, index: Path) -> None:
    refused(call("search", tmp_path / "none", "q"), ExitCode.INDEX, "does not exist", "leanseek index")
    refused(call("search", corpus, "q"), ExitCode.INDEX, "not a folder")
    refused(call("info", tmp_path), ExitCode.INDEX, "holds no leanseek index")
    refused(call("index", corpus, "--into", tmp_path, "--dense", "none"), ExitCode.INDEX, "not empty")
    refused(call("index", tmp_path / "nothing", "--into", tmp_path / "y"), ExitCode.INPUT, "nothing")
    refused(call("search", index, "q", "--mode", "hybrid"), ExitCode.USAGE, "--mode sparse")
    refused(call("delete", index), ExitCode.USAGE, "--filter")
    refused(call("delete", index, "nope"), ExitCode.INPUT, "nope", "--ignore-missing")


def test_an_index_of_a_newer_format(index: Path) -> None:
    import sqlite3

    with sqlite3.connect(index / "catalog.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    refused(call("search", index, "wing"), ExitCode.INDEX, "format 99", "pip install --upgrade")


def test_damage_is_one_clear_error(index: Path) -> None:
    for path in (index / "segments").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    refused(call("search", index, "wing"), ExitCode.INDEX, "bytes instead of", "leanseek verify")
    result = call("verify", index)
    assert result.exit_code == ExitCode.INDEX and "damaged: " in result.stdout


def test_reading_standard_input(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "leanseek",
        "index",
        "-",
        "--into",
        str(tmp_path / "i"),
        "--dense",
        "none",
    ]
    done = subprocess.run(command, input=text, text=True, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 documents added" in done.stdout


def test_standard_input_and_empty_input_never_replace_an_index(tmp_path: Path, index: Path) -> None:
    row = json.dumps({"_id": "n", "text": "new"}) + "\n"
    for stdin in (row, ""):
        refused(
            call("index", "-", "--into", index, "--dense", "none", stdin=stdin),
            ExitCode.INDEX,
            "already holds",
        )
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("")
    result = call("index", nothing, "--into", index, "--dense", "none", "--overwrite")
    refused(result, ExitCode.INPUT, "no documents")
    assert lines(call("info", index, "--json").stdout)[0]["documents"] == 3


def test_options_that_would_be_ignored_are_refused(tmp_path: Path, corpus: Path) -> None:
    target = tmp_path / "x.index"
    refused(call("index", corpus, "--into", target, "--overlap", 3), ExitCode.USAGE, "--chunk")
    options = ("--dense", "none", "--encoder", "x/y")
    refused(call("index", corpus, "--into", target, *options), ExitCode.USAGE, "--encoder")


def test_a_filter_on_an_unknown_field_names_the_known_ones(index: Path) -> None:
    assert "id, title, lang, year" in call("search", index, "wing", "--filter", "yaer > 3").stderr


def test_output_survives_an_encoding_that_lacks_characters(index: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "leanseek", "search", str(index), "slipstream"]
    options: dict[str, Any] = {"capture_output": True, "text": True, "env": environment, "check": True}
    (hit,) = lines(subprocess.run([*command, "--json"], **options).stdout)
    assert hit["id"] == "🚀"
    assert "slipstream" in subprocess.run(command, **options).stdout


def test_sparse_never_imports_torch_and_help_imports_almost_nothing(index: Path) -> None:
    program = (
        "import sys\n"
        "from leanseek.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def imported(*arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stderr

    searching = imported("search", str(index), "wing", "--mode", "sparse")
    for heavy in (
        "torch",
        "transformers",
        "sentence_transformers",
        "onnxruntime",
        "faiss",
        "pandas",
        "scipy",
    ):
        assert f"'{heavy}'" not in searching
    for heavy in ("numpy", "sqlite3"):
        assert f"'{heavy}'" not in imported("--help")


def test_disk_full_is_one_clear_error(tmp_path: Path, corpus: Path) -> None:
    big = tmp_path / "big.jsonl"
    big.write_text("".join(json.dumps({"_id": str(n), "text": f"word{n} " * 50}) + "\n" for n in range(3000)))
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from leanseek.cli import app; app(sys.argv[1:])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    target = tmp_path / "small.index"
    assert call("index", corpus, "--into", target, "--dense", "none").exit_code == 0
    command = [sys.executable, "-c", script, "add", str(target), str(big)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == ExitCode.STORAGE, done.stderr
    assert "Traceback" not in done.stderr and "Nothing was changed" in done.stderr
    assert len(lines(call("search", target, "wing", "--json").stdout)) == 2
    assert "all as committed" in call("verify", target).stdout
    assert call("add", target, big).exit_code == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_permission_denied_is_one_clear_error(index: Path, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from leanseek.cli import app\n"
        # All that the command imports, before the interpreter's own files are out of reach.
        "for warm in (['delete', sys.argv[2], 'nope', '--ignore-missing'], ['search', sys.argv[2], 'nope']):\n"
        "    try: app(warm)\n"
        "    except SystemExit: pass\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "app(sys.argv[1:])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    for path in (index, *index.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", script]
    options: dict[str, Any] = {"capture_output": True, "text": True, "env": environment, "check": False}
    denied = subprocess.run([*command, "delete", str(index), "c"], **options)
    assert denied.returncode == ExitCode.STORAGE, denied.stderr
    assert "ermission" in denied.stderr and "Traceback" not in denied.stderr
    # Reading needs no right to write.
    found = subprocess.run([*command, "search", str(index), "wing", "--json"], **options)
    assert found.stdout.count('"rank"') == 2, found.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "leanseek", "search", str(tmp_path / "none"), "q"]
    plain = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    debug = subprocess.run(
        [*command, "--debug"], capture_output=True, text=True, env=environment, check=False
    )
    assert "Traceback" not in plain.stderr and plain.returncode == ExitCode.INDEX
    assert "Traceback" in debug.stderr


def test_doctor(index: Path) -> None:
    shown = call("doctor").stdout
    assert "kernels" in shown and "cache" in shown
    assert {"name", "ok", "detail"} == set(lines(call("doctor", "--json").stdout)[0])
