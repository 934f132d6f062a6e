"""Commands that learn from texts alone: a smaller encoder of a larger one, and the beginnings of a re-ranker."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import Annotated, Literal, TypeAlias

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar
from leanseek.cli.train_encoder_commands import MaxTokens
from leanseek.cli.train_reranker_commands import show_loss

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
        if as_json:
            print_json({"out": str(out), **plan._asdict(), "recipe": asdict(recipe)})
            return
        typer.echo(
            f"{reading.sentence()}; {count(plan.texts, 'text')} to learn from, {plan.held_out:,} held out"
        )
        typer.echo(
            f"{count(plan.steps, 'step')} of {batch} texts of up to {max_tokens} tokens, to make {layers} layers of "
            f"{recipe.teacher}; nothing was done"
        )
        return
    with progress_bar(as_json) as progress:
        report = make(documents, out, recipe, limit=limit, device=device, progress=progress)
    if as_json:
        print_json({"out": str(out), **asdict(report), "reading": asdict(reading)})
        return
    typer.echo(f"{reading.sentence()}.")
    for line in reading.details():
        typer.echo(f"  {line}")
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
        if as_json:
            print_json({"out": str(out), **plan._asdict(), "recipe": asdict(recipe)})
            return
        typer.echo(
            f"{reading.sentence()}; {count(plan.texts, 'text')} to learn from, {plan.held_out:,} held out"
        )
        typer.echo(
            f"{count(plan.steps, 'step')} at most, of {batch} pairs of word sets of texts of up to {max_tokens} "
            f"tokens, from {recipe.base}; nothing was done"
        )
        return
    with progress_bar(as_json) as progress:
        report = train(documents, out, recipe, limit=limit, device=device, progress=progress)
    if as_json:
        print_json({"out": str(out), **asdict(report), "reading": asdict(reading)})
        return
    typer.echo(f"{reading.sentence()}.")
    for line in reading.details():
        typer.echo(f"  {line}")
    typer.echo(
        f"{count(report.pairs, 'pair')} of word sets of {count(report.texts, 'text')} ({method}); "
        f"{report.held_out:,} held out"
    )
    show_loss(report, "texts")
    typer.echo(f"Train it: leanseek train cross-encoder COLLECTION --base {quote(str(out))} --out MODEL")
