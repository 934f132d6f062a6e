from .store import TokenStore as TokenStore
from .token_writer import TokenReport as TokenReport, forget_tokens as forget_tokens, store_tokens as store_tokens
