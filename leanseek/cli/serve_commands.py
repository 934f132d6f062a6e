"""Commands that serve indexes to others: serve, over HTTP, and mcp, to an agent that starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from leanseek.cli import options as opt

Named = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=INDEX",
        help="The name it is served under, and an index directory, or cluster:URL for a cluster.",
    ),
]
Address = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Where clusters are searched: local, in this process, or by the hosts of a Ray cluster at auto, "
        "HOST:PORT or ray://HOST:PORT.",
    ),
]
Partial = Annotated[
    Literal["never", "allow"],
    typer.Option(
        help="Where a shard of a cluster does not answer: fail with 503, or answer from the others."
    ),
]


def serve(
    indexes: Named,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="The port; 0 takes a free one.")] = 8080,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON lines with the keys that may ask. Without it everyone may."),
    ] = None,
    open: Annotated[
        bool, typer.Option("--open", help="Let everyone ask who can reach a host that is not loopback.")
    ] = False,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let documents be added and deleted, by keys of role write.")
    ] = False,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A site whose pages may ask. Repeatable.")
    ] = None,
    refresh: Annotated[
        str, typer.Option(metavar="TIME", help="How often new generations are looked for.")
    ] = "2s",
    max_body: Annotated[str, typer.Option(metavar="SIZE", help="Largest request.")] = "2MB",
    max_k: Annotated[int, typer.Option(metavar="N", help="Most hits of an answer.")] = 1000,
    max_batch: Annotated[int, typer.Option(metavar="N", help="Most queries or texts of a request.")] = 256,
    max_waiting: Annotated[
        int, typer.Option(metavar="N", help="Most queries under way; the next are refused with 429.")
    ] = 512,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Longest time for an answer.")] = "30s",
    receive_timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Longest time for a client to send a request.")
    ] = "10s",
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Time for requests under way when the server is ended.")
    ] = "10s",
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest",
            help="Suggest queries while people type; they are collected from the documents in the background.",
        ),
    ] = False,
    log_queries: Annotated[
        bool, typer.Option("--log-queries", help="Write the text of queries to the log.")
    ] = False,
    address: Address = "local",
    partial: Partial = "never",
    relevance: opt.Relevance = "auto",
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    device: opt.Device = None,
) -> None:
    """Serve indexes over HTTP: search, documents, MCP for agents, and the interfaces of other services.

    Ends at SIGTERM or Ctrl-C, when the requests under way are answered. Times are such as 500ms or 2s.
    """
    check_packages("serve", "starlette", "uvicorn", "msgspec", "prometheus_client")
    from leanseek.errors import UsageError
    from leanseek.serve import ServeSettings
    from leanseek.serve.keys import readable_by_others
    from leanseek.serve.serve_settings import parse_indexes, parse_size
    from leanseek.serve.server import is_loopback, run

    folders = parse_indexes(indexes)
    if not is_loopback(host) and keys is None and not open:
        raise UsageError(
            f"'{host}' can be reached from other machines, and without keys everyone could search. Give --keys "
            "FILE, or --open to let everyone in"
        )
    settings = ServeSettings(
        keys=keys,
        refresh=seconds(refresh, "--refresh"),
        **models(relevance, rerank, rerank_depth, rerank_budget, rerank_long, device),
        max_body=parse_size(max_body),
        max_k=max_k,
        max_batch=max_batch,
        max_waiting=max_waiting,
        timeout=seconds(timeout, "--timeout"),
        receive_timeout=seconds(receive_timeout, "--receive-timeout"),
        cors=tuple(cors or ()),
        # Without keys, pages of other sites must not come in through a browser on this machine.
        hosts=("localhost", "127.0.0.1", "[::1]", host) if is_loopback(host) and keys is None else (),
        address=address,
        partial=partial,
        suggest=suggest,
        writable=writable,
        log_queries=log_queries,
    )
    if keys is not None and keys.is_file() and readable_by_others(keys):
        typer.echo(f"warning: everyone on this machine can read {keys}; run: chmod 600 {keys}", err=True)
    run(
        folders,
        settings,
        host,
        port,
        grace=seconds(grace, "--grace"),
        started=lambda address: typer.echo(f"Serving {', '.join(folders)} at {address}", err=True),
    )


def mcp(
    indexes: Named,
    address: Address = "local",
    partial: Partial = "never",
    relevance: opt.Relevance = "auto",
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    device: opt.Device = None,
) -> None:
    """Serve indexes to an agent on standard input and output, by the Model Context Protocol.

    The agent's program starts the command; 'leanseek serve' offers the same over HTTP at /mcp.
    """
    check_packages("mcp", "mcp", "starlette", "msgspec", "prometheus_client")
    from leanseek.serve import ServeSettings
    from leanseek.serve.agents import run_stdio
    from leanseek.serve.serve_settings import parse_indexes

    settings = ServeSettings(
        address=address,
        partial=partial,
        **models(relevance, rerank, rerank_depth, rerank_budget, rerank_long, device),
    )
    run_stdio(parse_indexes(indexes), settings)


def models(
    relevance: str,
    rerank: list[str] | None,
    rerank_depth: list[str] | None,
    rerank_budget: str | None,
    rerank_long: str | None,
    device: str | None,
) -> dict[str, Any]:
    """The fields of `ServeSettings` for the options on models, which both commands have. Raises UsageError."""
    return {
        "relevance": None if relevance == "none" else relevance,
        "rerank": tuple(rerank or ()),
        "rerank_depth": tuple(opt.parse_depths(rerank_depth)),
        "rerank_budget": opt.parse_budget(rerank_budget),
        "rerank_long": rerank_long,
        "device": device,
    }


def seconds(given: str, option: str) -> float:
    """The seconds of a time such as 500ms. Raises UsageError for anything else."""
    from leanseek.errors import UsageError
    from leanseek.rerank import parse_budget

    try:
        return parse_budget(given)
    except UsageError as error:
        raise UsageError(f"{option}: '{given}' is no time; write one such as 500ms or 2s") from error


def check_packages(extra: str, *packages: str) -> None:
    """Raise MissingPackageError where one of the packages is not installed."""
    from importlib.util import find_spec

    from leanseek.errors import MissingPackageError

    for package in packages:
        if find_spec(package) is None:
            raise MissingPackageError(f"leanseek {extra}", package, extra)
