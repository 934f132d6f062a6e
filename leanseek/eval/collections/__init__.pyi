from .collection_files import Summary as Summary, check_judgments as check_judgments, summarize as summarize
from .registry import list_collections as list_collections, open_collection as open_collection
