from .base import Encoded as Encoded, Encoder as Encoder
from .cache import VectorCache as VectorCache
from .corpus import TruncationReport as TruncationReport, encode_corpus as encode_corpus
from .models import DEFAULT_MODEL as DEFAULT_MODEL, ResolvedModel as ResolvedModel, resolve_model as resolve_model
from .registry import load_encoder as load_encoder, load_query_encoder as load_query_encoder, prepare_queries as prepare_queries
