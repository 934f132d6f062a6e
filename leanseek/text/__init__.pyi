from .analyzer import Analyzer as Analyzer, Span as Span
from .chunking import Chunk as Chunk, Chunking as Chunking
from .registry import analyzer_names as analyzer_names, load_analyzer as load_analyzer
