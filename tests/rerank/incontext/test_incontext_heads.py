"""Lists of heads: read, checked, published, and used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import transformers
from rerank.incontext_support import decoder, passages, slow_scores, tokenizer
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.decode.decoder_loader import load_decoder
from leanseek.errors import ExitCode, InputError, ModelError, UsageError
from leanseek.rerank import InContextReranker, load_reranker
from leanseek.rerank.incontext import Head, HeadList, published, published_for, read_heads

QUERY = "does a statin lower cholesterol?"
LISTED = HeadList(
    model="tiny",
    fingerprint="",
    layers=3,
    width=4,
    heads=(Head(1, 3), Head(0, 2), Head(1, 0)),
    method="contrastive",
    source="test",
)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "GPT2"])
def test_only_the_heads_listed_count_and_deeper_layers_are_not_run(family: str) -> None:
    model = decoder(family)
    judge = InContextReranker((model, tokenizer()), heads=LISTED)
    expected = slow_scores(model, tokenizer(), QUERY, passages(5), heads=LISTED.heads)
    ran = []
    hook = (
        load_decoder((model, tokenizer()))
        .layers.get_submodule("h.2" if family == "GPT2" else "layers.2")
        .register_forward_hook(lambda *_: ran.append(1))
    )
    try:
        assert judge.score(QUERY, passages(5)) == pytest.approx(expected, rel=1e-3)
    finally:
        hook.remove()
    assert not ran


def test_a_list_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    path.write_text(LISTED.text(), encoding="utf-8")
    assert read_heads(path) == LISTED
    by_file = InContextReranker((decoder(), tokenizer()), heads=path)
    by_list = InContextReranker((decoder(), tokenizer()), heads=LISTED)
    assert by_file.fingerprint == by_list.fingerprint
    assert by_file.fingerprint != InContextReranker((decoder(), tokenizer())).fingerprint


def test_a_list_names_the_model_it_is_of(tmp_path: Path) -> None:
    decoder().save_pretrained(tmp_path / "model")
    tokenizer(chat=True).save_pretrained(tmp_path / "model")
    path = tmp_path / "heads.json"
    listed = replace(
        LISTED, model=str(tmp_path / "model"), fingerprint=load_decoder(tmp_path / "model").weights
    )
    path.write_text(listed.text(), encoding="utf-8")
    loaded = load_reranker(f"in-context:{path}")
    expected = InContextReranker(tmp_path / "model", heads=LISTED)
    assert loaded.fingerprint == expected.fingerprint
    assert loaded.name == f"in-context:{path}"
    path.write_text(replace(listed, prompt="QA").text(), encoding="utf-8")
    asking = InContextReranker(tmp_path / "model", "QA", heads=LISTED)
    assert load_reranker(f"in-context:{path}").fingerprint == asking.fingerprint


def test_lists_of_other_models_are_refused() -> None:
    with pytest.raises(ModelError, match="3 layers of 7 heads"):
        InContextReranker((decoder(), tokenizer()), heads=replace(LISTED, width=7))
    with pytest.raises(ModelError, match="other weights"):
        InContextReranker((decoder(), tokenizer()), heads=replace(LISTED, fingerprint="0" * 64))
    with pytest.raises(UsageError, match="no heads"):
        InContextReranker((decoder(), tokenizer()), heads=replace(LISTED, heads=()))
    with pytest.raises(UsageError, match="not both"):
        InContextReranker((decoder(), tokenizer()), heads=LISTED, layers=(0, 1))
    with pytest.raises(UsageError, match="no heads were published"):
        InContextReranker((decoder(), tokenizer()), heads="published")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        LISTED.text().replace('"format": 1', '"format": 99'),
        LISTED.text().replace('"width": 4', '"width": 2'),
        LISTED.text().replace('"method"', '"way"'),
        LISTED.text().replace('"prompt": "IE"', '"prompt": "XX"'),
    ],
)
def test_damaged_lists_are_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heads.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="list of heads"):
        read_heads(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_heads(tmp_path / "absent.json")


def test_published_lists_lie_within_their_models() -> None:
    assert len(published()) >= 12
    for listed in published():
        assert len(set(listed.heads)) == len(listed.heads) in (8, 16, 32)
        assert all(head.layer < listed.layers and head.head < listed.width for head in listed.heads)
    found = published_for("meta-llama/Llama-3.1-8B-Instruct")
    assert found.heads[:2] == (Head(14, 22), Head(13, 16)) and found.method == "QRHead NQ"
    assert published_for("models/llama-3.1-8b-instruct", "CoRe NQ").heads[0] == Head(13, 18)
    assert json.loads(found.text())["heads"][0] == [14, 22]


def test_a_model_that_will_not_do_is_told_before_anything_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searching(*_: object, **__: object) -> None:
        raise AssertionError("it searches already")

    monkeypatch.setattr("leanseek.train.prompt_examples.head_examples", searching)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = transformers.BertModel(transformers.BertConfig(vocab_size=400, **small))
    for model, name in ((encoder, "encoder"), (decoder(), "decoder")):
        model.save_pretrained(tmp_path / name)
        tokenizer().save_pretrained(tmp_path / name)
    for name in ("queries", "qrels"):
        (tmp_path / name).write_text("")
    arguments = ["train", "heads", str(tmp_path), "--out", str(tmp_path / "heads.json")]
    arguments += ["--queries", str(tmp_path / "queries"), "--qrels", str(tmp_path / "qrels")]
    told = CliRunner().invoke(app, [*arguments, "--model", str(tmp_path / "encoder")])
    assert told.exit_code == ExitCode.MODEL and "is an encoder" in told.stderr
    told = CliRunner().invoke(app, [*arguments, "--model", str(tmp_path / "decoder"), "--heads", "13"])
    assert told.exit_code == ExitCode.USAGE and "13 heads" in told.stderr
