from .transport import Epoch as Epoch
from .transport import InProcess as InProcess
from .transport import Question as Question
from .transport import Shard as Shard
from .transport import Transport as Transport
from .transport import route as route
