"""Commands that train encoders: dense ones, and learned sparse ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import print_json, progress_bar
from leanseek.cli.train_reranker_commands import show_trained, show_training_plan

if TYPE_CHECKING:
    from leanseek.train import EncoderRecipe, EncoderReport, PoolingRecipe, PoolingReport

LossName: TypeAlias = Annotated[
    Literal["margin-mse", "infonce"],
    typer.Option(help="Learn a teacher's margins, or to find the relevant passage among all of a batch."),
]
TeacherName: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The re-ranker to learn from, by default interpolated:cross-encoder."),
]
MaxTokens: TypeAlias = Annotated[int, typer.Option(metavar="N", help="A text's length in training.")]
Share: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="0..1",
        help="Share of the trained weights in those saved, the rest being the base's; less suits other texts better.",
    ),
]


def encoder(
    collections: opt.TrainingCollections,
    out: opt.ModelOut,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The encoder to start from, by default the default encoder."),
    ] = None,
    loss: LossName = "margin-mse",
    teacher: TeacherName = None,
    ssl: Annotated[
        float,
        typer.Option(
            metavar="W",
            help="Weight of a loss without judgments: title and text of a document belong together.",
        ),
    ] = 0.0,
    negatives: opt.Negatives = 7,
    most: opt.MostQueries = None,
    epochs: opt.Epochs = 1.0,
    batch: opt.Batch = 16,
    learning_rate: opt.LearningRate = 2e-5,
    max_tokens: MaxTokens = 128,
    mix: Share = 0.5,
    seed: opt.Seed = 0,
    work: opt.Work = Path("results"),
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train an encoder for your documents, from judged queries and a re-ranker as teacher.

    If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.train.encoder import TEACHER, EncoderRecipe

    recipe = EncoderRecipe(
        base=base or DEFAULT_MODEL,
        loss=loss,
        teacher=teacher or TEACHER,
        ssl=ssl,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        mix=mix,
        seed=seed,
    )
    use = "leanseek index DOCUMENTS --into INDEX --encoder {}"
    run(collections, out, recipe, negatives, most, work, device, dry_run, as_json, use)


def sparse_encoder(
    collections: opt.TrainingCollections,
    out: opt.ModelOut,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A SPLADE or masked-language model to start from, by default the packaged one.",
        ),
    ] = None,
    loss: LossName = "margin-mse",
    teacher: TeacherName = None,
    document_price: Annotated[
        float, typer.Option(metavar="W", help="Price of the terms of documents: more keeps fewer.")
    ] = 3e-5,
    query_price: Annotated[
        float, typer.Option(metavar="W", help="Price of the terms of queries: more keeps fewer.")
    ] = 5e-5,
    negatives: opt.Negatives = 7,
    most: opt.MostQueries = None,
    epochs: opt.Epochs = 1.0,
    batch: opt.Batch = 16,
    learning_rate: opt.LearningRate = 2e-5,
    max_tokens: MaxTokens = 128,
    mix: Share = 0.5,
    seed: opt.Seed = 0,
    work: opt.Work = Path("results"),
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train a learned sparse encoder for your documents, from judged queries and a re-ranker as teacher.

    If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.train.encoder import TEACHER, SparseRecipe

    recipe = SparseRecipe(
        base=base or "",
        loss=loss,
        teacher=teacher or TEACHER,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        mix=mix,
        seed=seed,
        document_price=document_price,
        query_price=query_price,
    )
    use = "leanseek index DOCUMENTS --into INDEX --learned splade:{}"
    run(collections, out, recipe, negatives, most, work, device, dry_run, as_json, use)


def pooling(
    collections: opt.TrainingCollections,
    out: opt.ModelOut,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The encoder whose layers are pooled, by default the default encoder; decoder:MODEL is a decoder.",
        ),
    ] = None,
    kind: Annotated[
        Literal["mix", "layers"],
        typer.Option(help="Learn a weight for each layer, or attention over the layers."),
    ] = "layers",
    negatives: opt.Negatives = 7,
    most: opt.MostQueries = None,
    epochs: opt.Epochs = 10.0,
    batch: opt.Batch = 32,
    learning_rate: opt.LearningRate = 1e-3,
    max_tokens: MaxTokens = 256,
    seed: opt.Seed = 0,
    work: opt.Work = Path("results"),
    device: opt.Device = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train how an encoder's layers become one vector, from judged queries; the encoder itself stays as it is.

    If interrupted, repeat the command: it continues from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.train import PoolingRecipe

    recipe = PoolingRecipe(
        encoder or DEFAULT_MODEL,
        kind,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    use = "leanseek index DOCUMENTS --into INDEX --encoder {}"
    run(collections, out, recipe, negatives, most, work, device, dry_run, as_json, use)


def temperature(
    index: opt.IndexPath,
    queries: Annotated[str, typer.Option(metavar="FILE", help=opt.QUERIES_HELP)],
    qrels: Annotated[Path, typer.Option(metavar="FILE", help=opt.QRELS_HELP)],
    try_: Annotated[
        str, typer.Option("--try", metavar="T,T,…", help="The temperatures to try besides 1.")
    ] = "0.95,0.9,0.85,0.8,0.7",
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens of a text that are read, by default as many as now."),
    ] = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Choose the temperature of an encoder's attention for your documents; nothing is trained, and nothing changed.

    The documents are encoded once at each temperature, which takes as long as indexing them.
    """
    from leanseek.errors import UsageError
    from leanseek.reading import read_qrels, read_queries
    from leanseek.train.temperature import try_temperatures

    try:
        wanted = [float(word) for word in try_.split(",")]
    except ValueError:
        raise UsageError(
            f"--try is '{try_}'; give numbers with commas between them, such as 0.9,0.8"
        ) from None
    with progress_bar(as_json) as progress:
        tried = try_temperatures(
            index,
            read_queries(queries),
            read_qrels(qrels),
            temperatures=wanted,
            max_tokens=max_tokens,
            device=device,
            progress=progress,
        )
    best = max(tried, key=lambda one: one.ndcg)
    if as_json:
        print_json({"index": str(index), "tried": [asdict(one) for one in tried], "best": best.encoder})
        return
    for one in tried:
        typer.echo(
            f"temperature {one.temperature:g}: nDCG@10 {one.ndcg:.4f} ({one.gain:+.4f}, p {one.p:.2f})"
        )
    if best.gain <= 0:
        typer.echo("None is better than 1: leave the encoder as it is.")
        return
    if best.p > 0.05:
        typer.echo("note: with these queries a gain such as the best one's may be chance; judge more of them")
    typer.echo(f"Use it: leanseek index DOCUMENTS --into INDEX --encoder {quote(best.encoder)}")


def run(
    collections: list[str],
    out: Path,
    recipe: EncoderRecipe | PoolingRecipe,
    negatives: int,
    most: int | None,
    work: Path,
    device: str | None,
    dry_run: bool,
    as_json: bool,
    use: str,
) -> None:
    """Train, or say what training would do, and print how it went and how the model is used."""
    from leanseek.eval.collections import open_collection
    from leanseek.train import Drawing, PoolingRecipe, Source, train_encoder, train_pooling

    drawing = Drawing(negatives, most)
    sources = [Source(open_collection(name), split) for name, split in map(opt.name_and_split, collections)]
    teacher = None if isinstance(recipe, PoolingRecipe) else recipe.scored_by
    if dry_run:
        show_training_plan(sources, recipe, drawing, out, work, as_json, teacher)
        return
    report: EncoderReport | PoolingReport
    more = []
    with progress_bar(as_json) as progress:
        if isinstance(recipe, PoolingRecipe):
            report = train_pooling(sources, out, recipe, drawing, work=work, device=device, progress=progress)
        else:
            report = train_encoder(sources, out, recipe, drawing, work=work, device=device, progress=progress)
            if report.teacher_right is not None:
                more.append(f"{teacher} orders {report.teacher_right:.0%} of the pairs as the judgments do")
    if as_json:
        print_json({"out": str(out), **asdict(report)})
        return
    show_trained(report, more)
    typer.echo(f"Use it: {use.format(quote(str(out)))}")
