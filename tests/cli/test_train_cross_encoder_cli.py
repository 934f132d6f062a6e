"""`leanseek train cross-encoder`, from a small collection to a model that re-ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import write_collection
from typer.testing import CliRunner

from leanseek.cli import app

pytest.importorskip("accelerate")

ANIMALS = ("cat", "dog", "fish", "bird", "horse", "cow", "pig", "goat", "duck", "frog", "bear", "wolf")
DOES = ("eats", "sleeps")


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    pairs = [(animal, does) for animal in ANIMALS for does in DOES]
    return write_collection(
        tmp_path / "animals",
        {f"{animal}-{does}": f"The {animal} {does} in the yard." for animal, does in pairs},
        {f"q-{animal}-{does}": f"which {animal} {does}" for animal, does in pairs},
        {f"q-{animal}-{does}": [f"{animal}-{does}"] for animal, does in pairs},
        "train",
    )


def train(animals: Path, out: Path, *more: str) -> tuple[int, str, str]:
    runner = CliRunner()
    found = runner.invoke(
        app,
        [
            "train",
            "cross-encoder",
            str(animals),
            "--out",
            str(out),
            "--work",
            str(out.parent / "work"),
            *more,
        ],
    )
    return found.exit_code, found.stdout, found.stderr


def test_a_dry_run_says_what_would_be_done_and_does_nothing(animals: Path, tmp_path: Path) -> None:
    code, printed, _ = train(animals, tmp_path / "model", "--dry-run", "--batch", "4", "--negatives", "3")
    assert code == 0 and "animals:train: up to 24 queries" in printed
    assert "6 steps of 4 queries with 4 passages each" in printed and "nothing was done" in printed
    assert list(tmp_path.iterdir()) == [animals]


def test_it_trains_says_how_it_went_and_the_model_re_ranks(animals: Path, tmp_path: Path) -> None:
    from leanseek.rerank import load_reranker
    from leanseek.types import Hit

    out = tmp_path / "model"
    code, printed, _ = train(animals, out, "--negatives", "3", "--batch", "4", "--epochs", "4", "--json")
    assert code == 0, printed
    report = json.loads(printed)
    assert report["after"] <= report["before"]
    assert report["sources"][0]["queries"] == 24 and report["sources"][0]["held_out"] == 2
    assert json.loads((out / "training.json").read_text())["recipe"]["seed"] == 0
    assert not list(tmp_path.glob("model.*"))
    reranker = load_reranker(f"cross-encoder:torch:{out}", device="cpu")
    hits = [
        Hit(rank, name, 1.0 - rank / 10, "", f"The {name} eats in the yard.", {})
        for rank, name in enumerate(("wolf", "duck", "cat"), 1)
    ]
    best = reranker.rerank("which cat eats", hits)
    assert best[0].id == "cat"
    # What it learned comes with probabilities, fitted on the two queries held out with their three others each.
    assert report["calibration"]["pairs"] == 8 and report["calibration"]["slope"] > 0
    assert 1 > best[0].probability > best[1].probability > 0


def test_too_few_queries_and_a_folder_in_the_way_are_told(animals: Path, tmp_path: Path) -> None:
    qrels = animals / "qrels" / "train.tsv"
    qrels.write_text("".join(qrels.read_text().splitlines(keepends=True)[:6]))
    code, _, told = train(animals, tmp_path / "model")
    assert code == 2 and "needs at least 20" in told
    (tmp_path / "mine").mkdir()
    code, _, told = train(animals, tmp_path / "mine")
    assert code == 2 and "holds no model trained here" in told and (tmp_path / "mine").is_dir()


def test_every_fresh_part_of_a_grown_model_learns_fast() -> None:
    import re

    from sentence_transformers.cross_encoder.losses import ListNetLoss

    from leanseek.train.crossencoder.recipe import FRESH, Recipe, untrained

    model = untrained(Recipe())
    names = [name for name, weights in ListNetLoss(model).named_parameters() if weights.requires_grad]
    fresh = {name for name in names if re.search(FRESH, name)}
    assert {name.split(".")[-2] for name in fresh} == {"linear", "segment", "importance"}
    assert all(".joint." in name for name in set(names) - fresh)


def test_a_trained_model_is_trained_on(animals: Path, tmp_path: Path) -> None:
    options = ("--negatives", "3", "--batch", "4", "--epochs", "2", "--json")
    code, printed, _ = train(animals, tmp_path / "first", *options)
    assert code == 0, printed
    first = json.loads(printed)
    code, printed, _ = train(
        animals, tmp_path / "second", *options, "--base", str(tmp_path / "first"), "--seed", "0"
    )
    assert code == 0, printed
    assert json.loads(printed)["before"] == pytest.approx(first["after"], abs=1e-4)
