"""The command that asks in steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import chance, console, count, print_json, printable, progress_bar

if TYPE_CHECKING:
    from leanseek.rag.research import Research


def research(
    index: opt.IndexPath,
    question: Annotated[
        list[str], typer.Argument(metavar="QUESTION", help="The question, with or without quotes.")
    ],
    planner: Annotated[
        str,
        typer.Option(
            metavar="rules|MODEL|URL",
            help="Who takes the question apart: rules, a decoder, or an OpenAI-compatible address such as "
            "http://host/v1#MODEL, whose key is read from LEANSEEK_PLANNER_KEY.",
        ),
    ] = "rules",
    max_nodes: Annotated[int, typer.Option(metavar="N", help="How many questions it may become.")] = 8,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many passages.")] = 10,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Tokens of the context, shared between the questions.")
    ] = 1500,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    min_probability: opt.MinProbability = None,
    relevant_only: opt.RelevantOnly = False,
    rerank: opt.Rerank = None,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Answer a question in steps: take it apart, search for each part, bring together what they find."""
    from leanseek.rag import research as steps
    from leanseek.searcher import Searcher

    with (
        progress_bar(as_json) as progress,
        Searcher.open(
            index, encoder=encoder, mode=mode, device=device, reranker=rerank, progress=progress
        ) as searcher,
    ):
        found = steps.run(
            searcher,
            " ".join(question),
            planner=steps.load_planner(planner, device=device, progress=progress),
            max_nodes=max_nodes,
            k=k,
            max_tokens=max_tokens,
            filter=filter,
            min_probability=min_probability,
            relevant_only=relevant_only,
        )
    if as_json:
        print_json(found.record())
        return
    print_research(found)
    for note in found.notes:
        typer.echo(f"note: {printable(note)}", err=True)


def print_research(found: Research) -> None:
    """Print each question with its claims, and then the passages."""
    from rich.text import Text

    out = console()
    for finding in found.findings:
        head = Text(printable(finding.node.name) + ". ").append(printable(finding.asked), style="bold")
        if finding.node.parents:
            head.append(f"  (after {', '.join(map(printable, finding.node.parents))})", style="dim")
        out.print(head, soft_wrap=True)
        for claim in found.claims:
            if claim.node == finding.node.name:
                line = Text(f"   {printable(claim.text)} ")
                line.append(f"[{', '.join(map(printable, claim.ids))}]", style="bold green")
                out.print(line, soft_wrap=True)
    for hit in found.hits:
        line = Text(f"{hit.rank:>3}. ").append(f"{hit.score:.4f}", style="cyan")
        if hit.probability is not None:
            line.append(f"  p {chance(hit.probability)}", style="magenta")
        line.append(f"  {printable(hit.id)}", style="bold green").append(f"  {printable(hit.title)}")
        out.print(line, soft_wrap=True)
    context = found.context
    out.print(
        f"{count(len(found.findings), 'question')}, {count(len(found.hits), 'passage')}; "
        f"{count(len(context.passages), 'source')} of them fit into a context of {count(context.tokens, 'token')}.",
        style="dim",
        soft_wrap=True,
    )
