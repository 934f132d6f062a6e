from .adapter import Form as Form
from .adapter import train_relevance as train_relevance
from .field import FittedField as FittedField
from .field import FittedMode as FittedMode
from .field import reset_relevance as reset_relevance
from .field import train_judged as train_judged
from .field import train_unlabelled as train_unlabelled
