"""Re-rankers in context by their names: which model, which prompt, which heads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rerank.incontext_support import decoder, passages, slow_scores, tokenizer
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode, InputError, ModelError, UsageError
from leanseek.rerank import InContextReranker, RerankOptions, load_reranker
from leanseek.rerank.incontext import Head, HeadList, load
from leanseek.types import Hit

QUERY = "does a statin lower cholesterol?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "model"
    decoder().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("prefix", "kind"), [("", "IE"), ("ie:", "IE"), ("qa:", "QA")])
def test_the_name_chooses_the_prompt(model: Path, prefix: str, kind: str) -> None:
    judge = load(RerankOptions(f"{prefix}{model}"))
    texts = passages(4)
    assert judge.score(QUERY, texts) == pytest.approx(
        slow_scores(decoder(), tokenizer(), QUERY, texts, kind=kind), rel=1e-3
    )
    again = load_reranker(judge.name)
    assert (again.name, again.fingerprint) == (judge.name, judge.fingerprint)
    assert judge.name == f"in-context:{'qa:' if kind == 'QA' else ''}{model}"


def test_a_re_ranker_tells_the_prompt_that_it_was_made_with(model: Path) -> None:
    made = InContextReranker(model, "QA")
    assert made.name == f"in-context:qa:{model}"
    assert load_reranker(made.name).fingerprint == made.fingerprint


def test_a_list_of_heads_has_its_own_prompt(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    listed = HeadList(str(model), "", 3, 4, (Head(1, 3), Head(0, 2)), "contrastive", "test", "QA")
    path.write_text(listed.text(), encoding="utf-8")
    assert load(RerankOptions(f"qa:{path}")).fingerprint == load(RerankOptions(str(path))).fingerprint
    with pytest.raises(UsageError, match=r"found with the prompt QA, not IE; leave out 'ie:'"):
        load(RerankOptions(f"ie:{path}"))
    path.write_text(replace(listed, prompt="IE").text(), encoding="utf-8")
    assert load(RerankOptions(f"ie:{path}")).fingerprint == load(RerankOptions(str(path))).fingerprint
    with pytest.raises(UsageError, match="--prompt QA"):
        load(RerankOptions(f"qa:{path}"))
    with pytest.raises(InputError, match="no such list"):
        load(RerankOptions(f"qa:{tmp_path / 'absent.json'}"))


def test_other_prefixes_are_told_the_choices(model: Path) -> None:
    for name in (f"QA:{model}", f"ask:{model}", "onnx:Qwen/Qwen3-0.6B"):
        with pytest.raises(UsageError, match=r"in-context:ie:MODEL.*in-context:qa:MODEL"):
            load(RerankOptions(name))
    for nothing in ("", "qa:"):
        with pytest.raises(UsageError, match="names no decoder"):
            load(RerankOptions(nothing))
    with pytest.raises(ModelError):
        load(RerankOptions("C:\\models\\absent"))  # the letter of a drive is no prompt


def test_a_folder_may_have_a_colon_in_its_name(model: Path, tmp_path: Path) -> None:
    (tmp_path / "qa:tiny").symlink_to(model)
    found = load(RerankOptions(str(tmp_path / "qa:tiny")))
    assert found.fingerprint == load(RerankOptions(str(model))).fingerprint


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_search_run_and_eval_take_the_name(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"d{n}", "title": "", "text": f"{text} statin"} for n, text in enumerate(passages(6))
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "statin"}))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1")
    assert call("index", folder, "--into", tmp_path / "index", "--dense", "none").exit_code == 0
    by = ("--rerank", f"in-context:qa:{model}")
    plain = [
        json.loads(line)
        for line in call("search", tmp_path / "index", "statin", "--json").stdout.splitlines()
    ]
    hits = [Hit(one["rank"], one["id"], one["score"], "", one["text"], {}) for one in plain]
    expected = [hit.id for hit in InContextReranker(model, "QA").rerank("statin", hits)]
    assert len(expected) == 6 and expected != [
        hit.id for hit in InContextReranker(model).rerank("statin", hits)
    ]

    found = call("search", tmp_path / "index", "statin", "--json", *by)
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == expected
    run = tmp_path / "run.trec"
    call("run", tmp_path / "index", folder / "queries.jsonl", "--out", run, *by)
    assert [line.split()[2] for line in run.read_text().splitlines()] == expected
    done = call(
        "eval", "collection", folder, "--mode", "sparse", "--out", tmp_path / "out", "--json", *by, "-k", "6"
    )
    record = json.loads(done.stdout)
    assert record["settings"]["rerank"]["names"] == [f"in-context:qa:{model}"]
    stored = (Path(record["folder"]) / "run.trec").read_text().splitlines()
    assert [line.split()[2] for line in stored] == expected

    for command in (("search", tmp_path / "index", "statin"), ("eval", "collection", folder)):
        wrong = call(*command, "--rerank", f"in-context:ask:{model}")
        assert wrong.exit_code == ExitCode.USAGE and "in-context:qa:MODEL" in wrong.stderr
