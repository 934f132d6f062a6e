"""Sparse (lexical) search: BM25 over memory-mapped postings, and other projects' BM25 beside it, Lucene's too."""

from leanseek.indexing.sparse.base import Candidates, SparseIndex
from leanseek.indexing.sparse.bm25 import Bm25Index
from leanseek.indexing.sparse.builder import SparseBuilder
from leanseek.indexing.sparse.kernel import kernel_name
from leanseek.indexing.sparse.merging import merge_sparse
from leanseek.indexing.sparse.opening import check_sparse, open_sparse
from leanseek.indexing.sparse.parameters import Bm25Parameters, Bm25Variant
from leanseek.indexing.sparse.reader import PostingsReader

__all__ = [
    "Bm25Index",
    "Bm25Parameters",
    "Bm25Variant",
    "Candidates",
    "PostingsReader",
    "SparseBuilder",
    "SparseIndex",
    "check_sparse",
    "kernel_name",
    "merge_sparse",
    "open_sparse",
]
