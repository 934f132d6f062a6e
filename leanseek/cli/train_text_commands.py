"""Commands that learn from texts alone: a smaller encoder of a larger one, a re-ranker's beginnings, documents."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, print_reading, progress_bar
from leanseek.cli.train_encoder_commands import MaxTokens
from leanseek.cli.train_reranker_commands import show_loss

if TYPE_CHECKING:
    from leanseek.reading import ReadReport
    from leanseek.train import DistilPlan, DocumentsPlan, PretrainPlan

Texts: TypeAlias = Annotated[
    list[str],
    typer.Option(metavar="SOURCE", help="Documents to learn from, whatever index reads. Repeatable."),
]
MoreTexts: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[SOURCE]", help="More documents, as --texts.")
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Texts to draw, by default all are taken.")
]


def distil(
    texts: Texts,
    out: opt.ModelOut,
    more: MoreTexts = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The encoder to learn from, by default the default encoder."),
    ] = None,
    layers: Annotated[int, typer.Option(metavar="N", help="Of the student; fewer are faster.")] = 3,
    limit: Limit = None,
    epochs: Annotated[float, typer.Option(metavar="N", help="How often each text is seen.")] = 1.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Texts of one step.")] = 16,
    learning_rate: opt.LearningRate = 5e-4,
    max_tokens: MaxTokens = 64,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Make a smaller, faster encoder of another: some of its layers, fitted to it on texts without judgments.

    If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.reading import ReadReport, read
    from leanseek.train.encoder import DistilRecipe, plan_distil
    from leanseek.train.encoder import distil as make

    recipe = DistilRecipe(
        teacher=teacher or DEFAULT_MODEL,
        layers=layers,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    reading = ReadReport()
    documents = read(*texts, *more or (), on_error="auto", report=reading)
    if dry_run:
        plan = plan_distil(documents, out, recipe, limit=limit)
        print_plan(
            plan,
            recipe,
            out,
            reading,
            "text",
            as_json,
            f"{count(plan.steps, 'step')} of {batch} texts of up to {max_tokens} tokens, to make {layers} layers of "
            f"{recipe.teacher}",
        )
        return
    with progress_bar(as_json) as progress:
        report = make(documents, out, recipe, limit=limit, device=device, progress=progress)
    if as_json:
        print_json({"out": str(out), **asdict(report), "reading": asdict(reading)})
        return
    print_reading(reading)
    typer.echo(
        f"{layers} of {report.teacher_layers} layers of {recipe.teacher}, from {count(report.texts, 'text')}; "
        f"{report.held_out:,} held out"
    )
    show_loss(report, "texts")
    typer.echo(f"Use it: leanseek index DOCUMENTS --into INDEX --encoder {quote(str(out))}")


def pretrain(
    texts: Texts,
    out: opt.ModelOut,
    more: MoreTexts = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The encoder to start from, by default the default encoder."),
    ] = None,
    method: Annotated[
        Literal["b-prop", "prop"],
        typer.Option(
            help="Which words stand for a text: those attended to (b-prop), or frequent ones (prop)."
        ),
    ] = "b-prop",
    pairs: Annotated[int, typer.Option(metavar="N", help="Pairs of word sets of each text.")] = 10,
    joint_layers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Layers that read words and text together.")
    ] = 2,
    limit: Limit = None,
    epochs: Annotated[float, typer.Option(metavar="N", help="How often each pair is seen.")] = 1.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Pairs of one step.")] = 32,
    learning_rate: opt.LearningRate = 5e-5,
    max_tokens: MaxTokens = 160,
    mix: Annotated[
        float, typer.Option(metavar="0..1", help="Share of the trained weights in those saved.")
    ] = 1.0,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Prepare a cross-encoder on texts without judgments: it learns which words stand for a text.

    What it makes is a --base for leanseek train cross-encoder. If interrupted, repeat the command: it continues from
    the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.reading import ReadReport, read
    from leanseek.train import PretrainRecipe, plan_pretrain
    from leanseek.train import pretrain as train

    recipe = PretrainRecipe(
        base=base or DEFAULT_MODEL,
        joint_layers=joint_layers,
        method=method,
        pairs=pairs,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        mix=mix,
        seed=seed,
    )
    reading = ReadReport()
    documents = read(*texts, *more or (), on_error="auto", report=reading)
    if dry_run:
        plan = plan_pretrain(documents, out, recipe, limit=limit)
        print_plan(
            plan,
            recipe,
            out,
            reading,
            "text",
            as_json,
            f"{count(plan.steps, 'step')} at most, of {batch} pairs of word sets of texts of up to {max_tokens} "
            f"tokens, from {recipe.base}",
        )
        return
    with progress_bar(as_json) as progress:
        report = train(documents, out, recipe, limit=limit, device=device, progress=progress)
    if as_json:
        print_json({"out": str(out), **asdict(report), "reading": asdict(reading)})
        return
    print_reading(reading)
    typer.echo(
        f"{count(report.pairs, 'pair')} of word sets of {count(report.texts, 'text')} ({method}); "
        f"{report.held_out:,} held out"
    )
    show_loss(report, "texts")
    typer.echo(f"Train it: leanseek train cross-encoder COLLECTION --base {quote(str(out))} --out MODEL")


def documents(
    texts: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Long documents to learn from, whatever index reads."),
    ],
    out: opt.ModelOut,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Similar documents, as judgments with ids on both sides; by default halves of one.",
        ),
    ] = None,
    encoder: opt.Encoder = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Documents to draw, by default all are taken.")
    ] = None,
    epochs: Annotated[float, typer.Option(metavar="N", help="How often each document is seen.")] = 6.0,
    pair_epochs: Annotated[float, typer.Option(metavar="N", help="How often each pair is seen.")] = 1.5,
    batch: Annotated[int, typer.Option(metavar="N", help="Documents, or pairs, of one step.")] = 48,
    learning_rate: opt.LearningRate = 5e-4,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="A block's length: four for every three words of --chunk.")
    ] = 80,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train a document encoder, which makes one vector of the vectors of a long document's passages.

    It learns which passages are missing, and which documents are similar: those that --pairs names or, from texts
    alone, the halves of a document. If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.reading import ReadReport, read, read_qrels
    from leanseek.train import DocumentRecipe, plan_documents, train_documents

    recipe = DocumentRecipe(
        encoder=encoder or DEFAULT_MODEL,
        epochs=epochs,
        pair_epochs=pair_epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    similar = read_qrels(pairs) if pairs is not None else None
    reading = ReadReport()
    found = read(*texts, on_error="auto", report=reading)
    if dry_run:
        plan = plan_documents(found, out, recipe, pairs=similar, limit=limit)
        print_plan(
            plan,
            recipe,
            out,
            reading,
            "long document",
            as_json,
            f"{count(plan.steps, 'step')} at most, of {batch} documents in blocks of up to {max_tokens} tokens, over "
            f"{recipe.encoder}, then {count(plan.pair_steps, 'step')} of {count(plan.pairs, 'pair')}",
        )
        return
    with progress_bar(as_json) as progress:
        report = train_documents(
            found,
            out,
            recipe,
            pairs=similar,
            limit=limit,
            device=device,
            cache=not no_cache,
            progress=progress,
        )
    if as_json:
        print_json({"out": str(out), **asdict(report), "reading": asdict(reading)})
        return
    print_reading(reading)
    typer.echo(
        f"{count(report.blocks, 'block')} of {count(report.texts, 'long document')}; {report.held_out:,} held out"
    )
    show_loss(report, "documents")
    typer.echo(
        f"{count(report.pairs, 'pair')} of {'similar documents' if report.judged else 'halves'}; "
        f"{report.pairs_held_out:,} held out"
    )
    show_loss(report.of_pairs, "pairs")
    typer.echo(f"Use it: leanseek similar INDEX ID --encoder {quote(str(out))}")


def print_plan(
    plan: DistilPlan | PretrainPlan | DocumentsPlan,
    recipe: Any,
    out: Path,
    reading: ReadReport,
    noun: str,
    as_json: bool,
    steps: str,
) -> None:
    """Print what a training would learn from, each a `noun`, and its `steps`."""
    if as_json:
        print_json({"out": str(out), **plan._asdict(), "recipe": asdict(recipe)})
        return
    typer.echo(f"{reading.sentence()}; {count(plan.texts, noun)} to learn from, {plan.held_out:,} held out")
    typer.echo(f"{steps}; nothing was done")
