from .fm_index import FMIndex as FMIndex
from .ngram_index import NGrams as NGrams
from .ngram_index import Occurrence as Occurrence
from .ngram_index import TokenNGrams as TokenNGrams
from .ngram_writer import merge_ngrams as merge_ngrams
from .ngram_writer import write_ngrams as write_ngrams
