"""The command that finds the heads of a decoder that look at what a query asks for."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train.heads import FoundHeads


def heads(
    index: opt.IndexPath,
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="A decoder: its folder or name.")],
    qrels: Annotated[
        Path,
        typer.Option("--qrels", metavar="QRELS", help="Judgments: TREC's four columns, or BEIR's three."),
    ],
    queries: Annotated[
        str, typer.Option("--queries", metavar="QUERIES", help="BEIR queries.jsonl, TSV, or TREC topics.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the list goes, as JSON.")],
    method: Annotated[
        Literal["contrastive", "ndcg", "mass"],
        typer.Option(
            help="contrastive: look at a relevant document and not at others; ndcg: order documents best; mass: look "
            "most at relevant ones."
        ),
    ] = "contrastive",
    how_many: Annotated[
        int | None,
        typer.Option("--heads", metavar="N", help="Heads to keep: by default 8, or 16 by ndcg and mass."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", metavar="N", help="Queries to learn from; 50 to 300 are enough.")
    ] = 150,
    documents: Annotated[int, typer.Option(metavar="N", help="Documents in a prompt.")] = 20,
    prompt: Annotated[
        Literal["IE", "QA"], typer.Option(help="Find information, or answer a question.")
    ] = "IE",
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Find the attention heads by which a decoder re-ranks best, from judged queries.

    The documents of each query are those that the index's own search finds. A third of the queries is held out to
    measure what the heads gain over all heads.
    """
    from leanseek.eval.judgments import read_qrels
    from leanseek.eval.records import write_lines
    from leanseek.indexing.queries import read_queries
    from leanseek.rerank.incontext.loading import load_decoder
    from leanseek.train.head_examples import head_examples
    from leanseek.train.heads import find_heads, heads_to_keep

    # A model that will not do is told before anything is searched.
    decoder = load_decoder(model, device)
    heads_to_keep(decoder, method, how_many)
    with progress_bar(as_json) as progress:
        examples, notes = head_examples(
            index,
            read_queries(queries),
            read_qrels(qrels),
            most=most,
            documents=documents,
            device=device,
            seed=seed,
            progress=progress,
        )
        found = find_heads(
            decoder,
            examples,
            method=method,
            count=how_many,
            prompt=prompt,
            seed=seed,
            source=f"{len(examples)} queries, {documents} documents each, prompt {prompt}, seed {seed}",
            progress=progress,
        )
    write_lines(out, [found.heads.text()])
    if as_json:
        print_json(
            {
                "out": str(out),
                "heads": [f"{layer}-{head}" for layer, head in found.heads.heads],
                "ndcg": found.ndcg,
                "ndcg_of_all": found.ndcg_of_all,
                "learned_from": found.learned_from,
                "held_out": found.held_out,
                "notes": notes,
            }
        )
    else:
        for note in notes:
            typer.echo(f"note: {note}")
        show(out, found)


def show(out: Path, found: FoundHeads) -> None:
    """The heads, what they gain, and how to use them."""
    listed = found.heads
    named = " ".join(f"{layer}-{head}" for layer, head in listed.heads)
    deepest = max(head.layer for head in listed.heads) + 1
    typer.echo(
        f"{count(len(listed.heads), 'head')} of {listed.layers * listed.width:,} (layer-head): {named}"
    )
    typer.echo(
        f"nDCG@10 on {count(found.held_out, 'held-out query', 'held-out queries')}: {found.ndcg:.4f}, of all heads "
        f"{found.ndcg_of_all:.4f}; {deepest} of {listed.layers} layers are run"
    )
    if found.ndcg < found.ndcg_of_all:
        typer.echo(
            "note: these heads are worse than all together; judge more queries, or try another --method"
        )
    typer.echo(f"Use them: leanseek search INDEX QUERY --rerank {quote(f'in-context:{out}')}")
