from .emphasis import without_repeats as without_repeats
from .operators import ParsedQuery as ParsedQuery
from .operators import parse_query as parse_query
