from .store import TokenStore as TokenStore
from .token_writer import TokenReport as TokenReport
from .token_writer import forget_tokens as forget_tokens
from .token_writer import store_tokens as store_tokens
