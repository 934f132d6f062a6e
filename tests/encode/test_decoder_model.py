"""Decoders as encoders, against the same model run by transformers with a mask made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rerank.incontext_support import SIZES, tokenizer

from leanseek.encode import load_encoder
from leanseek.errors import ModelError, UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers", minversion="6")

TEXTS = ["wing flow", "the boundary layer of a flat plate in slip flow at low speed", "heat " * 20]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of three layers with random weights, whose tokenizer has a chat template."""
    import transformers

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("llama")
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    words = tokenizer()
    words.chat_template = "{% for m in messages %}USER {{ m.content }} END{% endfor %}"
    words.save_pretrained(folder)
    return folder


def states(folder: Path, text: str, bidirectional: bool) -> Any:
    """(n, D) the last layer's states of a text's tokens, under a mask given whole."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]])
    n = ids.shape[1]
    ahead = torch.ones(n, n).triu(1).bool()
    mask = (
        torch.zeros(1, 1, n, n) if bidirectional else torch.zeros(1, 1, n, n).masked_fill(ahead, -torch.inf)
    )
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).last_hidden_state[0].numpy()


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_vectors_are_the_pooled_states_of_the_decoder(llama: Path, attention: str) -> None:
    expected = [states(llama, text, attention == "bidirectional") for text in TEXTS]
    for pool in ("last", "mean", "weighted"):
        found = load_encoder(f"decoder:{llama}[pool={pool}, attention={attention}]", "cpu")
        for vector, tokens in zip(found.encode_documents(TEXTS).vectors, expected, strict=True):
            n = len(tokens)
            weights = {"last": np.eye(n)[-1], "mean": np.ones(n), "weighted": np.arange(1, n + 1)}[pool]
            pooled = weights @ tokens
            np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=2e-5, err_msg=pool)


def test_by_default_it_is_the_last_token_of_a_causal_one_and_reads_512_tokens(llama: Path) -> None:
    plain, said = (load_encoder(f"decoder:{llama}{more}", "cpu") for more in ("", "[pool=last]"))
    assert plain.fingerprint == said.fingerprint and plain.max_tokens == 512
    mean, ahead = (
        load_encoder(f"decoder:{llama}[{more}]", "cpu") for more in ("pool=mean", "attention=bidirectional")
    )
    assert len({plain.fingerprint, mean.fingerprint, ahead.fingerprint}) == 3
    assert load_encoder(ahead.name, "cpu").fingerprint == ahead.fingerprint
    cut = load_encoder(f"decoder:{llama}[max_tokens=8]", "cpu").encode_documents(["heat " * 20])
    assert cut.tokens[0] > 8


def test_an_empty_text_has_a_vector(llama: Path) -> None:
    found = load_encoder(f"decoder:{llama}", "cpu").encode_queries(["", "heat"]).vectors
    assert np.isfinite(found).all() and np.linalg.norm(found, axis=1) == pytest.approx(1.0)


def test_what_is_no_decoder_is_refused(llama: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bert = tiny_model()
    with pytest.raises(ModelError, match="the model is no decoder"):
        load_encoder(f"decoder:{bert}", "cpu")
    with pytest.raises(UsageError, match="causal or bidirectional"):
        load_encoder(f"decoder:{llama}[attention=both]", "cpu")
    with pytest.raises(ModelError, match="there is no such file"):
        load_encoder("decoder:none.gguf", "cpu")
    # A family that does not go by its configuration.
    monkeypatch.setattr("leanseek.encode.variants.sees_ahead", lambda model: False)
    with pytest.raises(ModelError, match="cannot be made bidirectional"):
        load_encoder(f"decoder:{llama}[attention=bidirectional]", "cpu")
