"""The command that trains a relevance model."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train.fusion.learned_fusion import LearnedFusion
    from leanseek.train.head_search import FoundHeads


def relevance(
    collections: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION…",
            help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT where it is not train.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the model goes.")],
    features: Annotated[
        Literal["all", "query"],
        typer.Option(help="Judge by the query's whole list, or, as published, by its vector alone."),
    ] = "all",
    map: Annotated[
        Literal["linear", "sqrt", "quadratic", "power"] | None,
        typer.Option("--map", help="The form of the curve, with --features query; by default power."),
    ] = None,
    encoder: opt.EncoderOption = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other samples and begins elsewhere.")] = 0,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where indexes go, as with 'eval collection --out'.")
    ] = Path("results"),
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Train a relevance model: from what a query finds to the probability that each candidate is relevant.

    The same collections and seed give the same file. Use it with: leanseek search INDEX QUERY --relevance FILE
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.eval.collections import open_collection
    from leanseek.train.relevance import train_relevance

    if map is not None and features != "query":
        raise UsageError("--map goes with --features query: the curve that the query's vector shapes")
    check_place(out)
    named = [name_and_split(given) for given in collections]
    with progress_bar(as_json) as progress:
        model = train_relevance(
            [(open_collection(name), split) for name, split in named],
            encoder=encoder or DEFAULT_MODEL,
            form=features,
            map=map,
            seed=seed,
            work=work,
            device=device,
            cache=not no_cache,
            progress=progress,
        )
        model.save(out)
    if as_json:
        print_json(
            {
                "file": str(out),
                "fingerprint": model.fingerprint,
                "thresholds": dict(model.thresholds),
                **asdict(model.provenance),
            }
        )
        return
    origin = model.provenance
    typer.echo(
        f"{out}: {file_size(out.stat().st_size)}, learned from {count(origin.queries, 'query', 'queries')} of "
        f"{', '.join(origin.trained_on)}"
    )
    typer.echo(
        "  95 % of the relevant candidates of held-out queries have at least "
        f"{model.threshold('dense'):.2%} (dense), {model.threshold('hybrid'):.2%} (hybrid)"
    )


def check_place(out: Path) -> None:
    """Raise UsageError where no file can be written at `out`: to be told before minutes of training, not after."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if out.is_dir():
        problem = "a folder"
    elif not folder.is_dir():
        problem = f"below {folder}, which is a file"
    elif not os.access(folder, os.W_OK):
        problem = f"in {folder}, which cannot be written to"
    else:
        return
    from leanseek.errors import UsageError

    raise UsageError(f"--out is {out}, {problem}; give the path of the model's file")


def name_and_split(given: str) -> tuple[str, str]:
    """`scifact:dev` is the collection scifact and its split dev; without one the split is train."""
    name, colon, split = given.rpartition(":")
    if not colon or name in ("beir", "irds") or "/" in split or "\\" in split:
        return given, "train"
    return name, split


def fusion(
    index: opt.IndexPath,
    qrels: Annotated[
        Path | None,
        typer.Option("--qrels", metavar="QRELS", help="Judgments: TREC's four columns, or BEIR's three."),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option("--queries", metavar="QUERIES", help="BEIR queries.jsonl, TSV, or TREC topics."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be learned, and leave the index as it is.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget what was learned: fuse by the default again.")
    ] = False,
    encoder: opt.EncoderOption = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Learn from a few judged queries how much the dense side should count in an index's hybrid searches.

    What is learned is kept in the index and used by its searches; where the judged queries do not speak for a
    change, the default is kept.
    """
    from leanseek.errors import UsageError
    from leanseek.reading.judgments import read_qrels
    from leanseek.reading.queries import read_queries
    from leanseek.train.fusion.learned_fusion import reset_fusion, train_fusion

    if reset:
        if qrels is not None or queries is not None or dry_run:
            raise UsageError("--reset learns nothing; leave out --qrels, --queries and --dry-run")
        former = reset_fusion(index)
        if as_json:
            print_json({"forgotten": asdict(former) if former is not None else None})
        elif former is None:
            typer.echo("Nothing had been learned; searches fuse by the default: convex, dense weight 0.8.")
        else:
            typer.echo(
                f"{former.fusion}, dense weight {former.dense_weight:g}, is forgotten; searches fuse by the default "
                "again: convex, dense weight 0.8."
            )
        return
    if qrels is None or queries is None:
        raise UsageError("give the judged queries: --queries QUERIES --qrels QRELS; or --reset")
    asked, judgments = read_queries(queries), read_qrels(qrels)
    with progress_bar(as_json) as progress:
        learned = train_fusion(
            index, asked, judgments, encoder=encoder, device=device, dry_run=dry_run, progress=progress
        )
    if as_json:
        print_json({**asdict(learned), "stored": learned.kept is None and not dry_run})
    else:
        show_fusion(index, learned, dry_run)


def show_fusion(index: Path, learned: LearnedFusion, dry_run: bool) -> None:
    """What was learned, how sure it is, and what follows."""
    for note in learned.notes:
        typer.echo(f"note: {note}")
    typer.echo(
        f"{count(learned.queries, 'judged query', 'judged queries')}; the default, convex with dense weight 0.8: "
        f"nDCG@10 {learned.default:.4f}"
    )
    if learned.kept is not None:
        typer.echo(f"The default is kept: {learned.kept}.")
    else:
        relative = f" ({learned.gain / learned.default:+.1%})" if learned.default > 0 else ""
        typer.echo(
            f"Learned: {learned.fusion}, dense weight {learned.dense_weight:g}: nDCG@10 {learned.ndcg:.4f}; on "
            f"held-out queries {learned.gain:+.4f} ± {learned.error:.4f}{relative}"
        )
    if dry_run:
        typer.echo(f"{index} was left as it is.")
    elif learned.kept is None:
        again = f"leanseek train fusion {quote(str(index))} --reset"
        typer.echo(
            f"Searches of {index} use it where --fusion and --dense-weight do not say otherwise. Back: {again}"
        )


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
    from leanseek.reading.judgments import read_qrels
    from leanseek.reading.queries import read_queries
    from leanseek.records import write_lines
    from leanseek.rerank.incontext.decoder_files import load_decoder
    from leanseek.train.head_search import find_heads, head_examples, heads_to_keep

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
        show_heads(out, found)


def show_heads(out: Path, found: FoundHeads) -> None:
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


def cross_encoder(
    collections: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION…",
            help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT where it is not train.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the model goes.")],
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="The model to start from.")
    ] = None,
    joint_layers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Layers that read query and passage together, the others being kept as they are; 0 for an "
            "ordinary cross-encoder, all of whose layers are trained.",
        ),
    ] = 2,
    negatives: Annotated[int, typer.Option(metavar="N", help="Passages beside the relevant one.")] = 7,
    most: Annotated[
        int | None,
        typer.Option("--most", metavar="N", help="Queries of each collection; all where not given."),
    ] = None,
    epochs: Annotated[float, typer.Option(help="How often each query is seen.")] = 1.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Queries of one step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="The highest, after warming up.")] = 5e-5,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="A pair's length in training.")] = 160,
    mix: Annotated[
        float,
        typer.Option(
            help="The share of what was learned that is kept, with --joint-layers; less holds on other texts."
        ),
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where indexes go, as with 'eval collection --out'.")
    ] = Path("results"),
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Train a cross-encoder from judged queries, with hard negatives out of the hybrid search.

    Interrupted, the same command goes on from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.eval.collections import open_collection
    from leanseek.train.crossencoder.recipe import Recipe
    from leanseek.train.crossencoder.trainer import Source, train_cross_encoder

    recipe = Recipe(
        base=base or DEFAULT_MODEL,
        joint_layers=joint_layers or None,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        mix=mix,
        seed=seed,
    )
    with progress_bar(as_json) as progress:
        report = train_cross_encoder(
            [Source(open_collection(name), split) for name, split in map(name_and_split, collections)],
            out,
            recipe,
            negatives=negatives,
            most=most,
            work=work,
            device=device,
            progress=progress,
        )
    if as_json:
        print_json({"out": str(out), **asdict(report)})
        return
    for taken in report.sources:
        typer.echo(
            f"{taken.collection} ({taken.split}): {count(taken.queries, 'query', 'queries')}, "
            f"{taken.held_out:,} held out"
        )
    typer.echo(
        f"{count(report.steps, 'step')}; loss on the held-out queries {report.before:.4f} before, "
        f"{report.after:.4f} after"
    )
    typer.echo(f"Use it: leanseek search INDEX QUERY --rerank {quote(f'cross-encoder:{out}')}")


train_app = typer.Typer(
    name="train",
    help="Learn from judged queries: relevance, fusion, attention heads, a cross-encoder.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@train_app.callback()
def train() -> None:
    """Learn from judged queries."""


train_app.command()(relevance)
train_app.command()(fusion)
train_app.command()(heads)
train_app.command("cross-encoder")(cross_encoder)
