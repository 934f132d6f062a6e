from .base import Collection as Collection, Qrels as Qrels, Run as Run
from .collections.registry import list_collections as list_collections, open_collection as open_collection
from .comparison import compare as compare
from .evaluation import Outcome as Outcome, evaluate as evaluate
from .measures import score as score
from .providers import parse_measures as parse_measures
from .results import read_results as read_results, write_result as write_result
from .significance import bootstrap as bootstrap, holm as holm
from .systems import System as System
