from .learned_fusion import LearnedFusion as LearnedFusion
from .learned_fusion import learn_fusion as learn_fusion
from .learned_fusion import reset_fusion as reset_fusion
from .learned_fusion import train_fusion as train_fusion
