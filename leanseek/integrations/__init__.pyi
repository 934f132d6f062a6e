from .beir import BeirSearch as BeirSearch
from .connection import Connection as Connection
from .mteb import MtebEncoder as MtebEncoder
from .mteb import MtebSearch as MtebSearch
from .pipeline import Pipeline as Pipeline
from .pipeline import PipelineSettings as PipelineSettings
