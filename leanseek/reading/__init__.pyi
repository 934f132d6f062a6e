from .documents import OnError as OnError
from .fields import Fields as Fields
from .judgments import read_qrels as read_qrels
from .pydocs import python_documentation as python_documentation
from .queries import read_queries as read_queries
from .runs import read_run as read_run, write_run as write_run
from .sources import read as read
from .streams import ReadReport as ReadReport
