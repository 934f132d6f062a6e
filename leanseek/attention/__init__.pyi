from .key_index import KeyIndex as KeyIndex
