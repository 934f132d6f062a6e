from .analyzer import Analyzer as Analyzer
from .analyzer import Span as Span
from .chunking import Chunk as Chunk
from .chunking import Chunking as Chunking
from .registry import analyzer_names as analyzer_names
from .registry import load_analyzer as load_analyzer
