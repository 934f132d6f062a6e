"""`leanseek eval score` and `leanseek eval compare`: tables, JSON, files, exit codes."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from leanseek.cli import app
from leanseek.cli.score_commands import measure_tables
from leanseek.eval.comparison import compare
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run

pytest.importorskip("ir_measures")

BM25 = "BM25__BM25_5bcc39.trec"
SPLADE = "SPLADE_P_P_ENSEMBLE_DISTIL_f5a6c6.trec"


def leanseek(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], input=stdin)


@pytest.fixture
def dl19(collection: Callable[[str], Path]) -> Path:
    return collection("trec-dl-2019")


@pytest.mark.parametrize(("run", "expected"), [(BM25, "0.5058"), (SPLADE, "0.7308")])
def test_score_shows_the_published_number_and_its_rules(dl19: Path, run: str, expected: str) -> None:
    result = leanseek("score", dl19 / "runs" / run, "--qrels", dl19 / "qrels" / "test_full.tsv")
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()[:2]
    assert header.split() == ["run", "nDCG@10", "R@100", "RR@10", "Judged@10"]
    assert row.split()[:2] == [run.removesuffix(".trec"), expected]
    for rule in ("ties: as trec_eval", "trec_eval -c", "self hits: kept", "gains: nDCG", "pytrec_eval 0."):
        assert rule in result.stdout


def test_score_as_json_with_each_query(dl19: Path) -> None:
    packed = gzip.compress((dl19 / "runs" / BM25).read_bytes())
    measures = "nDCG@10, AP(rel=2) PR-AUC(pooled=True)"
    options = ("--qrels", dl19 / "qrels" / "test_full.tsv", "--measures", measures, "--json")
    result = leanseek("score", "-", *options, "--per-query", stdin=packed)
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["run"], record["queries"]) == (BM25.removesuffix(".trec"), 43)
    assert set(record["means"]) == {"nDCG@10", "AP(rel=2)", "PR-AUC(pooled=True)"}
    values = [one["nDCG@10"] for one in record["per_query"].values()]
    assert sum(values) / 43 == pytest.approx(record["means"]["nDCG@10"])
    assert record["rules"]["self_hits"] == "kept"
    assert "per_query" not in json.loads(leanseek("score", dl19 / "runs" / BM25, *options).stdout)


def test_score_warns_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("1 Q0 1 1 3 t\n1 Q0 a 2 2 t\n9 Q0 a 1 3 t\n")
    (tmp_path / "qrels").write_text("1 0 a 1\n2 0 a 1\n")
    files = (tmp_path / "run", "--qrels", tmp_path / "qrels", "--measures", "RR")
    result = leanseek("score", *files, "--drop-self-hits", "--per-query")
    assert result.exit_code == 0
    assert "warning: 1 query of the run without judgments left out, such as '9'" in result.stderr
    assert "warning" not in result.stdout
    assert re.search(r"^1 +1\.0000 *\n2 +0\.0000", result.stdout, re.MULTILINE)
    assert "0.2500" in leanseek("score", *files).stdout


def test_compare(dl19: Path, tmp_path: Path) -> None:
    runs = [dl19 / "runs" / name for name in (BM25, "BM25_RM3_2ffea3.trec", SPLADE)]
    options = ("--qrels", dl19 / "qrels" / "test_full.tsv", "--measures", "nDCG@10", "--changed", 2)
    result = leanseek("compare", *runs, *options, "--queries", dl19 / "queries.jsonl")
    assert result.exit_code == 0
    assert re.search(
        r"^SPLADE\S+ +0\.7308 .* \+0\.2250 .*\+0\.83 +<0\.0001 .* 34/0/9", result.stdout, re.MULTILINE
    )
    assert "+0.8675  0.0663 → 0.9337  962179  when was the salvation army founded" in result.stdout
    assert "Holm-corrected over all 2 comparisons" in result.stdout
    assert "ties: as trec_eval" in result.stdout
    record = json.loads(leanseek("compare", *runs, *options, "--json").stdout)
    assert record["contrasts"][1]["interval"]["low"] == pytest.approx(0.145, abs=0.005)
    assert record["contrasts"][1]["changed"][0]["text"] is None
    assert record["contrasts"][1]["t_test_holm"] == 2 * record["contrasts"][1]["t_test"]
    assert (
        leanseek("compare", *runs, *options, "--json").stdout == json.dumps(record, ensure_ascii=False) + "\n"
    )


def test_a_narrow_terminal_cuts_no_number(dl19: Path) -> None:
    paths = [dl19 / "runs" / name for name in (BM25, SPLADE)]
    compared = compare([read_run(path) for path in paths], read_qrels(dl19 / "qrels" / "test_full.tsv"))
    shown = {}
    for width in (80, 200):
        out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        for table in measure_tables(compared, "nDCG@10", "95%", out):
            out.print(table)
        shown[width] = out.file.getvalue()
        assert max(map(len, shown[width].splitlines())) <= width
    assert "…" not in shown[80] + shown[200]
    numbers = [re.findall(r"[-+]?\d\.\d+|\d+/\d+/\d+", shown[width]) for width in (80, 200)]
    assert sorted(numbers[0]) == sorted(numbers[1]) != []


def test_runs_of_one_tag_go_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("1 0 a 1\n2 0 a 1\n")
    (tmp_path / "one.trec").write_text("1 Q0 a 1 2 t\n2 Q0 a 1 2 t\n")
    (tmp_path / "two.trec").write_text("1 Q0 b 1 2 t\n2 Q0 b 1 2 t\n")
    paths = [tmp_path / "one.trec", tmp_path / "two.trec"]
    record = json.loads(leanseek("compare", *paths, "--qrels", tmp_path / "qrels", "--json").stdout)
    assert record["runs"] == ["one.trec", "two.trec"]
    assert record["contrasts"][0]["effect"] is None
    assert leanseek("compare", *paths, "--qrels", tmp_path / "qrels").exit_code == 0


def test_faults_have_their_exit_codes(dl19: Path, tmp_path: Path) -> None:
    run, qrels = dl19 / "runs" / BM25, dl19 / "qrels" / "test_full.tsv"
    (tmp_path / "bad").write_text("1 Q0 a 1 nan t\n")
    for arguments, code, message in (
        (("score", qrels, "--qrels", run), 3, "are the two arguments swapped?"),
        (("score", run, "--qrels", run), 3, "are the two arguments swapped?"),
        (("score", tmp_path / "bad", "--qrels", qrels), 3, "bad:1: the score is nan"),
        (("score", tmp_path / "none", "--qrels", qrels), 3, "no such file"),
        (("score", run, "--qrels", qrels, "--measures", "nDGC@10"), 2, "known are nDCG"),
        (("score", run, "--qrels", qrels, "--provider", "me"), 2, "one of pytrec_eval, ranx"),
        (("compare", run, run, "--qrels", qrels), 2, "two runs are named"),
        (("compare", run, "--qrels", qrels), 2, "1 run to compare"),
        (
            ("compare", run, dl19 / "runs" / SPLADE, "--qrels", qrels, "--confidence", "95"),
            2,
            "must lie between 0 and 1",
        ),
    ):
        result = leanseek(*arguments)
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv[1:] = ['eval', 'compare', '--help']\n"
        "from leanseek.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'ir_measures', 'sklearn', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "first is the baseline" in " ".join(done.stdout.split())
    assert done.stderr.strip() == "[]"
