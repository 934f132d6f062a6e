"""Lucene as a back end, beside ours with rounded lengths. Needs Pyserini and Java."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek import Document, Index, Searcher, SparseSettings
from leanseek.errors import UsageError
from leanseek.indexing.sparse import Bm25Parameters, Bm25Variant, check_sparse
from leanseek.indexing.sparse.java import requirements
from leanseek.indexing.sparse.lucene import LuceneIndex
from leanseek.text import load_analyzer

java, absent, complaint = requirements()
pytestmark = pytest.mark.skipif(
    java is None or bool(absent), reason=f"the back end lucene needs {', '.join(absent)} {complaint}".strip()
)


def index_of(texts: list[str], analyzer: str = "lucene") -> LuceneIndex:
    return LuceneIndex(texts, np.arange(len(texts)), len(texts), load_analyzer(analyzer), Bm25Parameters())


@pytest.mark.parametrize("analyzer", ["lucene", "lucene;stopwords=none", "english", "simple"])
def test_scores_are_ours_with_rounded_lengths(
    analyzer: str, collection: Callable[[str], Path], texts: Any, tmp_path: Path
) -> None:
    from leanseek.reading import read

    documents = list(read(str(collection("cisi"))))
    searchers = []
    for backend in ("lucene", "bm25"):
        wish = SparseSettings(backend, analyzer, lossy_lengths=True)
        index = Index.create(tmp_path / backend, encoder=None, sparse=wish)
        for start in range(0, len(documents), 500):
            index.add(documents[start : start + 500])
        index.delete([document.id for document in documents[::9]])
        searchers.append(Searcher.open(tmp_path / backend))
    queries = texts("cisi", queries=25).queries
    for theirs, ours in zip(*(searcher.rank_batch(queries, 1000) for searcher in searchers), strict=True):
        assert len(theirs) == len(ours) > 0
        np.testing.assert_allclose([h.score for h in theirs], [h.score for h in ours], rtol=2e-6, atol=2e-6)
        assert {h.id for h in theirs[:100]} == {h.id for h in ours[:100]}


def test_masks_scores_and_ties() -> None:
    index = index_of(["cat", "dog dog", "cat dog", "", "cat", "the"])
    assert index.search("cats", 9).ordinals.tolist() == [0, 4, 2]
    assert index.search("cats", 1).ordinals.tolist() == [0]
    allowed = np.array([False, True, True, True, True, False])
    assert index.search("cat", 9, allowed).ordinals.tolist() == [4, 2]
    assert index.search("cat", 9, np.zeros(6, np.bool_)).ordinals.tolist() == []
    found = index.search("cat dog dog", 9)
    scores = index.score("cat dog dog", np.array([5, 2, 2, 3, 0, 1, 4]))
    assert scores[[0, 3]].tolist() == [0, 0]
    assert dict(zip(found.ordinals, found.scores, strict=True)) == {
        2: scores[1],
        0: scores[4],
        1: scores[5],
        4: scores[6],
    }
    assert [len(each.ordinals) for each in index.search_batch(["cat", "", "the", "zebra"], 2)] == [2, 0, 0, 0]
    assert index.search("cat", 0).ordinals.tolist() == []
    with pytest.raises(UsageError, match="k is -1"):
        index.search("cat", -1)
    with pytest.raises(UsageError, match=r"\(2,\)"):
        index.search("cat", 1, np.ones(2, np.bool_))


def test_deleted_passages_have_no_score() -> None:
    index = LuceneIndex(["cat", "cat"], np.array([2, 0]), 4, load_analyzer("lucene"), Bm25Parameters())
    assert index.size == 4
    assert index.search("cat", 9).ordinals.tolist() == [2, 0]
    assert index.score("cat", np.array([0, 1, 2, 3]))[[1, 3]].tolist() == [0, 0]


def test_hard_texts() -> None:
    for texts in ([], [""], ["! ?"]):
        assert index_of(texts).search("word", 3).ordinals.tolist() == []
        assert index_of(texts).score("word", np.arange(len(texts))).tolist() == [0] * len(texts)
    many = " ".join(f"w{n}" for n in range(5000))
    for analyzer in ("lucene", "simple"):
        index = index_of([many, "a\x00nul \ud800 lone", "𝒳 🙂 東京", "x" * 300], analyzer)
        assert index.search(many, 3).ordinals.tolist() == [0]
        assert index.search("nul \udfff", 3).ordinals.tolist() == [1]
        assert index.search("京 東京", 3).ordinals.tolist() == [2]
        assert index.search("x" * 255, 3).ordinals.tolist() == [3]


def test_only_its_own_variant() -> None:
    check_sparse(SparseSettings("lucene"))
    with pytest.raises(
        UsageError, match=r"the variant lucene, not bm25plus\. For the others take the back end bm25"
    ):
        check_sparse(SparseSettings("lucene", variant=Bm25Variant.BM25PLUS.value))


def test_threads_agree() -> None:
    index = index_of([f"w{n % 7} w{n % 11} w{n % 13}" for n in range(500)])
    queries = [f"w{n % 13} w{n % 5}" for n in range(60)]
    expected = [index.search(query, 20).ordinals.tolist() for query in queries]
    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            assert [c.ordinals.tolist() for c in pool.map(lambda q: index.search(q, 20), queries)] == expected


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("OPENAI_API_KEY", "JAVA_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_starts_in_silence_and_without_credentials(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None, sparse=SparseSettings("lucene", "lucene"))
    index.add([Document("a", "running cats"), Document("b", "dogs")])
    code = f"""if True:
        import os, sys
        from leanseek import Searcher
        with Searcher.open({str(tmp_path / "index")!r}) as searcher:
            print([hit.id for hit in searcher.search("cat runs")])
        print(os.environ["JAVA_HOME"], "OPENAI_API_KEY" in os.environ, "pyserini" in sys.modules)
    """
    process = start(code, JAVA_HOME="/nowhere", HTTPS_PROXY="http://127.0.0.1:1")
    assert process.communicate(timeout=120) == ("['a']\n/nowhere False False\n", "")


def test_java_leaves_the_main_thread_the_stack_that_linear_algebra_needs() -> None:
    code = """if True:
        from leanseek.indexing.sparse.java import java_class
        java_class("java.lang.String")
        import numpy as np
        matrix = np.random.default_rng(0).normal(size=(600, 600))
        print(np.linalg.solve(matrix @ matrix.T + np.eye(600), matrix).shape)
    """
    process = start(code, OPENBLAS_NUM_THREADS="2")
    assert process.communicate(timeout=120) == ("(600, 600)\n", "") and process.returncode == 0


def test_interrupts_stay_with_python() -> None:
    code = """if True:
        import time
        from leanseek.indexing.sparse.java import java_class
        java_class("org.apache.lucene.util.Version")
        try:
            print("started", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
    """
    process = start(code)
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n" and process.returncode == 0


@pytest.mark.parametrize(
    ("name", "expected", "margin"), [("scifact", 0.6789, 0.0002), ("cisi", 0.3644, 0.0002)]
)
def test_ndcg(
    name: str, expected: float, margin: float, collection: Callable[[str], Path], ndcg: Any
) -> None:
    """SciFact's is Anserini's published figure."""
    assert ndcg(collection(name), SparseSettings("lucene", "lucene")) == pytest.approx(expected, abs=margin)
