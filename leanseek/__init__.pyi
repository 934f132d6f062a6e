__version__: str

from .encode.base import Encoder as Encoder
from .encode.registry import load_encoder as load_encoder
from .errors import IndexLockedError as IndexLockedError, LeanseekError as LeanseekError
from .eval.evaluation import evaluate as evaluate
from .indexing.dense.lean.lean_index import LeanVecIndex as LeanVecIndex
from .indexing.index import AddReport as AddReport, Index as Index
from .indexing.settings import LeanSettings as LeanSettings, SparseSettings as SparseSettings
from .indexing.verification import verify as verify
from .reading.queries import read_queries as read_queries
from .reading.sources import read as read
from .reading.streams import ReadReport as ReadReport
from .rerank.registry import load_reranker as load_reranker
from .searcher.context import Context as Context
from .searcher.fusion.registry import load_fusion as load_fusion
from .searcher.relevance.model import RelevanceModel as RelevanceModel, load_relevance as load_relevance
from .searcher.searcher import Searcher as Searcher
from .searcher.second_stage import RerankDepth as RerankDepth
from .text.chunking import Chunking as Chunking
from .types import Answer as Answer, Document as Document, Explanation as Explanation, Hit as Hit, Passage as Passage, Query as Query, Ranked as Ranked, Snippet as Snippet
