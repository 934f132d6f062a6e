"""Lists of hits: their order, windows, batches, what is bad about them, and what does not fit."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import SIZES, configuration, decoder, passages, slow_scores, tokenizer

from leanseek.encode.batches import Deadline
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.rerank import InContextReranker, load_reranker
from leanseek.rerank.incontext.explanation import TokenAttention, extract
from leanseek.rerank.incontext.listing import in_pieces, sliding
from leanseek.types import Explanation, Hit, Snippet

QUERY = "does a statin lower cholesterol?"


def hits_of(texts: list[str], titles: bool = False) -> list[Hit]:
    return [
        Hit(rank, f"d{rank:02}", 1.0 / rank, f"title {rank}" if titles else "", text, {})
        for rank, text in enumerate(texts, 1)
    ]


def reranker(family: str = "Llama", **options: Any) -> InContextReranker:
    return InContextReranker((decoder(family), tokenizer()), **options)


def small_context(tokens: int) -> Any:
    """A decoder that reads so many tokens."""
    config = transformers.LlamaConfig(**SIZES | {"max_position_embeddings": tokens})
    torch.manual_seed(2)
    return transformers.LlamaForCausalLM(config).eval()


def test_hits_are_ordered_by_score_and_the_best_stands_last() -> None:
    hits = hits_of(passages(5), titles=True)
    found = reranker().rerank(QUERY, hits)
    texts = [f"{hit.title}\n{hit.text}" for hit in hits]
    expected = slow_scores(decoder(), tokenizer(), QUERY, texts[::-1])[::-1]
    assert [hit.id for hit in found] == [hits[place].id for place in np.argsort(-np.array(expected))]
    assert [hit.score for hit in found] == pytest.approx(sorted(expected, reverse=True), rel=1e-3)
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]


def test_few_or_empty_documents() -> None:
    judge = reranker()
    assert judge.score(QUERY, []) == []
    assert judge.rerank(QUERY, []) == []
    assert judge.explain(QUERY, []) == []
    assert len(judge.score(QUERY, ["heart"])) == 1
    assert all(map(np.isfinite, judge.score(QUERY, ["", "heart", ""])))
    assert [hit.id for hit in judge.rerank(QUERY, hits_of(["only"]))] == ["d01"]
    assert all(map(np.isfinite, judge.score("", ["heart", "index"])))


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Qwen2", "GPT2"])
def test_a_batch_gives_each_query_what_it_gets_alone(family: str) -> None:
    queries = ["statin", "an index of terms in a ranking of documents", "x", QUERY, "orbit"]
    lists = [
        hits_of(passages(count, words, seed=count)) for count, words in ((3, 9), (7, 4), (1, 30), (5, 12))
    ]
    lists.insert(2, [])
    alone = [reranker(family).rerank(query, hits) for query, hits in zip(queries, lists, strict=True)]
    together = reranker(family, batch_size=3).rerank_batch(queries, lists)
    for one, other in zip(alone, together, strict=True):
        assert [hit.id for hit in one] == [hit.id for hit in other.hits]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other.hits], rel=1e-3)


def test_layers_after_the_last_that_counts_are_not_run() -> None:
    model = decoder(seed=4)
    ran: list[int] = []
    hooks = [
        layer.mlp.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(model.model.layers)
    ]
    try:
        InContextReranker((model, tokenizer()), layers=(0, 2)).score(QUERY, passages(3))
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == [0, 0]  # both passes end inside the second layer's attention


def test_nothing_quadratic_is_held() -> None:
    """The largest tensor that any operation makes grows with the length, not with its square."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            for one in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(one, torch.Tensor) and one.device.type == "cpu":
                    self.size = max(self.size, one.numel())
            return made

    def largest(family: str, documents: int) -> int:
        with Largest() as mode:
            reranker(family).score("q", passages(documents, words=10))
        return mode.size

    for family in ("Qwen3", "Gemma2", "Qwen2"):
        assert largest(family, 40) < 2.6 * largest(family, 20)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=25),
    st.integers(30, 90) | st.none(),
    st.integers(2, 8) | st.none(),
)
def test_windows_find_the_best_and_cover_all(sizes: list[int], room: int | None, window: int | None) -> None:
    worth = np.random.default_rng(len(sizes)).permutation(len(sizes)).astype(float)
    steps, seen = sliding(sizes, room, window, None), set()
    try:
        inside = next(steps)
        while True:
            assert window is None or len(inside) <= window
            assert room is None or sum(sizes[place] for place in inside) <= room
            seen |= set(inside)
            inside = steps.send([worth[place] for place in inside])
    except StopIteration as end:
        scores = end.value
    assert seen == set(range(len(sizes)))
    assert len(set(scores.tolist())) == len(sizes)
    if window is None and room is None:
        assert scores.tolist() == worth.tolist()
    elif room is None:
        # As in a bubble sort, the best of all rises from window to window to the top.
        assert scores.argmax() == worth.argmax()


def test_a_window_is_read_as_a_list_of_its_own() -> None:
    documents = passages(6)
    judge = reranker(window=4, stride=2)
    first = slow_scores(decoder(), tokenizer(), QUERY, documents[:4])
    order = [int(place) for place in np.argsort(first)]
    second = slow_scores(decoder(), tokenizer(), QUERY, [documents[p] for p in [*order[2:], 4, 5]])
    places = [*order[2:], 4, 5]
    expected = order[:2] + [places[row] for row in np.argsort(second)]
    assert np.argsort(judge.score(QUERY, documents)).tolist() == expected
    assert not any("windows" in note for note in judge.notes)  # they were asked for


def test_what_does_not_fit_is_read_in_windows_and_said() -> None:
    documents = passages(30, words=20)
    judge = InContextReranker((small_context(512), tokenizer()))
    scores = judge.score(QUERY, documents)
    assert len(set(scores)) == 30 and np.isfinite(scores).all()
    assert any("windows" in note for note in judge.notes)
    assert not any("pieces" in note for note in judge.notes)


def test_a_passage_longer_than_the_context_is_read_in_pieces_and_said() -> None:
    long = " ".join(passages(40, words=20))
    judge = InContextReranker((small_context(512), tokenizer()))
    scores = judge.score(QUERY, ["heart trial", long, "index query"])
    assert len(scores) == 3 and np.isfinite(scores).all()
    assert any("pieces" in note for note in judge.notes)
    found = judge.explain(QUERY, ["heart trial", long, "index query"])[1]
    assert found.score == scores[1]
    assert all(0 <= token.start < token.end <= len(long) for token in found.tokens)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=6), st.integers(12, 40))
def test_pieces_hold_all_of_a_passage_and_fit(documents: list[str], room: int) -> None:
    pieces = in_pieces(tokenizer(), documents, "\n\n", room)
    for owner, document in enumerate(documents):
        own = [piece for piece in pieces if piece.owner == owner]
        assert all(document[piece.start : piece.start + len(piece.text)] == piece.text for piece in own)
        assert "".join(piece.text for piece in own).split() == document.split() or len(own) > 1
        assert all(piece.tokens <= room for piece in own)
    assert sorted({piece.owner for piece in pieces}) == list(range(len(documents)))


def test_memory_that_runs_out_makes_the_batch_smaller_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = reranker(batch_size=4)
    expected = [reranker().score(q, passages(4)) for q in ("a", "b", "c", "d", "e")]
    real = judge._decoder.attention

    def scarce(prefixes: Any, *rest: Any, **more: Any) -> Any:
        if len(prefixes) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(prefixes, *rest, **more)

    monkeypatch.setattr(judge._decoder, "attention", scarce)
    hits = hits_of(passages(4)[::-1])
    found = judge.rerank_batch(["a", "b", "c", "d", "e"], [hits] * 5)
    for one, scores in zip(found, expected, strict=True):
        assert [hit.score for hit in one.hits] == pytest.approx(sorted(scores, reverse=True), rel=1e-3)
    assert any("one prompt at a time is read" in note for note in judge.notes)
    assert sum("memory" in note for note in judge.notes) == 1


def test_memory_that_runs_out_over_one_prompt_makes_it_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = reranker()
    real = judge._decoder.attention

    def scarce(prefixes: Any, *rest: Any, **more: Any) -> Any:
        if len(prefixes[0]) > 300:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        return real(prefixes, *rest, **more)

    monkeypatch.setattr(judge._decoder, "attention", scarce)
    scores = judge.score(QUERY, passages(12, words=20))
    assert len(set(scores)) == 12
    assert any("memory ran out" in note for note in judge.notes)

    monkeypatch.setattr(judge._decoder, "attention", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(ModelError, match="smaller model"):
        judge.score(QUERY, passages(12, words=20))


def test_at_the_deadline_lists_are_whole_or_untouched() -> None:
    now = 0.0

    def clock() -> float:
        return now

    def progress(stage: str, done: int, total: int | None) -> None:
        nonlocal now
        now += 1.0

    hits = hits_of(passages(4))
    deadline = Deadline(1.5, clock)
    found = reranker().rerank_batch(["a", "b", "c"], [hits] * 3, progress=progress, deadline=deadline)
    assert [one.reached for one in found] == [4, 0, 0]
    assert [hit.id for hit in found[2].hits] == [hit.id for hit in hits]


def test_threads_may_share_a_reranker() -> None:
    judge, found = reranker(), {}
    documents = passages(4)

    def ask(query: str) -> None:
        found[query] = judge.score(query, documents)

    threads = [threading.Thread(target=ask, args=(query,)) for query in ("a", "heart", "index query")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {query: reranker().score(query, documents) for query in found}
    assert len(found) == 3


def test_models_that_are_no_decoders_are_refused(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = transformers.BertModel(transformers.BertConfig(vocab_size=400, **small))
    with pytest.raises(ModelError, match="choose another re-ranker"):
        InContextReranker((bert, tokenizer()))
    bert.save_pretrained(tmp_path / "bert")
    tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match="is an encoder"):
        InContextReranker(str(tmp_path / "bert"))
    t5 = transformers.T5Config(vocab_size=400, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)
    with pytest.raises(ModelError, match="an encoder with a decoder"):
        InContextReranker((transformers.T5ForConditionalGeneration(t5), tokenizer()))
    both_ways = configuration("Gemma3Text")
    both_ways.use_bidirectional_attention = True
    with pytest.raises(ModelError, match="is an encoder"):
        InContextReranker((transformers.Gemma3TextModel(both_ways), tokenizer()))
    mamba = transformers.MambaConfig(vocab_size=400, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(ModelError):
        InContextReranker((transformers.MambaForCausalLM(mamba), tokenizer()))
    bloom = transformers.BloomConfig(vocab_size=400, hidden_size=16, n_layer=1, n_head=2)
    with pytest.raises(ModelError, match="cannot be seen"):
        InContextReranker((transformers.BloomForCausalLM(bloom), tokenizer())).score("q", ["d"])


def test_bad_arguments_are_told() -> None:
    with pytest.raises(UsageError, match="IE"):
        reranker(prompt="ie")
    with pytest.raises(UsageError, match="compares nothing"):
        reranker(window=1)
    with pytest.raises(UsageError, match="stride"):
        reranker(window=4, stride=4)
    with pytest.raises(UsageError, match="layers"):
        reranker(layers=(2, 9))
    with pytest.raises(UsageError, match="give both"):
        InContextReranker(transformers.LlamaForCausalLM(configuration("Llama")))
    with pytest.raises(UsageError, match="no model"):
        InContextReranker(42)
    with pytest.raises(UsageError, match="names no decoder"):
        load_reranker("in-context:qa:")
    with pytest.raises(InputError, match="no such list of heads"):
        load_reranker("in-context:absent.json")


def test_a_folder_is_loaded_by_name_and_known_by_its_weights(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        decoder(seed=seed).save_pretrained(tmp_path / name)
        tokenizer(chat=True).save_pretrained(tmp_path / name)
    one = load_reranker(f"in-context:{tmp_path / 'one'}")
    assert isinstance(one, InContextReranker)
    documents = passages(4)
    assert one.score(QUERY, documents) == pytest.approx(
        InContextReranker((decoder(), tokenizer(chat=True))).score(QUERY, documents), rel=1e-4
    )
    assert one.name == f"in-context:{tmp_path / 'one'}"
    prints = {
        one.fingerprint,
        load_reranker(f"in-context:{tmp_path / 'two'}").fingerprint,
        InContextReranker(tmp_path / "one", "QA").fingerprint,
        InContextReranker(tmp_path / "one", layers=(0, 1)).fingerprint,
        InContextReranker(tmp_path / "one", window=3).fingerprint,
    }
    assert len(prints) == 5
    assert InContextReranker(tmp_path / "one").fingerprint == one.fingerprint


def test_without_a_chat_template_nothing_is_put_around_and_it_is_said() -> None:
    assert any("no chat template" in note for note in reranker().notes)
    assert reranker(prompt_prefix="", prompt_suffix="").notes == ()


def test_explained_tokens_add_up_to_the_score() -> None:
    documents = ["statin cholesterol heart", "index <query> & term", ""]
    found = reranker().explain(QUERY, documents)
    assert [one.score for one in found] == pytest.approx(reranker().score(QUERY, documents))
    for document, one in zip(documents, found, strict=True):
        covered = "".join(document[token.start : token.end] for token in one.tokens)
        assert covered.replace(" ", "") == document.replace(" ", "")
    assert found[0].peaks(1) == tuple(
        (token.start, token.end)
        for token in [max(found[0].tokens, key=lambda token: token.attention)]
        if token.attention > 0
    )


def test_equal_scores_are_ordered_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = reranker()
    hits = [replace(hit, id=name) for hit, name in zip(hits_of(["a", "b", "c"]), "zxy", strict=True)]
    zeros = [np.zeros((1, 1, 500))] * 2
    monkeypatch.setattr(judge._decoder, "attention", lambda *_, **__: zeros)
    assert [hit.id for hit in judge.rerank(QUERY, hits)] == ["x", "y", "z"]


def test_explained_hits_show_what_was_looked_at() -> None:
    plain = hits_of(["statin cholesterol heart", " ".join(["filler"] * 60), ""], titles=True)
    nothing = Explanation(None, None, (), Snippet("from the search"))
    given = [replace(hit, explanation=nothing) for hit in plain[:2]] + plain[2:]
    found = {hit.id: hit for hit in reranker().rerank(QUERY, given)}
    assert found["d03"].explanation is None
    for place, name in enumerate(("d01", "d02")):
        explanation = found[name].explanation
        assert explanation is not None
        shown = explanation.snippet
        assert shown.text.strip("…") in plain[place].text and len(shown.text.split()) <= 40
        assert all(shown.text[start:end].strip("…").isalpha() for start, end in shown.highlights)
    assert [replace(hit, explanation=None) for hit in found.values()] == reranker().rerank(QUERY, plain)


def test_an_extract_holds_what_is_looked_at_most() -> None:
    text = "one two\nthree four five six seven eight nine ten"
    start = text.index("seven")
    tokens = [TokenAttention(start, start + 3, 0.5), TokenAttention(start + 3, start + 5, 0.4)]
    tokens += [TokenAttention(0, 3, 0.1), TokenAttention(text.index("six"), text.index("six") + 3, -9.0)]
    shown = extract(text, tokens, words=4)
    assert shown.text == "…four five six seven…"
    assert [shown.text[begin:end] for begin, end in shown.highlights] == ["seven"]
    assert extract("", []).text == "" and extract("a\nb", []).text == "a b"
