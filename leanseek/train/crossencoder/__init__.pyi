from .recipe import Recipe as Recipe
from .trainer import train_cross_encoder as train_cross_encoder
