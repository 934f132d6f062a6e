"""Decoders as encoders: the pooled states of a text's tokens are its vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from leanseek.encode.device import check_device
from leanseek.encode.gguf_model import DEFAULT_DECODER, decoder_folder
from leanseek.encode.models import derived_fingerprint, is_folder, model_fingerprint
from leanseek.encode.torch_encoder import TorchEncoder, loading, max_tokens_of
from leanseek.encode.variants import Variant, change, sees_ahead, split_variant
from leanseek.errors import MissingPackageError, ModelError

AS_IT_IS: Final = Variant(pool="last", attention="causal")
"""How a decoder is pooled and attends, where its name does not say."""
MAX_TOKENS: Final = 512
"""How much of a text it reads, where its name does not say: a decoder's own limit is many times that."""


class DecoderEncoder(TorchEncoder):
    """A decoder's last layer, pooled, run by torch in float32.

    `MODEL[pool=last|mean|weighted|…, attention=causal|bidirectional, max_tokens=512, …]`, see `Variant`. With causal
    attention a token knows those before it, so that the last one knows the whole text; bidirectional attention shows
    each token all the others, as a decoder that was not trained so has never seen them (BehnamGhader et al., LLM2Vec,
    arXiv:2404.05961). Texts are read as they are, without a chat template.
    """

    def __init__(self, name: str, device: str | None = None) -> None:
        """Load the decoder that `decoder_folder` finds.

        Raises UsageError for a variant that there is not, ModelError, MissingPackageError, StorageError.
        """
        base, given = (None if is_folder(name) else split_variant(name)) or (name, Variant())
        self._variant = AS_IT_IS.changed_by(given)
        folder = decoder_folder(base)
        path = Path(base).expanduser()
        if path.exists() and base != DEFAULT_DECODER:
            base = str(path.resolve())
        fingerprint = derived_fingerprint(model_fingerprint(folder), f"decoder{self._variant.name('')}")
        super().__init__(f"decoder:{given.name(base)}", folder, fingerprint, device)

    def load(self, folder: Path, device: str | None) -> Any:
        """The SentenceTransformer that encodes."""
        return load_decoder_model(folder, device, self._variant, self.name)


def load_decoder_model(folder: Path, device: str | None, variant: Variant, name: str) -> Any:
    """The SentenceTransformer of a decoder's layers and a pooling, changed to the variant.

    Raises MissingPackageError, ModelError where the model is no decoder, UsageError as `change` does.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError as error:
        raise MissingPackageError("Encoding with a decoder", "sentence-transformers>=6", "encode") from error
    check_device(device)
    with loading(folder, device):
        layers = Transformer(str(folder), model_kwargs={"local_files_only": True})
        # A chat template would be put around every text.
        layers.tokenizer.chat_template = None
        layers.modality_config = {"text": layers.modality_config["text"]}
        if layers.tokenizer.pad_token is None:
            layers.tokenizer.pad_token = layers.tokenizer.eos_token
        pooling = Pooling(layers.get_embedding_dimension(), "lasttoken")
        model = SentenceTransformer(modules=[layers, pooling], device=device).float().eval()
    if sees_ahead(model):
        raise ModelError(
            f"'{name}': the model is no decoder: tokens attend to those after them. Leave out the prefix decoder:"
        )
    model.max_seq_length = min(max_tokens_of(model) or MAX_TOKENS, MAX_TOKENS)
    change(model, variant, name)
    return model
