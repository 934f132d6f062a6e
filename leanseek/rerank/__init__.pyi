from .base import ByScore as ByScore, Judged as Judged, Reranked as Reranked, Reranker as Reranker, reorder as reorder
from .combined import Cascade as Cascade, Interpolated as Interpolated
from .incontext.in_context import InContextReranker as InContextReranker
from .lateinteraction.late_interaction import LateInteractionReranker as LateInteractionReranker
from .registry import RERANKERS as RERANKERS, load_reranker as load_reranker
