"""In-context re-ranking against the same model with `output_attentions=True`: seconds and peak memory.

    python benchmarks/rerank_attention.py [--model packaged|random] [--passages 5,10,20] [--words 100] [--device cpu]

The decoder is the packaged one, of which some heads are selected, or has random weights (about 70
million): what it says means nothing, what it costs does. Whole matrices of 20 passages of 150 words take 20 GB. Each
way runs in a process of its own, so that its peak memory is its own; all read the documents once and the query after
them, from the same cached keys and values. The times are the shortest of a few runs; OMP_NUM_THREADS sets the threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

WORDS = 5000
TOKENS_OF_A_WORD = 1.3
"""What tokenizers make of English; here a word is a token, and passages have so many more."""


def make_model(device: str, scale: str) -> Any:
    """A decoder of Qwen3's kind with random weights: of 70 million, or on a GPU of 600 million."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    small = {"hidden_size": 640, "intermediate_size": 2560, "num_hidden_layers": 10, "head_dim": 64}
    large = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "head_dim": 128}
    heads = {"num_attention_heads": 10, "num_key_value_heads": 5}
    if scale == "large":
        heads = {"num_attention_heads": 16, "num_key_value_heads": 8}
    config = Qwen3Config(
        vocab_size=16_000 if scale == "small" else 151_936,
        max_position_embeddings=40_960,
        **(small if scale == "small" else large),
        **heads,
    )
    model = Qwen3ForCausalLM(config).eval()
    return model.to(device, torch.float32 if device == "cpu" else torch.bfloat16)


def load(precision: Any) -> tuple[Any, Any]:
    """The packaged decoder and its tokenizer."""
    from leanseek.decode import load_decoder

    decoder = load_decoder(precision=precision)
    return decoder.model, decoder.tokenizer


def make_tokenizer() -> Any:
    """A word is a token."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = "Here are some paragraphs : Please find information that relevant to the following query in above . Query"
    words = dict.fromkeys(["<unk>", "\n\n", "[", "]", "/", "N", "A", *marks.split(), *map(str, range(999))])
    words |= dict.fromkeys(f"w{number}" for number in range(WORDS))
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n\n|\w+|[^\w\s]"), "removed", invert=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def vocabulary(tokenizer: Any) -> list[str]:
    """Words that are one token each."""
    known = [tokenizer.decode([number]) for number in range(len(tokenizer))]
    return [one.strip() for one in known if one.startswith(" ") and one.strip().isalpha()] or [
        f"w{number}" for number in range(WORDS)
    ]


def passages(count: int, words: int, known: list[str]) -> list[str]:
    """Random passages of known words, longer by what a tokenizer would make of words."""
    draw = np.random.default_rng(1)
    return [" ".join(draw.choice(known, size=round(words * TOKENS_OF_A_WORD)).tolist()) for _ in range(count)]


def ours(model: Any, tokenizer: Any, **options: Any) -> Callable[[str, list[str]], list[float]]:
    """Scores by `InContextReranker`."""
    from leanseek.rerank import InContextReranker

    return InContextReranker((model, tokenizer), prompt_prefix="", prompt_suffix="", **options).score


def slow(model: Any, tokenizer: Any) -> Callable[[str, list[str]], list[float]]:
    """Scores from whole attention matrices, the documents' keys and values computed once."""
    import torch
    from transformers import DynamicCache

    from leanseek.decode.chat import Frame
    from leanseek.rerank.incontext.prompts import NO_QUERY, Wording, tokenize
    from leanseek.rerank.incontext.reader import document_scores

    model.set_attn_implementation("eager")
    wording = Wording(Frame("", ""), "IE", "\n\n")

    def score(query: str, documents: list[str]) -> list[float]:
        cache, seen = DynamicCache(), []
        for question in (NO_QUERY, query):
            tokens = tokenize(tokenizer, wording.compose(question, documents))
            done = cache.get_seq_length()
            ids = torch.tensor([tokens.ids[done:]], device=model.device)
            with torch.inference_mode():
                layers = model(ids, past_key_values=cache, output_attentions=True).attentions
            rows = slice(tokens.question - done, None)
            seen.append(sum(layer[0, :, rows].float().mean(1).sum(0) for layer in layers)[: tokens.question])
            cache.crop(tokens.question - len(tokens.ids))
        return document_scores((seen[1] - seen[0]).double().cpu().numpy(), tokens.documents).tolist()

    return score


Way = Callable[[Any, Any], Callable[[str, list[str]], list[float]]]

WAYS: dict[str, Way] = {
    "whole matrices": slow,
    "in context": ours,
    "up to the middle layer": lambda m, t: ours(m, t, layers=(0, m.config.num_hidden_layers // 2)),
    "documents by themselves": lambda m, t: ours(m, t, block_memory=0),
    "documents by themselves, kept": lambda m, t: ours(m, t, block_memory=8 << 30),
}


def selected(model: Any, tokenizer: Any, **options: Any) -> Callable[[str, list[str]], list[float]]:
    """Scores by the packaged decoder's heads."""
    from leanseek.decode import DEFAULT_DECODER
    from leanseek.rerank.incontext import published_for

    return ours(model, tokenizer, heads=published_for(DEFAULT_DECODER), **options)


REAL: dict[str, tuple[str, Way]] = {
    "whole matrices": ("float32", slow),
    "all heads": ("float32", ours),
    "selected heads": ("float32", selected),
    "selected heads, bfloat16": ("bfloat16", selected),
    "the same, documents by themselves": ("bfloat16", lambda m, t: selected(m, t, block_memory=0)),
    "the same, kept": ("bfloat16", lambda m, t: selected(m, t, block_memory=8 << 30)),
}
"""Ways with the packaged decoder, each with the precision of its weights."""


def measure(
    way: str, count: int, words: int, device: str, scale: str, runs: int, weights: str
) -> dict[str, Any]:
    """Seconds for a query, of the clock and of the processor, bytes of peak memory above the model, and the scores."""
    import resource

    import torch

    if weights == "random":
        model, tokenizer, made = make_model(device, scale), make_tokenizer(), WAYS[way]
    else:
        precision, made = REAL[way]
        model, tokenizer = load(precision)
    known = vocabulary(tokenizer)
    score, documents = made(model, tokenizer), passages(count, words, known)
    score(" ".join(known[:2]), passages(2, 10, known))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    times, work, scores = [], [], []
    for run in range(runs):
        begun, spent = time.perf_counter(), time.process_time()
        scores = score(" ".join(known[place] for place in (7, run, 3000, 4, 55)), documents)
        times.append(time.perf_counter() - begun)
        work.append(time.process_time() - spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device != "cpu":
        peak = torch.cuda.max_memory_allocated()
    return {"seconds": min(times), "work": min(work), "bytes": peak - before, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["random", "packaged"], default="random")
    parser.add_argument("--passages", default="5,10,20")
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scale", choices=["small", "large"], default="small")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ways", help="numbers from 0, such as 0,1,3; by default all")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, count = given.one.split(":")
        found = measure(way, int(count), given.words, given.device, given.scale, given.runs, given.model)
        print(json.dumps(found))
        return
    ways = list(WAYS if given.model == "random" else REAL)
    if given.ways:
        ways = [ways[int(place)] for place in given.ways.split(",")]
    print(
        f"{'passages':>8}  {'way':<34}  {'seconds':>8}  {'faster':>6}  {'processor':>9}  {'MiB above the model':>20}"
    )
    for count in map(int, given.passages.split(",")):
        base: dict[str, Any] = {}
        for way in ways:
            command = [sys.executable, __file__, "--one", f"{way}:{count}", "--words", str(given.words)]
            command += ["--device", given.device, "--scale", given.scale, "--runs", str(given.runs)]
            command += ["--model", given.model]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                print(f"{count:>8}  {way:<34}  {ran.stderr.strip().splitlines()[-1][:60]}")
                continue
            found = json.loads(ran.stdout.strip().splitlines()[-1])
            base = base or found
            same = np.allclose(found["scores"], base["scores"], rtol=1e-3, atol=1e-9)
            print(
                f"{count:>8}  {way:<34}  {found['seconds']:>8.2f}  {base['seconds'] / found['seconds']:>6.1f}"
                f"  {found['work']:>9.1f}"
                f"  {found['bytes'] / 2**20:>20,.0f}{'  the same scores' if same and found is not base else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
