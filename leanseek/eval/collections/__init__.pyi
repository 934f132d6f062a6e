from .collection_files import Summary as Summary
from .collection_files import check_judgments as check_judgments
from .collection_files import summarize as summarize
from .registry import list_collections as list_collections
from .registry import open_collection as open_collection
