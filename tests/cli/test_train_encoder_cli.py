"""`leanseek train encoder` and `train sparse-encoder` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import write_collection
from typer.testing import CliRunner

from leanseek.cli import app

pytest.importorskip("accelerate")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    names = [
        f"{colour} {pet}" for colour in ("black", "white", "brown", "grey") for pet in ("cat", "dog", "hen")
    ]
    return write_collection(
        tmp_path / "pets",
        {name: f"The {name} sleeps." for name in names},
        {name: f"which {name}" for name in names},
        {name: [name] for name in names},
        "train",
    )


def run(*words: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["train", *map(str, words)])
    return found.exit_code, found.stdout, found.stderr


def test_a_dry_run_says_what_would_be_done_and_does_nothing(pets: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "model", "--work", tmp_path / "work", "--dry-run", "--epochs", "4")
    code, printed, _ = run("encoder", pets, *options)
    assert code == 0
    assert "pets:train: up to 12 queries" in printed and "3 steps of 16 queries" in printed
    assert "taught by interpolated:cross-encoder" in printed
    code, printed, _ = run("sparse-encoder", pets, *options, "--loss", "infonce", "--json")
    assert code == 0 and json.loads(printed)["steps"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--teacher", "nothing"), 2, "'nothing' is not a re-ranker"),
        (("--base", "no/such/model"), 5, "was not found"),
        (("--negatives", "0"), 2, "at least 1"),
        (("--loss", "infonce"), 2, "needs at least 20"),
        (("--mix", "2"), 2, "at most 1"),
    ],
)
def test_what_cannot_be_is_told(
    pets: Path, tmp_path: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    found = run("encoder", pets, "--out", tmp_path / "model", "--work", tmp_path / "work", *options)
    assert found[0] == code and told in found[2]
    assert not (tmp_path / "model").exists()
