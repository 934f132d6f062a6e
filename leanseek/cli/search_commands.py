"""Commands that search an index."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import (
    chance,
    count,
    facet_line,
    print_hits,
    print_json,
    printable,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from leanseek.searcher import Searcher
    from leanseek.searcher.context import Context
    from leanseek.types import (
        Answer,
        ClarifyingOption,
        Constraint,
        Operator,
        Progress,
        Query,
        QueryExpansion,
        Question,
        Ranked,
    )

TERMS = 20
"""Terms of an expanded query that are shown."""


def search(
    index: opt.IndexPath,
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="The query, with or without quotes.")],
    k: Annotated[
        int | None,
        typer.Option(
            "-k", metavar="N", help="How many documents, by default 10; with --context passages, 20."
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show each hit's rank and score by side, its terms, and what an in-context re-ranker attended to.",
        ),
    ] = False,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    understand: opt.Understand = False,
    strict: opt.Strict = False,
    clarify: opt.Clarify = False,
    literal: opt.AsText = False,
    also: opt.Also = None,
    relevant: opt.Relevant = None,
    irrelevant: opt.Irrelevant = None,
    collapse: opt.Collapse = False,
    diversity: opt.Diversity = None,
    recency: opt.Recency = None,
    now: opt.Now = None,
    history: opt.History = None,
    history_weight: opt.HistoryWeight = None,
    facet: opt.Facet = None,
    context: opt.ContextTokens = None,
    expand: opt.Expand = None,
    compress: opt.Compress = None,
    guard: opt.Guard = None,
    fusion: opt.Fusion = None,
    dense_weight: opt.DenseWeight = None,
    learned_weight: opt.LearnedWeight = None,
    ngram_weight: opt.NGramWeight = None,
    generator: opt.NGramGenerator = None,
    depth: opt.Depth = None,
    min_probability: opt.MinProbability = None,
    relevant_only: opt.RelevantOnly = False,
    relevance: opt.Relevance = "auto",
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    adaptive: opt.Adaptive = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Search an index for one query."""
    from leanseek.searcher import Searcher

    ask(
        lambda progress: Searcher.open(
            index,
            encoder=encoder,
            fusion=fusion,
            dense_weight=dense_weight,
            learned_weight=learned_weight,
            mode=mode,
            device=device,
            relevance=None if relevance == "none" else relevance,
            reranker=rerank,
            rerank_depth=opt.parse_depths(rerank_depth) or None,
            rerank_budget=opt.parse_budget(rerank_budget),
            rerank_long=rerank_long,
            adaptive=adaptive,
            generator=ngram_generator(generator, mode, ngram_weight),
            progress=progress,
        ),
        query,
        k,
        Packing(context, expand, compress, guard),
        facet,
        explain,
        as_json,
        clarify,
        queries=also,
        relevant=opt.parse_ids(relevant),
        irrelevant=opt.parse_ids(irrelevant),
        filter=filter,
        understand=understand,
        strict=strict,
        ngram_weight=ngram_weight,
        depth=depth,
        min_probability=min_probability,
        relevant_only=relevant_only,
        literal=literal,
        collapse=collapse,
        diversity=diversity,
        recency=recency,
        now=now,
        history=opt.parse_ids(history),
        history_weight=history_weight,
    )


def ngram_generator(generator: str | None, mode: str | None, weight: float | None) -> str | None:
    """The decoder that finds n-grams. Raises UsageError where a search would not use them."""
    from leanseek.errors import UsageError

    if generator is not None and mode != "ngram" and not weight:
        raise UsageError(
            "--generator finds n-grams for the query: give --mode ngram, or --ngram-weight 0.1 to add them to scores"
        )
    return generator


class Packing(NamedTuple):
    """What --context asks for; `tokens` is None where hits are shown."""

    tokens: int | None
    expand: list[str] | None
    compress: float | None
    guard: Literal["mark", "drop", "off"] | None

    def check(self, hits: bool) -> None:
        """Raises UsageError for options that do not go together; `hits`: whether some are given that go with hits."""
        from leanseek.errors import UsageError
        from leanseek.searcher.context import check_share

        neighbours = None
        if self.expand:
            from leanseek.searcher.query_feedback import divided

            neighbours, _ = divided(self.expand)
        needing = (("--expand", neighbours), ("--compress", self.compress), ("--guard", self.guard))
        for option, given in needing:
            if self.tokens is None and given is not None:
                raise UsageError(f"{option} goes with --context TOKENS, such as --context 1500")
        if self.tokens is not None and hits:
            raise UsageError("--explain and --facet go with hits; leave out either them or --context")
        if self.compress is not None:
            check_share(self.compress)


def ask(
    opened: Callable[[Progress], Searcher],
    query: Sequence[str],
    k: int | None,
    packing: Packing,
    facets: Sequence[str] | None,
    explain: bool,
    as_json: bool,
    clarify: bool = False,
    **options: Any,
) -> None:
    """Ask one query, and print its hits or their passages for a prompt; `options` are those of `Searcher.search`.

    With `clarify` a question back comes first, where there is one.
    """
    from leanseek.types import Answer

    packing.check(explain or bool(facets))
    text = " ".join(query)
    with progress_bar(as_json) as progress:
        searcher = opened(progress)
    with searcher:
        # Not within a progress bar, which would write over what people type.
        if clarify and (question := searcher.clarify(text, **of_one_query(options))) is not None:
            if as_json or not at_terminal():
                from leanseek.records import question_record

                print_json({"clarification": question_record(question)})
                return
            if (chosen := chosen_option(question)) is not None:
                text = chosen.query
                both = [one for one in (options["filter"], chosen.filter) if one]
                options["filter"] = " and ".join(f"({one})" for one in both) or None
        with progress_bar(as_json) as progress:
            if packing.tokens is not None:
                found: Context | Answer = searcher.context(
                    text,
                    packing.tokens,
                    k=20 if k is None else k,
                    expand=packing.expand,
                    compress=packing.compress,
                    guard=packing.guard or "off",
                    **options,
                )
            else:
                found = searcher.answer(
                    text,
                    10 if k is None else k,
                    facets=facets or (),
                    # People always see a snippet; programs get it with the explanation.
                    explain=explain or not as_json,
                    progress=progress,
                    expand=packing.expand,
                    **options,
                )
        better = searcher.corrected(text)
        notes, cut = list(searcher.notes), searcher.truncation.query_sentence()
    if not isinstance(found, Answer):
        print_context(found, [*found.notes, *notes], as_json)
        return
    notes += [cut] if cut else []
    if found.coverage is not None:
        from leanseek.searcher.answer import covered

        notes.append(covered(found.coverage))
    show_answer(found, notes, explain, options["relevant_only"], as_json)
    show_corrected(better, as_json)


def at_terminal() -> bool:
    """Whether someone can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def of_one_query(options: dict[str, Any]) -> dict[str, Any]:
    """The options without further wordings, and without the documents that go with an expansion."""
    return {
        name: value for name, value in options.items() if name not in ("queries", "relevant", "irrelevant")
    }


def chosen_option(question: Question) -> ClarifyingOption | None:
    """The option that someone at the terminal picks by its number; None: none of them."""
    from rich.prompt import IntPrompt

    typer.echo(question.text)
    for number, option in enumerate(question.options, 1):
        typer.echo(f"  {number}  {printable(option.text)} ({option.documents} of {question.documents})")
    typer.echo("  0  none of these")
    numbers = [str(number) for number in range(len(question.options) + 1)]
    try:
        number = IntPrompt.ask("Number", choices=numbers, default=0, show_choices=False)
    except EOFError:
        number = 0
    return question.options[number - 1] if number else None


def show_answer(
    answer: Answer, notes: Sequence[str], explain: bool, relevant_only: bool, as_json: bool
) -> None:
    """Print an answer, or why it is empty."""
    from leanseek.records import facets_record, hit_record, remarks_record

    if as_json:
        for hit in answer.hits:
            print_json(hit_record(hit))
        if answer.facets:
            print_json({"facets": facets_record(answer.facets)})
        if told := remarks_record(answer):
            print_json({**told, "notes": notes}, err=True)
        return
    if explain and answer.operators:
        typer.echo(understood(answer.operators), err=not answer.hits)
    if explain and answer.ngrams:
        shown = [
            f"{printable(one.text.strip())} ({one.occurrences:,}) {one.weight:.1f}"
            for one in answer.ngrams[:TERMS]
        ]
        more = f" and {len(answer.ngrams) - TERMS} more" if len(answer.ngrams) > TERMS else ""
        typer.echo(f"n-grams: {', '.join(shown)}{more}")
    if explain and answer.expansion is not None:
        for line in expansion_lines(answer.expansion):
            typer.echo(line, err=not answer.hits)
    if explain and answer.constraints:
        typer.echo(asked_of_fields(answer.constraints), err=not answer.hits)
    if answer.hits:
        print_hits(answer.hits, explain)
    elif answer.nearest is not None:
        typer.echo(
            nothing_relevant(answer, "--relevant-only" if relevant_only else "--min-probability"), err=True
        )
    elif answer.nothing is not None:
        typer.echo(f"Nothing found: {printable(answer.nothing.sentence)}.", err=True)
    for field, counted in answer.facets.items():
        typer.echo(facet_line(field, counted))
    print_notes(notes)


def show_corrected(better: str | None, as_json: bool) -> None:
    """Print a query without typing mistakes on standard error; None: it has none."""
    if better is not None and as_json:
        print_json({"did_you_mean": better}, err=True)
    elif better is not None:
        typer.echo(f"Did you mean: {printable(better)}", err=True)


def print_context(context: Context, notes: Sequence[str], as_json: bool) -> None:
    """Print the passages of a context, or its record, and what people should know of it on standard error."""
    if as_json:
        print_json({**asdict(context), "notes": notes})
        return
    if context.text:
        text = context.text
        if sys.stdout.isatty():
            text = "\n".join(map(printable, text.split("\n")))
        typer.echo(text)
    print_notes(notes)


def understood(operators: Sequence[Operator]) -> str:
    """The operators of a query in words: requires "new york" · excludes car."""
    return " · ".join(
        f"{'excludes' if one.excludes else 'requires'} {quoted(one.words)} "
        f"({count(one.left or 0, 'document')} left)"
        for one in operators
    )


def expansion_lines(expansion: QueryExpansion) -> Iterator[str]:
    """How a query was expanded, in words: what it learned from, its terms, and the sentences that describe it."""
    if not expansion.relevant:
        yield f"{expansion.method} found nothing to learn from"
        return
    learned = f"{expansion.method} learned from {', '.join(map(printable, expansion.relevant))}"
    if expansion.irrelevant:
        learned += f" against {', '.join(map(printable, expansion.irrelevant))}"
    yield learned
    if expansion.terms:
        shown = [f"{printable(term)} {weight:.3f}" for term, weight in expansion.terms[:TERMS]]
        more = f" and {len(expansion.terms) - TERMS} more" if len(expansion.terms) > TERMS else ""
        yield f"terms: {', '.join(shown)}{more}"
    for sentence in expansion.sentences:
        yield f"wants: {printable(' '.join(sentence.text.split()))} [{printable(sentence.id)}]"


def asked_of_fields(constraints: Sequence[Constraint]) -> str:
    """What a query asks of fields in words: asks for year > 2015 (.90) · section = "net" (.60)."""
    return "asks for " + " · ".join(
        f"{printable(one.condition)} "
        + (f"({one.confidence:.2f})" if one.left is None else f"({count(one.left, 'document')} left)")
        for one in constraints
    )


def quoted(words: str) -> str:
    """A word, or a phrase in quotation marks."""
    return f'"{printable(words)}"' if len(words.split()) > 1 else printable(words)


def nothing_relevant(answer: Answer, option: str) -> str:
    """Why there is no hit although there are candidates: none reaches the option's probability."""
    if answer.nearest is None or answer.nearest.probability is None or answer.threshold is None:
        return "Nothing relevant found."
    title = f" ({printable(answer.nearest.title)})" if answer.nearest.title else ""
    return (
        f"Nothing relevant found: the best of {count(answer.left_out, 'candidate')}, "
        f"{printable(answer.nearest.id)}{title}, has probability {chance(answer.nearest.probability)}, and {option} "
        f"asks for {chance(answer.threshold)}. Without {option} it is shown."
    )


def run(
    index: opt.IndexPath,
    queries: Annotated[
        str,
        typer.Argument(metavar="QUERIES", help="BEIR queries.jsonl, TSV, CSV, TREC topics, or - for stdin."),
    ],
    out: Annotated[str, typer.Option(metavar="RUN.trec", help="The run file to write; - for stdout.")],
    tag: Annotated[str, typer.Option(metavar="NAME", help="The run's name, its last column.")] = "leanseek",
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many documents for each query.")] = 1000,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    understand: opt.Understand = False,
    strict: opt.Strict = False,
    operators: opt.Operators = False,
    expand: opt.ExpandQuery = None,
    collapse: opt.Collapse = False,
    diversity: opt.Diversity = None,
    recency: opt.Recency = None,
    now: opt.Now = None,
    fusion: opt.Fusion = None,
    dense_weight: opt.DenseWeight = None,
    learned_weight: opt.LearnedWeight = None,
    ngram_weight: opt.NGramWeight = None,
    generator: opt.NGramGenerator = None,
    depth: opt.Depth = None,
    min_probability: opt.MinProbability = None,
    relevant_only: opt.RelevantOnly = False,
    relevance: opt.Relevance = "auto",
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    adaptive: opt.Adaptive = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Search for a file of queries and write a TREC run."""
    from leanseek.errors import UsageError
    from leanseek.reading import read_queries, write_run
    from leanseek.reading.judgments import has_space
    from leanseek.searcher import Searcher

    if relevance not in ("auto", "none") and min_probability is None and not relevant_only:
        raise UsageError(
            "a run holds no probabilities: --relevance goes with --min-probability or --relevant-only here"
        )
    loaded = read_queries(queries)
    started = time.perf_counter()
    answered = spaced = 0
    with (
        progress_bar(as_json) as progress,
        Searcher.open(
            index,
            encoder=encoder,
            fusion=fusion,
            dense_weight=dense_weight,
            learned_weight=learned_weight,
            mode=mode,
            device=device,
            relevance=None if relevance == "none" else relevance,
            reranker=rerank,
            rerank_depth=opt.parse_depths(rerank_depth) or None,
            rerank_budget=opt.parse_budget(rerank_budget),
            rerank_long=rerank_long,
            adaptive=adaptive,
            generator=ngram_generator(generator, mode, ngram_weight),
            progress=progress,
        ) as searcher,
    ):

        def within(start: int) -> Progress:
            return lambda stage, done, total: progress(stage, start + done, len(loaded))

        def results() -> Iterator[tuple[Query, list[Ranked]]]:
            nonlocal answered, spaced
            for start in range(0, len(loaded), 64):
                block = loaded[start : start + 64]
                texts = [query.text for query in block]
                for query, ranked in zip(
                    block,
                    searcher.rank_batch(
                        texts,
                        k,
                        filter=filter,
                        understand=understand,
                        strict=strict,
                        ngram_weight=ngram_weight,
                        depth=depth,
                        min_probability=min_probability,
                        relevant_only=relevant_only,
                        literal=not operators,
                        expand=expand,
                        collapse=collapse,
                        diversity=diversity,
                        recency=recency,
                        now=now,
                        progress=within(start) if rerank else None,
                    ),
                    strict=True,
                ):
                    answered += bool(ranked)
                    spaced += len(ranked) if has_space(query.id) else sum(has_space(id) for id, _ in ranked)
                    yield query, ranked
                progress("searching", start + len(block), len(loaded))

        lines = write_run(out, results(), tag=tag)
        truncation, notes = searcher.truncation, list(searcher.notes)
    if spaced:
        notes.append(
            f"{count(spaced, 'line')} of the run with white space in an id: the ids are percent-encoded there and Q0% "
            "marks the line; leanseek decodes them when it reads the run"
        )
    seconds = time.perf_counter() - started
    if as_json:
        print_json(
            {
                "queries": len(loaded),
                "answered": answered,
                "lines": lines,
                "seconds": round(seconds, 3),
                "out": out,
                "truncation": asdict(truncation),
                "notes": notes,
            }
        )
        return
    typer.echo(
        f"{count(len(loaded), 'query', 'queries')} answered in {seconds:.1f} s, "
        f"{len(loaded) - answered:,} of them with no hit: {count(lines, 'line')} in {out}.",
        err=out == "-",
    )
    if truncation.truncated:
        typer.echo(
            truncation.query_sentence(),
            err=out == "-",
        )
    print_notes(notes)


def print_notes(notes: Sequence[str]) -> None:
    """Print what people should know of the re-ranking on standard error."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)
