from .crossencoder.trainer import train_cross_encoder as train_cross_encoder
from .fusion.learned_fusion import reset_fusion as reset_fusion
from .fusion.learned_fusion import train_fusion as train_fusion
from .head_search import find_heads as find_heads
from .relevance.adapter import train_relevance as train_relevance
