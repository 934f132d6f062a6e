from .expansion import expanded as expanded
from .expansion import parse_expansion as parse_expansion
from .packing import Cited as Cited
from .packing import Context as Context
from .packing import Span as Span
from .packing import distinct as distinct
from .packing import pack as pack
