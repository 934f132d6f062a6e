from .learned_fusion import LearnedFusion as LearnedFusion, learn_fusion as learn_fusion, reset_fusion as reset_fusion, train_fusion as train_fusion
