from .packing import Cited as Cited
from .packing import Context as Context
from .packing import Span as Span
from .packing import pack as pack
