from .recipe import Recipe as Recipe
from .trainer import Source as Source
from .trainer import train_cross_encoder as train_cross_encoder
