"""Scoring a file of answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rag.test_answer_scores import JUDGE, PASSAGES
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode, InputError, UsageError
from leanseek.eval import AnswerRecord, bootstrap, evaluate_answers, read_answers
from leanseek.rag.answer_scores import SUPPORTED

LINES: list[dict[str, Any]] = [
    {"id": "q1", "answer": "Statins lower cholesterol [1].", "context": PASSAGES, "reference": "cholesterol"},
    {"answer": "Aspirin cures colds. Men [3].", "context": PASSAGES, "reference": ["nothing", "men"]},
    {"id": 7, "answer": "", "context": PASSAGES},
    {"answer": "Statins [9].", "context": [], "reference": []},
    {"answer": "placebo", "reference": "A placebo!"},
]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_lines_are_read_with_the_names_that_others_give(tmp_path: Path) -> None:
    found = read_answers(written(tmp_path / "a.jsonl", LINES))
    assert found[0] == AnswerRecord("q1", LINES[0]["answer"], tuple(PASSAGES), ("cholesterol",))
    assert [one.id for one in found] == ["q1", "2", "7", "4", "5"]
    assert found[3].context == () and found[4].context is None
    foreign = [
        {
            "response": "a",
            "retrieved_contexts": [{"title": "T", "text": "x"}, "y"],
            "ground_truths": ["b", "c"],
        },
        {
            "answer": "a",
            "context": {"passages": [{"number": 1, "text": "x", "title": ""}]},
            "ground_truth": "b",
        },
        {"answer": "a", "context": "x"},
    ]
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(written(tmp_path / "b.jsonl", foreign).read_bytes()))
    one, two, three = read_answers(packed)
    assert (one.context, one.references) == (("T x", "y"), ("b", "c"))
    assert (two.context, two.references) == (("x",), ("b",))
    assert three.context == ("x",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"answer": "a"}\nnonsense', ":2: not JSON"),
        ('["a"]', ":1: not an object"),
        ('{"context": ["a"]}', ":1: no answer.*context"),
        ('{"answer": ["a"]}', ":1: no answer"),
        ('{"answer": "a", "context": 3}', "'context' must be"),
        ('{"answer": "a", "context": [3]}', "'context' must be"),
        ('{"answer": "a", "context": {"hits": []}}', "'context' must be"),
        ('{"answer": "a", "reference": 3}', "'reference' must be"),
        ('{"answer": "a", "id": [1]}', "'id' must be"),
        ('{"answer": "a", "id": 1}\n{"answer": "a", "id": "1"}', ":2: the id '1' is that of line 1"),
        ("\n\n", "no answers"),
    ],
)
def test_other_lines_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_answers(path)


def test_means_are_over_the_answers_that_a_measure_applies_to(tmp_path: Path) -> None:
    records = read_answers(written(tmp_path / "a.jsonl", LINES))
    report = evaluate_answers(records, judge=JUDGE, resamples=500, seed=4)
    fidelity = [1.0, 0.5, 0.0, 0.0]
    assert [one.fidelity for one in report.answers] == [*fidelity, None]
    quality = [0.5, 0.4, 1.0]
    assert [one.quality for one in report.answers] == [
        pytest.approx(0.5),
        pytest.approx(0.4),
        None,
        None,
        1.0,
    ]
    for measure, values in (("fidelity", fidelity), ("quality", quality)):
        mean = report.means[measure]
        assert mean.answers == len(values)
        assert mean.value == pytest.approx(float(np.mean(values)))
        [interval] = bootstrap(np.array(values)[:, None], seed=4, resamples=500)
        assert (mean.interval.low, mean.interval.high) == pytest.approx((interval.low, interval.high))
    assert [one.partition(": ")[2].partition(";")[0] for one in report.warnings] == ["1", "1", "1", "1", "2"]
    assert "[9]" in report.warnings[0]


def test_nothing_to_compare_with_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        evaluate_answers([AnswerRecord("1", "a")])
    with pytest.raises(UsageError, match="nothing to compare"):
        evaluate_answers([])
    with pytest.raises(UsageError, match="confidence"):
        evaluate_answers([AnswerRecord("1", "a", None, ("a",))], confidence=1.0)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", "answers", *arguments])


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl", [{"answer": "The cat.", "reference": "cat"}, {"answer": "x", "reference": "y"}]
    )
    found = invoke(str(path))
    assert found.exit_code == 0, found.output
    assert "quality  0.5000  0.0000 to 1.0000" in " ".join(found.stdout.split("\n")).replace("   ", "  ")
    assert "without a context" in found.stderr
    record = json.loads(invoke(str(path), "--json", "--seed", "1").stdout)
    assert (record["answers"], record["seed"], record["threshold"]) == (2, 1, SUPPORTED)
    assert record["means"]["quality"]["value"] == 0.5
    record = json.loads(invoke(str(path), "--json", "--per-answer").stdout)
    assert [one["quality"] for one in record["per_answer"]] == [1.0, 0.0]
    assert "1.0000" in invoke(str(path), "--per-answer").stdout


def test_the_command_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    assert invoke(str(tmp_path / "absent.jsonl")).exit_code == ExitCode.INPUT
    path = written(tmp_path / "a.jsonl", [{"answer": "a", "reference": "a"}])
    assert invoke(str(path), "--threshold", "2").exit_code == ExitCode.USAGE
    assert invoke(str(written(tmp_path / "b.jsonl", [{"answer": "a"}]))).exit_code == ExitCode.USAGE
