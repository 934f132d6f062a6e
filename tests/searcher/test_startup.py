"""What a search imports: the time until the first answer is mostly that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from leanseek import Document, Index

NOT_NEEDED = (
    "asyncio",
    "difflib",
    "leanseek.encode.learned_registry",
    "leanseek.indexing.document_expansion",
    "leanseek.indexing.learning_queries",
    "leanseek.indexing.source_records",
    "leanseek.reading.sources",
    "leanseek.text.sentences",
    "numpy.ma",
    "statistics",
)
SEARCH = """
import json, sys
from leanseek import Searcher
found = [hit.id for hit in Searcher.open(sys.argv[1]).search("pumps and wings")]
print(json.dumps([found, sorted(sys.modules)]))
"""


def test_a_search_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    texts = ("wings in a wind tunnel", "pumps", "a pump and its wings")
    index = Index.create(tmp_path / "i", encoder=None)
    index.add(Document(str(number), text) for number, text in enumerate(texts))
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(tmp_path / "i")], capture_output=True, text=True, check=True
    )
    found, modules = json.loads(done.stdout)
    assert sorted(found) == ["0", "1", "2"]
    assert set(modules).isdisjoint(NOT_NEEDED)
