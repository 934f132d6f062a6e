"""What the documents show runs: every block of Python and every command, but for those of `NOT_RUN`.

The blocks of a page run one after another, in a folder where the files stand that they name.
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from leanseek import Index, Searcher, read, read_queries
from leanseek.cli import app
from leanseek.reading import read_qrels

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ENCODER = "onnx:sentence-transformers/all-MiniLM-L6-v2"
DOCUMENTS = 260
"""Of Cranfield: few, so that it is fast, and enough that some of its queries are answered."""

NOT_RUN = {
    "Qwen/": "the model would have to be downloaded",
    "ReLiK": "the model would have to be downloaded",
    "MODEL": "any model of the reader's own",
    "scifact.cluster": "a collection of the reader's own in shards; tests/cluster/test_evaluated_cluster.py",
    "s3://": "an object store of the reader's own; tests/cluster",
    "rag import Trigger": "tests/rag calls it with what a language model gives",
    "rag import fidelity": "tests/rag calls them with what a language model gives",
    "write_answer": "tests/rag calls them with what a language model gives",
    "eval answers": "tests/eval/test_answer_report.py writes such files",
    "FILE": "any file of the reader's own",
    "--html --explain": "needs results that were re-ranked in context; tests/eval/reports",
    "--relearn": "too few vectors here; tests/indexing/dense/lean",
    "FOLDER": "any folder of the reader's own",
    "LARGE": "any model of the reader's own",
    "SMALL": "any model of the reader's own",
    "COLLECTION": "any collections of the reader's own",
    "…": "shortened",
    "pip install": "the environment is not the test's to change",
    "leanseek serve": "runs until it is interrupted; tests/serve starts it",
    "leanseek mcp": "runs until it is interrupted; tests/serve starts it",
    "--watch": "runs until it is interrupted; tests/cli/test_sync.py",
    "eval reproduce": "minutes; tests/eval",
    "leaderboard": "minutes; tests/eval",
    "train cross-encoder": "most of an hour",
    "train encoder": "minutes; tests/train",
    "train_encoder": "minutes; tests/train",
    "train sparse-encoder": "minutes; tests/train",
    "train pooling": "minutes; tests/train",
    "train_pooling": "minutes; tests/train",
    "decoder:": "minutes; tests/encode",
    "train distil": "minutes; tests/train",
    "import DistilRecipe": "minutes; tests/train",
    "train temperature": "a minute for each temperature; tests/train",
    "my-": "what the trainings above would have made",
    "train heads": "minutes; tests/train",
    "in-context": "minutes; tests/rerank/incontext",
    "bm25.trec": "a run of the reader's own; tests/eval",
    "reranker.rerank(": "a model of the reader's own; tests/rerank",
    "InContextReranker": "minutes; tests/rerank/incontext",
    "yaer = 2019": "shown for its error",
    'year = "2019"': "shown for its error",
    "eval collections  ": "what the reader has downloaded",
    "nfcorpus-prep": "trains on collections of the benchmarks",
    "openai": "tests/serve drives it with openai's client",
    "Client(": "tests/serve drives a server with it",
    "leanseek.integrations": "tests/integrations runs the examples with the frameworks and evaluators",
    "load_decoder": "seconds of a decoder for each line; tests/decode",
}
"""What a block or a command contains that is not run here, and why."""

GIVEN = {
    "INDEX": "my.index",
    "QUERIES": "queries.jsonl",
    "QRELS": "qrels.tsv",
    "RUN RUN": "run.trec other.trec",
    "BASELINE": "baseline.trec",
    "RUN": "run.trec",
}
"""Files of the prepared folder for the words that stand for the reader's own."""

COMMANDS = set(get_command(app).commands)  # type: ignore[attr-defined]
COMMAND = re.compile(r"^(?: {4})?(?:\$ )?leanseek ((?:[^\n\\]|\\\n)+)", re.MULTILINE)
CODE = re.compile(r"^```(\w*)\n(.*?)^```$|^((?: {4}.*\n|\n(?= {4}))+)", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The code of a page in its order, each with its language; that of an indented block is "sh"."""
    for fenced in CODE.finditer(page.read_text("utf-8")):
        language, text, indented = fenced.groups()
        yield (
            (language, text)
            if text is not None
            else ("sh", re.sub("^ {4}", "", indented, flags=re.MULTILINE))
        )


def commands(text: str) -> Iterator[str]:
    """The calls of leanseek in a block, without comments and continued lines joined."""
    for call in COMMAND.findall(text):
        if call.split()[0] in COMMANDS:
            line = re.sub(r"\s{2,}#.*$", "", call.replace("\\\n", " ")).strip()
            yield re.sub("|".join(rf"\b{word}\b" for word in GIVEN), lambda word: GIVEN[word[0]], line)


def reason(text: str) -> str | None:
    """Why a block or a command is not run; None where it is."""
    return next((why for mark, why in NOT_RUN.items() if mark in text), None)


@pytest.fixture(scope="module")
def prepared(collection: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents name: documents, queries, judgments, a run, indexes."""
    folder = tmp_path_factory.mktemp("documented")
    cranfield = collection("cranfield")
    source = [json.loads(line) for line in (cranfield / "corpus.jsonl").open()][:DOCUMENTS]
    known = {one["_id"] for one in source}
    ours = [
        {
            "_id": "doc1",
            "title": "Statins",
            "text": "Statins lower cholesterol and prevent heart attacks.",
            "year": 2016,
        },
        {
            "_id": "doc2",
            "title": "Aspirin",
            "text": "Aspirin thins the blood; its use is debated.",
            "year": 2019,
        },
        {
            "_id": "doc3",
            "title": "Wing loads",
            "text": "Loads on a wing rise with the square of the speed.",
            "year": 1958,
        },
    ]
    rows = ours + [{**one, "year": 1940 + number % 80, "lang": "en"} for number, one in enumerate(source)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    judged = [line.split("\t") for line in (cranfield / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    judged = [row for row in judged if row[1] in known and int(row[2]) > 0]
    texts = {query.id: query.text for query in read_queries(cranfield)}
    queries = "".join(
        json.dumps({"_id": key, "text": texts[key]}) + "\n" for key in dict.fromkeys(row[0] for row in judged)
    )
    qrels = "query-id\tcorpus-id\tscore\n" + "".join("\t".join(row) + "\n" for row in judged)
    scifact = folder / "scifact"
    (scifact / "qrels").mkdir(parents=True)
    for name, text in {"corpus.jsonl": lines, "queries.jsonl": queries}.items():
        (scifact / name).write_text(text)
        (folder / name).write_text(text)
    for split in ("train", "test"):
        (scifact / "qrels" / f"{split}.tsv").write_text(qrels)
    (folder / "qrels.tsv").write_text(qrels)
    for name in ("more.jsonl", "docs.jsonl", "papers.jsonl"):
        (folder / name).write_text(lines.replace('"_id": "', f'"_id": "{name}-'))
    with gzip.open(folder / "more.jsonl.gz", "wt") as packed:
        packed.write((folder / "more.jsonl").read_text())
    for name in ("docs", "notes", "papers", "mixed"):
        (folder / name).mkdir()
        text = "---\nlang: en\nyear: 2019\n---\n# Statins\n\nStatins lower cholesterol.\n"
        (folder / name / "first.md").write_text(text)
        (folder / name / "second.txt").write_text("Ein Satz über Herzen.\n")
    index = Index.create(folder / "my.index", encoder=ENCODER)
    index.add(read(folder / "corpus.jsonl"))
    index.close()
    for name in ("papers.index", "demo.index"):
        shutil.copytree(folder / "my.index", folder / name)
    asked = list(read_queries(folder / "queries.jsonl"))
    for name in ("queries.tsv", "my-queries.tsv"):
        (folder / name).write_text("".join(f"{query.id}\t{query.text}\n" for query in asked))
    with Searcher.open(folder / "my.index", mode="sparse") as searcher:
        ranked = searcher.rank_batch([query.text for query in asked], 20)
    for name in ("run", "other", "baseline"):
        (folder / f"{name}.trec").write_text(
            "".join(
                f"{query.id} Q0 {one.id} {place} {one.score} {name}\n"
                for query, found in zip(asked, ranked, strict=True)
                for place, one in enumerate(found, 1)
            )
        )
    return folder


def variables(folder: Path) -> dict[str, Any]:
    """What the blocks of Python take as given."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((600, 32)).astype(np.float32)
    return {
        "queries": list(read_queries(folder / "queries.jsonl")),
        "qrels": read_qrels(folder / "qrels.tsv"),
        "vectors": vectors,
        "query_vectors": vectors[200:210],
        "searcher": Searcher.open(folder / "demo.index"),
        "text": "A report on loads. " * 400,
        "learning_queries": vectors[:200] + np.float32(0.1),
        "allowed": np.ones(600, np.bool_),
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(
    page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(prepared, folder)
    text = page.read_text("utf-8")
    if re.search(r'Index\.create\(\s*"papers.index"', text):
        shutil.rmtree(folder / "papers.index")  # made by the page
    monkeypatch.chdir(folder)
    given = variables(folder)
    failures = []
    for language, block in blocks(page):
        if language == "python" and reason(block) is None:
            try:
                exec(compile(block, str(page), "exec"), given)
            except Exception as error:
                failures.append(f"{block}\n-> {type(error).__name__}: {error}")
        elif language in ("", "sh"):
            for command in filter(lambda one: reason(f"leanseek {one}") is None, commands(block)):
                words = shlex.split(command)
                into = words[words.index("--into") + 1] if words[0] == "index" else ""
                if into:
                    shutil.rmtree(folder / into, ignore_errors=True)
                done = CliRunner().invoke(app, words)
                if into == "my.index":
                    # Later commands ask for what the prepared documents have.
                    shutil.rmtree(folder / into)
                    shutil.copytree(prepared / into, folder / into)
                if done.exit_code:
                    failures.append(
                        f"leanseek {command}\n-> exit code {done.exit_code}: {done.output[-600:]}"
                    )
    assert not failures, "\n\n".join(failures)
