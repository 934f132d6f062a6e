from .impact_builder import merge_impacts as merge_impacts
from .impact_builder import write_impacts as write_impacts
from .impact_index import ImpactIndex as ImpactIndex
from .impact_postings import ImpactReader as ImpactReader
from .impacts import ImpactQuery as ImpactQuery
from .impacts import check_vocabulary as check_vocabulary
from .impacts import impact_query as impact_query
from .impacts import learned_settings as learned_settings
