"""Test collections: folders of several layouts, BEIR by name, ir_datasets by id."""

from leanseek.eval.collections.checking import check_judgments
from leanseek.eval.collections.folders import list_collections
from leanseek.eval.collections.opening import open_collection
from leanseek.eval.collections.summary import Summary, summarize

__all__ = ["Summary", "check_judgments", "list_collections", "open_collection", "summarize"]
