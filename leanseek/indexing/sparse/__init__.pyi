from .base import Candidates as Candidates, SparseIndex as SparseIndex
from .bm25 import Bm25Index as Bm25Index
from .builder import SparseBuilder as SparseBuilder, merge_sparse as merge_sparse
from .kernel import kernel_name as kernel_name
from .parameters import Bm25Parameters as Bm25Parameters, Bm25Variant as Bm25Variant
from .postings import PostingsReader as PostingsReader
from .registry import check_sparse as check_sparse, open_sparse as open_sparse
