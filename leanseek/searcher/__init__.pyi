from .context import Cited as Cited, Context as Context
from .fusion.base import Fusion as Fusion
from .fusion.registry import load_fusion as load_fusion
from .ranking import Mode as Mode
from .relevance.model import RelevanceModel as RelevanceModel, load_relevance as load_relevance
from .searcher import Searcher as Searcher
from .second_stage import RerankDepth as RerankDepth
