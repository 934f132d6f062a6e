from .decoder import Decoder as Decoder
from .decoder_loader import DEFAULT_DECODER as DEFAULT_DECODER
from .decoder_loader import load_decoder as load_decoder
from .generation import Constraint as Constraint
from .generation import Generated as Generated
from .generation import OneOf as OneOf
from .generation import Token as Token
from .json_form import JsonForm as JsonForm
