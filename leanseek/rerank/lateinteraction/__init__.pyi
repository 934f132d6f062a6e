from .late_interaction import LateInteractionReranker as LateInteractionReranker
from .late_interaction import load as load
from .similarity import Mix as Mix
