"""Reading documents from files, folders and standard input."""

from leanseek.indexing.reading.building import OnError
from leanseek.indexing.reading.fields import Fields
from leanseek.indexing.reading.report import ReadReport
from leanseek.indexing.reading.sources import read

__all__ = ["Fields", "OnError", "ReadReport", "read"]
