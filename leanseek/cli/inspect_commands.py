"""Commands that inspect an index or the installation and change nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import chance, count, file_size, print_json, printable, progress_bar
from leanseek.errors import ExitCode

if TYPE_CHECKING:
    from leanseek.indexing import IndexInfo
    from leanseek.indexing.dense.lean.lean_index import LeanInfo


def info(index: opt.IndexPath, as_json: opt.Json = False) -> None:
    """Show what an index holds and how it was made."""
    from leanseek.indexing import describe_index
    from leanseek.text import newest_rules

    found = describe_index(index)
    if as_json:
        print_json({**asdict(found), "total_bytes": found.total_bytes})
        return
    settings = found.settings
    rows = [
        ("documents", f"{found.documents:,}"),
        (
            "passages",
            f"{found.passages:,}"
            + (f" (+ {found.deleted_passages:,} deleted)" if found.deleted_passages else ""),
        ),
        ("segments", f"{found.segments:,}, generation {found.generation:,}"),
        (
            "size",
            f"{file_size(found.total_bytes)}: texts {file_size(found.text_bytes)}, "
            f"terms {file_size(found.sparse_bytes)}, vectors {file_size(found.dense_bytes)}"
            + (f", learned {file_size(found.learned_bytes)}" if settings.learned is not None else ""),
        ),
    ]
    if settings.sparse is not None:
        sparse = settings.sparse
        rows.append(
            (
                "sparse",
                f"{sparse.backend}, {sparse.variant} k1 {sparse.k1:g} b {sparse.b:g}, analyser {sparse.analyzer}"
                f"{', lossy lengths' if sparse.lossy_lengths else ''}",
            )
        )
        if (newest := newest_rules(sparse.analyzer)) != sparse.analyzer:
            rows.append(("", f"made by older rules; index the sources again to change to {newest}"))
    if settings.encoder is not None:
        encoder = settings.encoder
        rows.append(("dense", f"{settings.dense}, {encoder.dimensions} dimensions"))
        rows += [("", line) for segment in found.lean for line in lean_lines(segment)]
        if found.drifted:
            again = f"leanseek compact {quote(found.path)} --relearn"
            rows.append(
                ("", f"drift {found.drift:.1f}: the documents have changed in kind; learn again: {again}")
            )
        rows.append(("encoder", f"{encoder.name} (fingerprint {encoder.fingerprint[:12]})"))
        rows.append(("tokens", found.truncation.sentence()))
    if settings.learned is not None:
        learned = settings.learned
        kept = "all terms" if learned.terms is None else f"the heaviest {learned.terms:,} terms"
        rows.append(
            (
                "learned",
                f"{learned.name} (fingerprint {learned.fingerprint[:12]}), {kept} of a passage, 8 bits each",
            )
        )
    if settings.expansion is not None:
        written = count(settings.expansion.queries, "query", "queries")
        rows.append(("expanded", f"by {written} a passage, written by {settings.expansion.generator}"))
    if settings.ngrams is not None:
        tokens = settings.ngrams.generator
        rows.append(
            ("n-grams", "of words" + (f", and of the tokens of {tokens}" if tokens is not None else ""))
        )
    if settings.fusion is not None:
        rows += [("fusion" if not place else "", line) for place, line in enumerate(fusion_lines(found))]
    if settings.relevance is not None:
        back = f"leanseek train relevance --reset {quote(found.path)}"
        origin = settings.relevance["provenance"]
        rows.append(
            (
                "relevance",
                f"fitted to this index, {origin['form']}, {count(origin['queries'], 'query', 'queries')}; back to "
                f"the packaged model: {back}",
            )
        )
    rows += [("rerank" if not place else "", line) for place, line in enumerate(token_lines(found))]
    if settings.chunk_words is not None:
        limit = f", at most {settings.chunk_tokens} tokens" if settings.chunk_tokens is not None else ""
        rows.append(
            ("chunking", f"{settings.chunk_words} words, {settings.chunk_overlap} overlapping{limit}")
        )
    if found.fields:
        rows.append(("filter by", ", ".join(("id", "title", *found.fields))))
    for name, value in rows:
        typer.echo(f"{name:<10} {value}")


def fusion_lines(info: IndexInfo) -> list[str]:
    """The learned fusion and its gain; nothing where none was learned."""
    learned = info.settings.fusion
    if learned is None:
        return []
    relative = f" ({learned.gain / learned.default:+.1%})" if learned.default > 0 else ""
    return [
        f"{learned.fusion}, dense weight {learned.dense_weight:g}"
        f"{f', learned weight {learned.learned_weight:g}' if learned.learned_weight else ''}, learned from "
        f"{count(learned.queries, 'judged query', 'judged queries')}",
        f"nDCG@10 {learned.gain:+.4f} ± {learned.error:.4f}{relative} on held-out queries over the default's "
        f"{learned.default:.4f}; back to that: leanseek train fusion {quote(info.path)} --reset",
    ]


def token_lines(info: IndexInfo) -> list[str]:
    """What is stored for late interaction, and how much is missing; nothing where nothing is stored."""
    again = f"leanseek tokens {quote(info.path)}"
    if info.tokens_unusable is not None:
        return [f"{info.tokens_unusable}; make them again: {again}"]
    stored = info.tokens
    if stored is None:
        return []
    dims = f"{stored.dims} of {stored.dimensions}" if stored.dims < stored.dimensions else f"{stored.dims}"
    lines = [
        f"{count(stored.tokens, 'token')} of {count(stored.passages, 'passage')} by {stored.model}, {dims} "
        f"dimensions, {stored.bits} bits, {file_size(round(stored.bytes_per_passage))} a passage, "
        f"{file_size(stored.bytes)} in all"
    ]
    if stored.lacking:
        lines.append(f"{count(stored.lacking, 'passage')} missing, read at each search; store them: {again}")
    return lines


def lean_lines(segment: LeanInfo) -> list[str]:
    """One segment's reduction, and its measured recall."""
    sources = {"given": "your queries", "corpus": "queries made from the documents", "vectors": "the vectors"}
    source = sources[segment.source]
    how = "PCA: learning from queries gained nothing" if segment.method == "id" else segment.method
    lines = [
        f"lean: {segment.vectors:,} vectors of {segment.dims} dims ({how}), {segment.kind}, "
        f"{segment.primary} and {segment.precision}, {segment.bytes / segment.vectors:.0f} bytes a vector",
        f"learned from, and measured with, {source}"
        f"{'' if segment.source == 'given' else ', which are easier than those of people: hence a margin'}",
    ]
    lines += [
        f"recall@{point.k} {point.recall:.3f} measured (calibrated for {segment.recall:g}) with breadth "
        f"{point.effort.breadth:,}, {point.effort.depth:,} scored in full"
        for point in segment.points
    ]
    return lines + list(segment.notes)


def verify(index: opt.IndexPath, as_json: opt.Json = False) -> None:
    """Compare every byte of an index with its checksums.

    Exit code 4 if any differs.
    """
    from leanseek.indexing import verify as verify_index

    with progress_bar(as_json) as progress:
        report = verify_index(index, progress)
    if as_json:
        print_json({**asdict(report), "sound": report.sound})
    else:
        for problem in report.problems:
            typer.echo(f"damaged: {problem}")
        for stranger in report.strangers:
            typer.echo(f"not part of the index: {stranger}")
        if report.sound:
            typer.echo(f"{count(report.files, 'file')}, {file_size(report.size)}: all as committed.")
        else:
            typer.echo("Restore the index from a copy, or index again.")
    if not report.sound:
        raise typer.Exit(int(ExitCode.INDEX))


def doctor(
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX",
            help="Look instead for strategic text in all documents of an index: random tokens, instructions to a "
            "model, hidden characters.",
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Check the installation: what works, and how to add what is missing; or the texts of an index."""
    if texts is not None:
        strategic(texts, as_json)
        return
    from leanseek.cli.doctor import diagnose

    findings = diagnose()
    for finding in findings:
        if as_json:
            print_json(asdict(finding))
        else:
            typer.echo(f"{'ok' if finding.ok else '--':<3} {finding.name:<22} {finding.detail}")


def strategic(index: Path, as_json: bool) -> None:
    """Print what the guard finds in the texts of an index."""
    from leanseek.indexing.snapshot import Snapshot
    from leanseek.searcher.context import scan
    from leanseek.searcher.context.guard import SAID

    with closing(Snapshot.open(index, dense=False)) as snapshot, progress_bar(as_json) as progress:
        passages, found = snapshot.count(), list(scan(snapshot, progress))
    documents = {one.id for one in found}
    for one in found:
        if as_json:
            print_json(asdict(one))
        else:
            where = "title" if one.start < 0 else f"{one.start:,}-{one.end:,}"
            what = f"{SAID[one.kind]}, {chance(one.probability)}: {printable(one.quote)}"
            typer.echo(f"{printable(one.id)}  {where}  {what}")
    if as_json:
        print_json({"passages": passages, "documents": len(documents), "findings": len(found)}, err=True)
    elif found:
        typer.echo(
            f"{count(len(found), 'finding')} in {count(len(documents), 'document')}, of {count(passages, 'passage')}. "
            "Look at them, then: leanseek delete " + quote(str(index)) + " ID…"
        )
    else:
        typer.echo(f"Nothing strategic in {count(passages, 'passage')}.")
