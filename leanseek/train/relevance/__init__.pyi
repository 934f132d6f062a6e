from .adapter import Form as Form, train_relevance as train_relevance
