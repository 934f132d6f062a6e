from .explanation import AttentionExplanation as AttentionExplanation, DocumentAttention as DocumentAttention, TokenAttention as TokenAttention
from .heads import Head as Head, HeadList as HeadList, published as published, published_for as published_for, read_heads as read_heads
from .in_context import InContextReranker as InContextReranker, load as load
