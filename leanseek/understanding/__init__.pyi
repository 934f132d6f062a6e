from .duplicates import Duplicate as Duplicate
from .duplicates import DuplicateGroup as DuplicateGroup
from .duplicates import find_duplicates as find_duplicates
from .emphasis import without_repeats as without_repeats
from .operators import ParsedQuery as ParsedQuery
from .operators import parse_query as parse_query
