from .adapter import Form as Form
from .adapter import train_relevance as train_relevance
