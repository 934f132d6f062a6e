from .late_interaction import LateInteractionReranker as LateInteractionReranker
from .registry import load as load
from .similarity import Mix as Mix
