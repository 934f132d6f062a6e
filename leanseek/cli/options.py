"""Arguments and options that several commands share. Names in braces are filled in from tables, see `help`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    from leanseek.searcher.second_stage import DepthChoice

ClusterUrl: TypeAlias = Annotated[
    str, typer.Argument(metavar="URL", help="The cluster: a folder, or a URL such as s3://bucket/my.cluster.")
]
Address: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Where the work is done: local, this process; auto, the Ray cluster that this machine is part of; or "
        "ray://HOST:PORT.",
    ),
]
IndexPath: TypeAlias = Annotated[Path, typer.Argument(metavar="INDEX", help="The index directory.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="BEIR folders, files ({formats}; gzip and bzip2 too), folders of such files, or - for JSON lines from "
        "standard input.",
    ),
]
IdField: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Field that holds the id.")]
TextField: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Field that holds the text.")]
TitleField: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Field that holds the title.")
]
Encoding: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Encoding of files that are not UTF-8 and do not name their own, such as cp1252 or gbk. By default "
        "it is guessed.",
    ),
]
OnError: TypeAlias = Annotated[
    Literal["auto", "fail", "skip"],
    typer.Option(
        help="Stop at a record or file that cannot be read, or skip and report it. auto skips in folders of mixed "
        "files and stops in what is named and in collections."
    ),
]
OnDuplicate: TypeAlias = Annotated[
    Literal["reject", "replace"],
    typer.Option(help="Reject a document whose id is taken, or replace the old one."),
]
Chunk: TypeAlias = Annotated[
    int | None, typer.Option(metavar="WORDS", help="Split documents into passages of about this many words.")
]
ChunkAuto: TypeAlias = Annotated[
    str,
    typer.Option(
        "--chunk",
        metavar="WORDS",
        help="Split documents into passages of at most so many words; auto, where sources are text files, so that they "
        "fit the encoder; none leaves them whole.",
    ),
]
Overlap: TypeAlias = Annotated[
    int, typer.Option(metavar="WORDS", help="Words that neighbouring passages share.")
]

Encoder: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A sentence-transformers model: name or path. Faster as BACKEND:MODEL, with one of {encoders}.",
    ),
]
Temperature: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Divide the encoder's scores of attention by this; below 1 sharpens, for long texts.",
    ),
]
MaxTokens: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Tokens of a text that the encoder reads.")
]
Device: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where models run and vectors are searched: cpu, cuda, cuda:1, mps."),
]
NoCache: TypeAlias = Annotated[
    bool, typer.Option("--no-cache", help="Neither read nor fill the caches of vectors.")
]

DENSE_HELP = (
    "Vector index: auto, {dense} or none. flat is exact, lean is reduced to what queries need, auto is lean from "
    "{lean_from} vectors on."
)
ANALYZER_HELP = "How texts become terms: {analyzers}. lucene gives the terms of Lucene's English analyser."
Dense: TypeAlias = Annotated[str, typer.Option(metavar="KIND", help=f"{DENSE_HELP} none leaves vectors out.")]
Dims: TypeAlias = Annotated[
    str, typer.Option(metavar="N", help="Dimensions of a reduced vector; auto is the fewest that suffice.")
]
Kind: TypeAlias = Annotated[
    str, typer.Option(metavar="KIND", help="How it is searched: {kinds}; auto goes by size.")
]
Recall: TypeAlias = Annotated[
    float, typer.Option(metavar="0..1", help="Share of the true best hits that a search should return.")
]
Precision: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", help="How full vectors are stored: {precisions} (8 bits).")
]
Primary: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="How reduced vectors are stored: {primaries}. By default what suits --kind."
    ),
]
Reduction: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", help="How vectors are shortened: {reductions}.")
]
LearningQueries: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Queries such as yours to learn from: BEIR queries.jsonl, TSV, or one a line. By default some "
        "are made from the documents.",
    ),
]
Sparse: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", help="Term index: {sparse}. none leaves terms out.")
]
Analyzer: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help=f"{ANALYZER_HELP} By default english, and lucene with --sparse lucene."
    ),
]
Variant: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="BM25's formula: {variants}.")]
K1: TypeAlias = Annotated[float, typer.Option(metavar="N", help="BM25: how slowly repeated terms saturate.")]
B: TypeAlias = Annotated[float, typer.Option(metavar="0..1", help="BM25: how much long texts are penalised.")]
Delta: TypeAlias = Annotated[
    float, typer.Option(metavar="N", help="BM25L and BM25+: the least a matching term adds.")
]
Learned: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:MODEL]",
        help="Learned sparse index beside BM25: splade:MODEL, a SparseEncoder or masked-language model by name or "
        "path; splade alone is the packaged model.",
    ),
]
LearnedTerms: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Keep the heaviest N terms of each passage, such as 128; by default all."),
]
ExpandDocuments: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=20,
        help="Have a decoder write N queries for each passage, by which BM25 finds it as well. Seconds a passage "
        "without a GPU.",
    ),
]
Generator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="The decoder: its folder, GGUF file or name; by default the packaged one."
    ),
]
NGrams: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--ngrams",
        help="Keep n-grams: of words, for phrases of any length, and of a decoder's tokens (--generator MODEL|none).",
    ),
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
LossyLengths: TypeAlias = Annotated[
    bool, typer.Option("--lossy-lengths", help="BM25: round lengths as Lucene does, for its scores.")
]

NGramWeight: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--ngram-weight",
        metavar="W",
        help="Add n-grams of the query to the scores, with this share: 0.1 is usual.",
    ),
]
NGramGenerator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="MODEL",
        help="The decoder that finds n-grams for the query; without one they are those of its words.",
    ),
]
Mode: TypeAlias = Annotated[
    Literal["hybrid", "dense", "sparse", "learned", "ngram"] | None,
    typer.Option(help="Which sides to search; by default all that the index has."),
]
Filter: TypeAlias = Annotated[
    str | None, typer.Option(metavar="EXPR", help="""Such as 'year >= 2015 and lang = "en"'.""")
]
FUSION_HELP = (
    "{fusions}, rrf(k=N), or a scale for the sparse and one for the dense side out of {scales}, such as "
    "theoretical+zscore."
)
Fusion: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"{FUSION_HELP} By default what the index has learned, else agreement with a learned side and convex "
        "without.",
    ),
]
DenseWeight: TypeAlias = Annotated[
    float | None, typer.Option(metavar="0..1", help="The dense side's share in the fusion.")
]
LearnedWeight: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="0..1",
        help="The learned side's share in the fusion; the sparse side has the rest. At 0 it is not asked.",
    ),
]
Depth: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Candidates of each side; by default 100, or K where larger.")
]

ContextTokens: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        help="Print passages for a prompt in place of hits, numbered for citation, with at most about so many tokens.",
    ),
]
EXPAND_HELP = (
    "Expand the query by what it finds first: {expanders}, with other parameters as in rm3(terms=20)."
)
Expand: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help=f"{EXPAND_HELP} With --context also what comes along of documents that were split: passage (the default) "
        "is what was found, window:N also N passages on either side, document all of it, as far as there is room. "
        "Repeatable: one of each kind.",
    ),
]
ExpandQuery: TypeAlias = Annotated[
    str | None,
    typer.Option("--expand", metavar="NAME", help=EXPAND_HELP),
]
Relevant: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        help="A document known to be relevant, which the query is expanded or described by. Repeatable, or ID,ID.",
    ),
]
Irrelevant: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="A document known not to be relevant. Repeatable, or ID,ID."),
]

Compress: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="With --context, keep of each passage the sentences that answer, such as 0.5: half of its words.",
    ),
]

Guard: TypeAlias = Annotated[
    Literal["mark", "drop", "off"] | None,
    typer.Option(
        help="With --context, look for text that is meant for a language model: mark tells where it is, drop leaves "
        "those documents out too.",
    ),
]

AsText: TypeAlias = Annotated[
    bool,
    typer.Option("--literal", help="""Take "a phrase", -word, +word and NOT in the query as text."""),
]
Operators: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--operators", help="""Take "a phrase", -word, +word and NOT in queries as operators, not as text."""
    ),
]
Collapse: TypeAlias = Annotated[
    bool, typer.Option("--collapse", help="Show one of all documents with the same title and text.")
]
Understand: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--understand",
        help="Raise what has the values, years and comparisons that the query names of the index's fields.",
    ),
]
Strict: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict", help="With --understand: return nothing else; the query is searched without them."
    ),
]
Clarify: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--clarify",
        help="Where the best hits are about several things, ask first which of them is meant: on a terminal with a "
        "number to pick, elsewhere as a JSON record instead of hits.",
    ),
]
Also: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="Another wording of the query: what any of them finds is ranked. Repeatable."
    ),
]
Diversity: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="0..1", help="How much more a hit counts that says something new; .3 costs little."),
]
Recency: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD:90d",
        help="Halve a hit's score for every so many h, d, w, m (months) or y that it is old by a date field.",
    ),
]
Now: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DATE", help="When --recency counts from; by default the present.")
]
History: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        help="A document looked at in this session: what is like those is raised. Repeatable, or ID,ID.",
    ),
]
HistoryWeight: TypeAlias = Annotated[
    float | None, typer.Option(metavar="0..1", help="How much the --history counts, by default 0.1.")
]
Facet: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD", help="Count a field's values among all documents of the filter. Repeatable."
    ),
]

MinProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="0..1", help="Return only hits at least this probably relevant, if any."),
]
RelevantOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--relevant-only", help="Return only hits as probable as 95 % of the relevant ones are, if any."
    ),
]
Relevance: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="The model of the probabilities: a file of 'leanseek train relevance', or none. auto is the packaged one "
        "where it fits the index's encoder.",
    ),
]

Rerank: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:MODEL]",
        help="Re-rank the best hits: {rerankers}, or none. in-context:qa:MODEL answers a question. Repeatable: the "
        "next re-ranks the best of the one before.",
    ),
]
RerankDepth: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N|auto",
        help="How many hits are re-ranked, by default 100; auto: those that are probable enough. One for each "
        "--rerank.",
    ),
]
RerankBudget: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Time for a query's re-ranking, such as 200ms or 2s; the best order reached by then counts.",
    ),
]
RerankLong: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How cross-encoders read passages that are too long: {long}. By default maxp, the best window.",
    ),
]
Adaptive: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Let the scores of a cross-encoder lead to further passages of the index; --rerank-depth is then how many "
        "passages it scores.",
    ),
]

CollectionName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="COLLECTION", help="A collection's folder, a BEIR name, irds:ID or qilin:FOLDER."),
]
TrainingCollections: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="COLLECTION",
        help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT if it is not train.",
    ),
]
ModelOut: TypeAlias = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the model goes.")]
Negatives: TypeAlias = Annotated[
    int, typer.Option(metavar="N", help="Irrelevant passages for each relevant one.")
]
MostQueries: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Queries of each collection, by default all.")
]
Epochs: TypeAlias = Annotated[float, typer.Option(metavar="N", help="How often each query is seen.")]
Batch: TypeAlias = Annotated[int, typer.Option(metavar="N", help="Queries of one step.")]
LearningRate: TypeAlias = Annotated[float, typer.Option(metavar="N", help="The highest, after warming up.")]
RelevanceCollections: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COLLECTION]",
        help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT if it is not train.",
    ),
]
QRELS_HELP = "Judgments: TREC's or BEIR's, a table under a header, or JSON; gzip too."
QUERIES_HELP = "BEIR queries.jsonl, JSON, TSV, CSV, or TREC topics."
Results: TypeAlias = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results and indexes go.")
]

Work: TypeAlias = Annotated[
    Path, typer.Option(metavar="DIR", help="Where indexes go, as with 'eval collection --out'.")
]
Seed: TypeAlias = Annotated[
    int, typer.Option(metavar="N", help="Of the random choices; the same seed gives the same result.")
]


def name_and_split(given: str) -> tuple[str, str]:
    """`scifact:dev` is the collection scifact and its split dev; without a split it is train."""
    name, colon, split = given.rpartition(":")
    if not colon or name in ("beir", "irds", "qilin") or "/" in split or "\\" in split:
        return given, "train"
    return name, split


def parse_depths(given: Sequence[str] | None) -> list[DepthChoice]:
    """Numbers and `auto`, none for None. Raises UsageError for anything else."""
    from leanseek.errors import UsageError

    depths: list[DepthChoice] = []
    for one in given or ():
        if one == "auto":
            depths.append("auto")
        elif one.isascii() and one.isdigit():
            depths.append(int(one))
        else:
            raise UsageError(f"--rerank-depth is '{one}'; give a whole number, at least 1, or auto")
    return depths


def parse_budget(given: str | None) -> float | None:
    """The seconds of a time such as 200ms; None for none. Raises UsageError for anything else."""
    if given is None:
        return None
    from leanseek import rerank

    return rerank.parse_budget(given)


def parse_ids(given: Sequence[str] | None) -> list[str] | None:
    """The ids of documents, which may be given one by one or with commas between them; None for none."""
    return [one.strip() for text in given for one in text.split(",") if one.strip()] if given else None
