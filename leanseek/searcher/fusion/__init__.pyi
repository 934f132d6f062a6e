from .base import Fusion as Fusion, Side as Side
from .methods import ConvexFusion as ConvexFusion, DistributionFusion as DistributionFusion, MinMaxFusion as MinMaxFusion, MixedFusion as MixedFusion, ReciprocalRankFusion as ReciprocalRankFusion, SCALES as SCALES, Scale as Scale, ZScoreFusion as ZScoreFusion, ranks as ranks
from .registry import FUSIONS as FUSIONS, load_fusion as load_fusion
