"""What changes a fingerprint, and what does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from leanseek.encode.models import file_digest, model_fingerprint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text('[{"path": "", "type": "T"}, {"path": "1_Pooling", "type": "P"}]')
    (folder / "config.json").write_text('{"_name_or_path": "a", "hidden_size": 4}')
    (folder / "1_Pooling" / "config.json").write_text('{"mean": true}')
    (folder / "config_sentence_transformers.json").write_text('{"__version__": {"t": "1"}, "prompts": {}}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    (folder / "tokenizer.json").write_text('{"padding": null, "model": {"vocab": {}}}')
    (folder / "model.safetensors").write_bytes(b"0123456789")
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    "name, text",
    [
        ("config.json", '{"_name_or_path": "a", "hidden_size": 5}'),
        ("1_Pooling/config.json", '{"mean": false}'),
        ("config_sentence_transformers.json", '{"prompts": {"query": "q: "}}'),
        ("sentence_bert_config.json", '{"max_seq_length": 9}'),
        ("tokenizer.json", '{"padding": null, "model": {"vocab": {"a": 1}}}'),
        ("model.safetensors", "012345678X"),
        ("1_Pooling/model.safetensors", "more"),
        ("joint_reader_config.json", '{"joint_layers": 2}'),
        ("artifact.metadata", '{"query_maxlen": 32}'),
    ],
)
def test_what_shapes_a_vector_changes_it(model: Path, name: str, text: str) -> None:
    before = model_fingerprint(model)
    write(model / name, text)
    assert model_fingerprint(model) != before


@pytest.mark.parametrize(
    "name, text",
    [
        ("config.json", '{"hidden_size":4,  "transformers_version": "9", "_name_or_path": "b"}'),
        ("config_sentence_transformers.json", '{"prompts": {}, "__version__": {"t": "2"}}'),
        ("tokenizer.json", '{"padding": {"length": 128}, "truncation": {}, "model": {"vocab": {}}}'),
        ("README.md", "hello"),
        ("pytorch_model.bin", "the same weights in the older format"),
    ],
)
def test_what_does_not_shape_a_vector_leaves_it(model: Path, name: str, text: str) -> None:
    before = model_fingerprint(model)
    write(model / name, text)
    assert model_fingerprint(model) == before


@pytest.mark.parametrize(
    "name, one, other",
    [
        ("joint_reader_config.json", '{"joint_layers": 2}', '{"joint_layers": 3}'),
        ("artifact.metadata", '{"query_maxlen": 32}', '{"query_maxlen": 64}'),
    ],
)
def test_models_that_differ_in_one_file_alone_are_told_apart(
    model: Path, name: str, one: str, other: str
) -> None:
    write(model / name, one)
    before = model_fingerprint(model)
    write(model / name, other)
    assert model_fingerprint(model) != before


def test_a_model_keeps_the_fingerprint_under_which_its_vectors_are_stored(model: Path) -> None:
    assert model_fingerprint(model) == "906f0c8fa8783efdb548fe6e72f7ec240624455a951a37e8ff13ced7c84561ea"


def test_it_is_the_same_for_a_copy_elsewhere(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for path in model.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(model)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert model_fingerprint(copy) == model_fingerprint(model)


def test_a_digest_is_sha256_and_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for content in (b"a" * 3_000_000, b"b" * 3_000_000):
        path.write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        assert file_digest(path) == expected
        assert file_digest(path) == expected


def test_a_damaged_or_unwritable_memory_of_digests_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    expected = file_digest(path)
    for note in (tmp_path / "cache" / "digests").iterdir():
        note.write_bytes(b"\xff half")
    assert file_digest(path) == expected
    monkeypatch.setenv("LEANSEEK_CACHE", str(path))  # a file where a folder should be
    assert file_digest(path) == expected
