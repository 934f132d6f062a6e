"""The tokens that a decoder reads texts in, without its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from leanseek.encode.gguf_model import decoder_folder
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.errors import MissingPackageError, ModelError
from leanseek.indexing.settings import NGramSettings
from leanseek.types import Int32Array, Progress


class DecoderTokens:
    """Turns texts into the token ids of the decoder `name` (see `load_decoder`).

    `vocabulary` is a digest of its tokens and their ids. Raises ModelError or MissingPackageError.
    """

    def __init__(self, name: str, progress: Progress | None = None) -> None:
        folder = decoder_folder(name, progress)
        try:
            definition = (folder / "tokenizer.json").read_text("utf-8")
            self._tokenizer = TextTokenizer(definition, None, special=False)
            self.vocabulary = vocabulary_digest(self._tokenizer.vocabulary())
        except ImportError as error:
            raise MissingPackageError("The tokens of a decoder", "tokenizers", "decoder") from error
        except Exception as error:  # The tokenizer's own errors have no type of their own.
            raise ModelError(
                f"the tokenizer of the decoder '{name}' cannot be read ({error}); n-grams are of the tokens in the "
                "tokenizer.json of a model's folder"
            ) from error
        self.name = name

    def __call__(self, texts: Sequence[str]) -> list[Int32Array]:
        """The token ids of each text; its first word as if a space stood before it, as inside of texts."""
        return self._tokenizer([f" {text}" for text in texts]).ids


def vocabulary_digest(vocabulary: Mapping[str, int]) -> str:
    """Hex digest of tokens and their ids."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()[:16]


def recorded_tokens(recorded: NGramSettings) -> DecoderTokens | None:
    """Load the tokenizer that an index's n-grams are of; None where they are of words alone.

    Raises ModelError where it cannot be loaded, or has other tokens by now.
    """
    if recorded.generator is None:
        return None
    try:
        found = DecoderTokens(recorded.generator)
    except ModelError as error:
        raise ModelError(
            f"the index has n-grams of the tokens of '{recorded.generator}', which cannot be loaded: {error}"
        ) from error
    if found.vocabulary != recorded.vocabulary:
        raise ModelError(
            f"the decoder '{recorded.generator}' has other tokens than those that the index's n-grams are of; use that "
            "one, or index again"
        )
    return found
