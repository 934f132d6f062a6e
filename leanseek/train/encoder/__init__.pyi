from .encoder_recipe import TEACHER as TEACHER
from .encoder_recipe import EncoderRecipe as EncoderRecipe
from .encoder_recipe import SparseRecipe as SparseRecipe
from .encoder_training import EncoderReport as EncoderReport
from .encoder_training import Plan as Plan
from .encoder_training import plan_encoder as plan_encoder
from .encoder_training import train_encoder as train_encoder
