"""Commands that learn how to re-rank: attention heads and cross-encoders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leanseek.train import Drawing, EncoderRecipe, PoolingRecipe, Recipe, Source
    from leanseek.train.crossencoder.pretraining import PretrainReport
    from leanseek.train.crossencoder.trainer import Report
    from leanseek.train.document_training import DocumentsReport
    from leanseek.train.encoder import DistilReport, EncoderReport
    from leanseek.train.fitting import Learned
    from leanseek.train.head_search import FoundHeads
    from leanseek.train.pooling import PoolingReport


def heads(
    index: opt.IndexPath,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the list of heads goes, as JSON.")],
    qrels: Annotated[Path, typer.Option(metavar="FILE", help=opt.QRELS_HELP)],
    queries: Annotated[str, typer.Option(metavar="FILE", help=opt.QUERIES_HELP)],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A decoder: its folder, GGUF file or name; by default the packaged one."
        ),
    ] = None,
    most: Annotated[
        int, typer.Option(metavar="N", help="Queries to learn from; 50 to 300 are enough.")
    ] = 150,
    documents: Annotated[int, typer.Option(metavar="N", help="Documents in a prompt.")] = 20,
    prompt: Annotated[
        Literal["IE", "QA"], typer.Option(help="Find information, or answer a question.")
    ] = "IE",
    method: Annotated[
        Literal["contrastive", "ndcg", "mass", "copy"],
        typer.Option(
            help="Choose heads that tell a relevant document from others (contrastive), that rank best (ndcg), that "
            "attend most to relevant ones (mass), or that point to a sentence while it is read again (copy)."
        ),
    ] = "contrastive",
    how_many: Annotated[
        int | None,
        typer.Option(
            "--heads", metavar="N", help="Heads to choose: by default 8, or 16 by ndcg, mass and copy."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also rank without the chosen heads, and without as many others."),
    ] = False,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Choose the attention heads by which a decoder re-ranks best.

    The documents of each query are those that the index's search returns. A third of the queries is held out to
    measure the gain over all heads.
    """
    from leanseek.decode import DEFAULT_DECODER, load_decoder
    from leanseek.reading import read_qrels, read_queries
    from leanseek.records import write_lines
    from leanseek.train.head_search import find_heads, heads_to_keep
    from leanseek.train.prompt_examples import head_examples

    with progress_bar(as_json) as progress:
        # A model that cannot be used is reported before anything is searched.
        decoder = load_decoder(model or DEFAULT_DECODER, device, progress=progress)
        heads_to_keep(decoder, method, how_many)
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
            check=check,
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
                "check": asdict(found.check) if found.check else None,
                "notes": notes,
            }
        )
    else:
        for note in notes:
            typer.echo(f"note: {note}")
        show_heads(out, found)


def show_heads(out: Path, found: FoundHeads) -> None:
    """Print the heads, their gain, and how to use them."""
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
            "note: these heads are worse than all together; judge more queries or try another --method"
        )
    if found.check is not None:
        typer.echo(
            f"Masking them loses {found.check.lost:.4f} of the {found.check.whole:.4f} by all heads; masking as many "
            f"others {found.check.lost_by_others:.4f} (mean of {len(found.check.without_others)} draws)"
        )
    typer.echo(f"Use them: leanseek search INDEX QUERY --rerank {quote(f'in-context:{out}')}")


def cross_encoder(
    collections: opt.TrainingCollections,
    out: opt.ModelOut,
    work: opt.Work = Path("results"),
    negatives: opt.Negatives = 7,
    most: opt.MostQueries = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model to start from, by default the default encoder."),
    ] = None,
    joint_layers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Layers that read query and passage together; the others stay as they are. 0: an ordinary "
            "cross-encoder, all of whose layers are trained.",
        ),
    ] = 2,
    epochs: opt.Epochs = 1.0,
    batch: opt.Batch = 8,
    learning_rate: opt.LearningRate = 5e-5,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="A pair's length in training.")] = 160,
    mix: Annotated[
        float,
        typer.Option(
            metavar="0..1",
            help="With --joint-layers: share of the trained weights in those saved, the rest being the original ones; "
            "less suits other texts better.",
        ),
    ] = 0.5,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train a cross-encoder, with hard negatives from the hybrid search.

    If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.eval.collections import open_collection
    from leanseek.train import Drawing, Source
    from leanseek.train.crossencoder import Recipe, train_cross_encoder

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
    sources = [Source(open_collection(name), split) for name, split in map(opt.name_and_split, collections)]
    if dry_run:
        show_training_plan(sources, recipe, Drawing(negatives, most), out, work, as_json)
        return
    with progress_bar(as_json) as progress:
        report = train_cross_encoder(
            sources,
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
    show_trained(report)
    typer.echo(f"Use it: leanseek search INDEX QUERY --rerank {quote(f'cross-encoder:{out}')}")


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A cross-encoder: its folder, or cross-encoder for the packaged one.",
            show_default=False,
        ),
    ],
    collections: opt.TrainingCollections,
    out: opt.ModelOut,
    most: Annotated[
        int, typer.Option(metavar="N", min=2, help="Queries of each collection to learn from.")
    ] = 300,
    seed: opt.Seed = 0,
    work: opt.Work = Path("results"),
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Put a cross-encoder's scores on the scale of judgments: a score of 2 means what people have graded 2.

    The order of hits stays as it is; two trainings, or two versions of a model, then mean the same by a score.
    """
    from leanseek.eval.collections import open_collection
    from leanseek.train import Source, calibrate_grades

    sources = [Source(open_collection(name), split) for name, split in map(opt.name_and_split, collections)]
    with progress_bar(as_json) as progress:
        scale = calibrate_grades(
            model, sources, out, most=most, seed=seed, work=work, device=device, progress=progress
        )
    if as_json:
        print_json({"out": str(out), **asdict(scale)})
        return
    typer.echo(f"score = {scale.slope:.4g} x the model's {scale.intercept:+.4g}")
    for grade, pairs, before, after in scale.grades:
        typer.echo(f"grade {grade}: {count(pairs, 'pair')}, mean score {before:.3f} before, {after:.3f} now")
    typer.echo(f"Use it: leanseek search INDEX QUERY --rerank {quote(f'cross-encoder:{out}')}")


def show_training_plan(
    sources: Sequence[Source],
    recipe: EncoderRecipe | PoolingRecipe | Recipe,
    drawing: Drawing,
    out: Path,
    work: Path,
    as_json: bool,
    teacher: str | None = None,
) -> None:
    """Print what training would do."""
    from leanseek.train import plan_training

    plan = plan_training(sources, recipe, drawing, out)
    if as_json:
        print_json({"out": str(out), **plan._asdict(), "recipe": asdict(recipe)})
        return
    for name, queries in plan.queries.items():
        typer.echo(f"{name}: up to {count(queries, 'query', 'queries')}, indexed below {quote(str(work))}")
    taught = f", taught by {teacher}" if teacher else ""
    typer.echo(
        f"{count(plan.steps, 'step')} of {recipe.batch} queries with {1 + drawing.negatives} passages each, of up to "
        f"{recipe.max_tokens} tokens, from {recipe.base or 'the packaged model'}{taught}; nothing was done"
    )


def show_trained(report: Report | EncoderReport | PoolingReport, more: Sequence[str] = ()) -> None:
    """Print what a model was trained on and how the loss went, with `more` lines between."""
    for taken in report.sources:
        typer.echo(
            f"{taken.collection} ({taken.split}): {count(taken.queries, 'query', 'queries')}, "
            f"{taken.held_out:,} held out"
        )
    for line in more:
        typer.echo(line)
    show_loss(report, "queries")


def show_loss(
    report: Report
    | EncoderReport
    | PoolingReport
    | DistilReport
    | PretrainReport
    | DocumentsReport
    | Learned,
    held_out: str,
) -> None:
    """Print how the loss on what was `held_out` went."""
    typer.echo(
        f"{count(report.steps, 'step')}; loss on the held-out {held_out} {report.before:.4f} before, "
        f"{report.after:.4f} after"
    )
    if report.after >= report.before:
        typer.echo(
            "note: nothing was gained, and the weights are those that training started from; give more data"
        )
    if report.stopped is not None:
        typer.echo(
            f"note: the loss was no number at step {report.stopped:,}; the state of the last evaluation before is "
            "kept. A lower --learning-rate goes further"
        )
