"""Lucene's BM25 as a sparse back end: an index in memory, in a Java machine inside this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.base import Candidates, CheckedSearch, SparseQuery, text_of
from leanseek.indexing.sparse.java import check_java, java_class, java_thread
from leanseek.indexing.sparse.parameters import Bm25Parameters, Bm25Variant
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array

_TEXT, _ROW = "contents", "row"
_FIELD = "(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V"
_ANY_LENGTH = 1 << 20
_ANY_NUMBER = (1 << 31) - 1


class LuceneIndex(CheckedSearch):
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
        super().__init__(size, len(ordinals), analyzer)
        self._ordinals = ordinals
        self._rows = np.full(size, -1, np.int64)
        self._rows[ordinals] = np.arange(len(ordinals))
        self._own_terms = None if analyzer.spec.split(";")[0] == "lucene" else analyzer
        with java_thread():
            self._java = self._java_analyzer(analyzer.spec)
            self._similarity = java_class("org.apache.lucene.search.similarities.BM25Similarity")(
                float(parameters.k1), float(parameters.b)
            )
            java_class("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(_ANY_NUMBER)
            self._searcher = self._build(texts)
            self._hits = java_class("io.anserini.search.ScoredDocs")
            self._queries = java_class("io.anserini.search.query.BagOfWordsQueryGenerator")()

    def _search(self, query: SparseQuery, k: int, allowed: BoolArray | None) -> Candidates:
        rows = None if allowed is None else np.flatnonzero(allowed[self._ordinals])
        return self._best(query, k, rows)

    def score(self, query: SparseQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages; 0 without a shared term, and for deleted ones."""
        scores = np.zeros(self.size, np.float32)
        rows = np.unique(self._rows[ordinals])
        found = self._best(query, len(ordinals), rows[rows >= 0])
        scores[found.ordinals] = found.scores
        return scores[ordinals]

    def _frequencies(self, terms: list[str]) -> list[int]:
        with java_thread():
            reader = self._searcher.getIndexReader()
            term = java_class("org.apache.lucene.index.Term")
            return [int(reader.docFreq(term(_TEXT, token))) for token in terms]

    def _best(self, query: SparseQuery, k: int, rows: Int64Array | None) -> Candidates:
        """The best k among all passages, or among `rows`."""
        k = min(k, len(self._ordinals) if rows is None else len(rows))
        if k == 0:
            return Candidates(np.empty(0, np.float32), np.empty(0, np.int64))
        with java_thread():
            wanted = self._queries.buildQuery(_TEXT, self._java, self._prepared(text_of(query)))
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

        configuration = java_class("org.apache.lucene.index.IndexWriterConfig")(self._java)
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
