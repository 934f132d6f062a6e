from .calibration import Calibration as Calibration
from .calibration import fit_calibration as fit_calibration
from .cross_encoder import CrossEncoderReranker as CrossEncoderReranker
from .cross_encoder import load as load
