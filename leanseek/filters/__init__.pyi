from .nodes import And as And, ColumnSource as ColumnSource, Comparison as Comparison, Contains as Contains, Element as Element, Filter as Filter, IsNull as IsNull, Kind as Kind, Membership as Membership, Not as Not, Or as Or, elements as elements
from .parser import BUILT_IN as BUILT_IN, parse_filter as parse_filter
