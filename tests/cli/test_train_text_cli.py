"""`leanseek train distil` and `leanseek train pretrain` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import make_documents
from typer.testing import CliRunner

from leanseek.cli import app

pytest.importorskip("accelerate")


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Two files of documents that differ."""
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for seed, file in enumerate(files):
        lines = (f"{document.text} {document.id}" for document in make_documents(150, seed))
        file.write_text(
            "".join(json.dumps({"id": str(at), "text": text}) + "\n" for at, text in enumerate(lines))
        )
    return files


def run(*words: object, command: str = "distil") -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["train", command, *map(str, words)])
    return found.exit_code, found.stdout, found.stderr


def test_a_dry_run_says_what_would_be_done_and_does_nothing(texts: list[Path], tmp_path: Path) -> None:
    options = ("--out", tmp_path / "small", "--dry-run")
    code, printed, _ = run("--texts", *texts, *options, "--limit", "200", "--batch", "10")
    assert code == 0 and "190 texts to learn from, 10 held out" in printed
    assert "19 steps of 10 texts of up to 64 tokens" in printed and "nothing was done" in printed
    code, printed, _ = run("--texts", texts[0], "--texts", texts[1], *options, "--json", "--epochs", "2")
    plan = json.loads(printed)
    assert code == 0 and plan["documents"] == 300 and plan["recipe"]["layers"] == 3
    assert sorted(tmp_path.iterdir()) == texts


def test_a_student_is_made_and_can_be_used(texts: list[Path], tmp_path: Path) -> None:
    from leanseek.encode import load_encoder

    small = tmp_path / "small"
    options = ("--limit", "100", "--batch", "8", "--epochs", "0.2", "--max-tokens", "16", "--layers", "1")
    code, printed, _ = run("--texts", texts[0], "--out", small, *options, "--device", "cpu")
    assert code == 0 and "1 of 6 layers of sentence-transformers/all-MiniLM-L6-v2, from 95 texts" in printed
    assert "2 steps; loss on the held-out texts" in printed and f"--encoder {small}" in printed
    assert load_encoder(str(small), "cpu").encode_queries(["which"]).vectors.shape == (1, 384)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--teacher", "no/such/model"), 5, "was not found"),
        (("--layers", "0"), 2, "at least 1"),
        (("--layers", "6"), 2, "has 6; give fewer"),
        (("--limit", "9"), 2, "at least 100"),
        (("--max-tokens", "3"), 2, "more than 15"),
        (("nowhere.jsonl",), 3, "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_is_told(
    texts: list[Path], tmp_path: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    found = run("--texts", texts[0], "--out", tmp_path / "small", *options)
    assert found[0] == code and told in found[2]
    assert sorted(tmp_path.iterdir()) == texts


def test_a_re_ranker_is_prepared_from_texts(texts: list[Path], tmp_path: Path) -> None:
    base, words = (
        tmp_path / "base",
        "statins lower cholesterol block enzymes of liver cause muscle pain often".split(),
    )
    for seed, file in enumerate(texts):
        lines = [
            " ".join([*words[at % 3 :], chr(97 + at % 26) * 3, chr(97 + at // 26 + seed * 7) * 2])
            for at in range(150)
        ]
        file.write_text(
            "".join(json.dumps({"id": str(at), "text": text}) + "\n" for at, text in enumerate(lines))
        )
    options = ("--texts", *texts, "--out", base, "--limit", "120", "--pairs", "1", "--batch", "40")
    code, printed, _ = run(*options, "--dry-run", command="pretrain")
    assert code == 0 and "114 texts to learn from, 6 held out" in printed
    assert "3 steps at most, of 40 pairs" in printed and sorted(tmp_path.iterdir()) == texts
    short = ("--max-tokens", "32", "--method", "prop", "--device", "cpu")
    code, printed, told = run(*options, *short, command="pretrain")
    assert code == 0, told
    assert "of word sets of 114 texts (prop)" in printed and f"--base {base}" in printed
    assert json.loads((base / "training.json").read_text())["recipe"]["pairs"] == 1


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--base", "no/such/model"), 5, "was not found"),
        (("--pairs", "0"), 2, "give at least 1"),
        (("--method", "other"), 2, "is not one of"),
        (("--limit", "9"), 2, "at least 100"),
    ],
)
def test_what_cannot_be_prepared_is_told(
    texts: list[Path], tmp_path: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    found = run("--texts", texts[0], "--out", tmp_path / "base", *options, command="pretrain")
    assert found[0] == code and told in found[2]
    assert sorted(tmp_path.iterdir()) == texts
